"""Azure ML's data assets: every version of a table that jobs and people can name, each at a place of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

_LOGGER = logging.getLogger(__name__)


def register(client: MLClient, name: str, version: str, *, path: str, keep: Callable[[], None]) -> None:
    """Register a file as a version of a data asset, unless that version is there.

    Parameters
    ----------
    path
        ``azureml://`` address of a file that never changes: the asset only points at it.
    keep
        Puts the file there; called when the version has to be made.
    """
    if _is_there(client, name, version):
        return
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Data

    keep()
    asset = Data(name=name, version=version, path=path, type=AssetTypes.URI_FILE)
    try:
        client.data.create_or_update(asset)
    except Exception:
        # Somebody may have been faster, or the answer was lost. The SDK has no one exception for a conflict.
        if not _is_there(client, name, version):
            raise
        _LOGGER.info("Version %s of %s was registered meanwhile.", version, name)


def _is_there(client: MLClient, name: str, version: str) -> bool:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        client.data.get(name, version)
    except ResourceNotFoundError:
        return False
    return True
