"""Azure ML's data assets: every version of a table that jobs and people can name, each at a place of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from credit_default.errors import StorageError

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

    from credit_default.resources.azure.client.retries import RetryPolicy

_LOGGER = logging.getLogger(__name__)


def register(
    client: MLClient, patience: RetryPolicy, name: str, version: str, *, path: str, keep: Callable[[], None]
) -> None:
    """Register a file as a version of a data asset, unless that version is there.

    Parameters
    ----------
    path
        ``azureml://`` address of a file that never changes: the asset only points at it.
    keep
        Puts the file there; called when the version has to be made.

    Raises
    ------
    StorageError
        Azure ML refuses the version.
    """
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Data
    from azure.core.exceptions import HttpResponseError

    what = f"version {version} of data asset {name}"

    def found() -> bool:
        return patience.ask(f"looking for {what}", lambda: is_there(client, name, version))

    if found():
        return
    keep()
    asset = Data(name=name, version=version, path=path, type=AssetTypes.URI_FILE)
    try:
        patience.ask(f"registering {what}", lambda: client.data.create_or_update(asset))
    except HttpResponseError as error:
        # Somebody may have been faster, or the answer was lost and the question repeated.
        if found():
            _LOGGER.info("Somebody else registered %s meanwhile.", what)
            return
        raise StorageError(
            f"Azure ML refused {what} ({error.status_code} {error.reason}); give the identity that runs this the role "
            "AzureML Data Scientist on the workspace; its own words are the cause of this error"
        ) from error


def is_there(client: MLClient, name: str, version: str) -> bool:
    """Whether a data asset has a version."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        client.data.get(name, version)
    except ResourceNotFoundError:
        return False
    return True
