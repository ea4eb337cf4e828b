"""The live model behind HTTP on this machine, as an online endpoint would serve it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from credit_default.cli.live_model import nothing_deployed, write_note
from credit_default.ports import ModelVersion, Storage
from credit_default.resources import resources_for
from credit_default.resources.model_versions import variables_of
from credit_default.settings import (
    COLLECTION_KEY_VARIABLE,
    COLLECTION_PUBLIC_KEY_VARIABLE,
    TELEMETRY_FOLDER_VARIABLE,
    Settings,
    must_be_local,
)
from credit_default.telemetry.collection_key import private_keys


def environment_of(settings: Settings, model: ModelVersion, storage: Storage) -> dict[str, str]:
    """Return what the scoring script is told about a version on this machine.

    It can seal what requests held and not open it: the private key stays out of its environment.
    """
    inherited = {name: value for name, value in os.environ.items() if name != COLLECTION_KEY_VARIABLE}
    return {
        **inherited,
        **variables_of(model, storage, write_note),
        COLLECTION_PUBLIC_KEY_VARIABLE: private_keys(settings).public(),
        TELEMETRY_FOLDER_VARIABLE: str(settings.telemetry),
    }


def serve(settings: Settings, port: int) -> NoReturn:
    """Turn this process into a server of the live version.

    Raises
    ------
    NotThere
        No model is live.
    SettingsError
        The environment is one on Azure.
    """
    must_be_local(settings, "A model is served here from the lake on this machine")
    ports = resources_for(settings)
    version = _live_version(ports)
    if version is None:
        raise nothing_deployed(settings)
    model = ports["registry"].get(version)
    # A model's folder never changes and stays where it is, so it may be used after the storage has let go of it.
    with ports["storage"].on_disk(model.key) as folder:
        command = ["-m", "credit_default.resources.local.online_server", "--model", str(folder), "--port", str(port)]
    os.execve(sys.executable, [sys.executable, *command], environment_of(settings, model, ports["storage"]))  # noqa: S606 - our own program


def _live_version(ports: Mapping[str, Any]) -> str | None:
    """Return the version that answers online or, while none was deployed there, the one that scores days."""
    online: str | None = ports["online_endpoint"].state().default
    batch: str | None = ports["endpoint"].state().default
    return online or batch
