"""The platforms that the suites of the ports run on, and their storage.

``local`` is this machine, ``azure`` a new workspace in the emulator. ``workspace`` is a real one: it is among them
when ``CREDIT_DEFAULT_TEST_WORKSPACE=1`` and its settings are in the environment, and is not collected otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from credit_default.core.files.limits import current_limits
from credit_default.core.variables import VariableReader
from credit_default.errors import SettingsError
from credit_default.ports import Compute, ModelRegistry, Storage, Telemetry
from credit_default.resources import resources_for
from credit_default.resources.azure.client.workspace import AzureWorkspace
from credit_default.resources.azure.compute import AzureCompute
from credit_default.resources.azure.endpoint import AzureBatchEndpoint
from credit_default.resources.azure.online_endpoint import AzureOnlineEndpoint
from credit_default.resources.azure.registry import AzureModelRegistry
from credit_default.resources.azure.storage import AzureStorage
from credit_default.resources.azure.telemetry import AzureTelemetry
from credit_default.resources.local.compute import LocalCompute
from credit_default.resources.local.endpoint import LocalBatchEndpoint
from credit_default.resources.local.online_endpoint import LocalOnlineEndpoint
from credit_default.resources.local.registry import LocalModelRegistry
from credit_default.resources.local.storage import LocalStorage
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default.settings import azure as azure_settings
from credit_default.settings import read
from credit_default.settings.azure_compute import KINDS, Kind, read_targets


def platforms() -> list[str]:
    """The names of the platforms that can be tested here."""
    return ["local", "azure", *(["workspace"] if _workspace_is_given() else [])]


def _workspace_is_given() -> bool:
    if os.environ.get("CREDIT_DEFAULT_TEST_WORKSPACE") != "1":
        return False
    try:
        azure_settings.read()
    except SettingsError as error:
        raise SettingsError(f"CREDIT_DEFAULT_TEST_WORKSPACE is 1, which tests a real workspace. {error}") from error
    return True


def azure_workspace() -> AzureWorkspace:
    """The workspace that the environment names."""
    return AzureWorkspace(
        subscription_id=os.environ["AZURE_SUBSCRIPTION_ID"],
        resource_group=os.environ["AZURE_RESOURCE_GROUP"],
        name=os.environ["AZURE_ML_WORKSPACE"],
    )


def azure_storage(**changed: object) -> AzureStorage:
    """The lake that the environment names."""
    named = {"account": os.environ["AZURE_STORAGE_ACCOUNT"], "container": os.environ["AZURE_STORAGE_CONTAINER"]}
    return AzureStorage(**{**named, "workspace": azure_workspace(), **changed})


def azure_registry(name: str, **changed: object) -> AzureModelRegistry:
    """A model of the workspace that the environment names."""
    usual = {
        "registry": os.environ["AZURE_ML_REGISTRY"],
        "unreachable_limit": 30.0,
        "workspace": azure_workspace(),
        "storage": azure_storage(),
    }
    return AzureModelRegistry(**{"name": name, **usual, **changed})


def azure_endpoint(**changed: object) -> AzureBatchEndpoint:
    """The batch endpoint of the workspace that the environment names."""
    name = f"be-{os.environ['AZURE_ML_WORKSPACE']}"[:32]
    usual = {
        "name": name,
        "compute": azure_compute(sources=["credit_default"]),
        "registry": azure_registry("credit-card-default"),
    }
    return AzureBatchEndpoint(**{**usual, **changed})


def batch_platform(platform: str, home: Path) -> dict[str, Any]:
    """Storage and registry of a platform, and `open`, which opens a batch endpoint by its name, as a process would."""
    if platform != "local":
        storage, registry = azure_storage(), azure_registry("credit-card-default")
        return {"storage": storage, "registry": registry, "open": lambda name: azure_endpoint(name=name)}
    ports = resources_for(read({"CREDIT_DEFAULT_HOME": str(home)}))
    given = {name: ports[name] for name in ("compute", "storage", "registry")}
    return {**given, "open": lambda name: LocalBatchEndpoint(name=name, **given)}


def azure_online_endpoint(**changed: object) -> AzureOnlineEndpoint:
    """An online endpoint of the workspace that the environment names, with one process for each deployment."""
    usual = {
        "workers": 1,
        "identity": os.environ["CREDIT_DEFAULT_ONLINE_IDENTITY"],
        "connection_string": os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"],
        "compute": azure_compute(sources=["credit_default"]),
        "registry": azure_registry("credit-card-default"),
    }
    return AzureOnlineEndpoint(**{**usual, **changed})


def online_platform(platform: str, home: Path) -> dict[str, Any]:
    """Storage and registry of a platform, and `open`, which opens an online endpoint by its name."""
    if platform != "local":
        storage, registry = azure_storage(), azure_registry("credit-card-default")
        return {"storage": storage, "registry": registry, "open": lambda name: azure_online_endpoint(name=name)}
    ports = resources_for(read({"CREDIT_DEFAULT_HOME": str(home)}))
    storage = ports["storage"]
    return {
        "storage": storage,
        "registry": ports["registry"],
        "open": lambda name: LocalOnlineEndpoint(name=name, storage=storage),
    }


def telemetry_of(platform: str, folder: Path, exporter: str = "opencensus") -> Telemetry:
    """The telemetry of a platform, which keeps its files in a folder."""
    if platform == "local":
        return LocalTelemetry(folder=str(folder))
    return AzureTelemetry(
        folder=str(folder),
        connection_string=os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"],
        exporter=exporter,
        unreachable_limit=30.0,
        workspace=azure_workspace(),
    )


def registry_of(platform: str, name: str, database: str, folder: Path) -> ModelRegistry:
    """The registry of a platform, of one model; the local one is in a database, its files in a folder."""
    if platform == "local":
        return LocalModelRegistry(name=name, tracking_uri=database, files=folder.as_uri())
    return azure_registry(name)


def storage_of(platform: str, folder: Path) -> Storage:
    """The storage of a platform; the local one is in a folder."""
    return LocalStorage(root=str(folder)) if platform == "local" else azure_storage()


#: The package of steps that are made for tests.
EXAMPLE_STEPS = "credit_default_tests.resources.example_steps"
KINDS.update(count=Kind.SCORE, search=Kind.SCORE)


def azure_compute(**changed: object) -> AzureCompute:
    """Compute in the workspace that the environment names, which runs the example steps and does not wait long."""
    targets = read_targets(VariableReader(os.environ))
    usual = {
        "workspace": azure_workspace(),
        "storage": azure_storage(),
        "environment": "test",
        "targets": {kind.value: target for kind, target in targets.items()},
        "poll_seconds": 0.3,
        "unreachable_limit": 30.0,
        "upload_limit": 120.0,
        "limits": current_limits().as_variables(),
        "steps": EXAMPLE_STEPS,
        "sources": ["credit_default", EXAMPLE_STEPS],
    }
    return AzureCompute(**{**usual, **changed})


def compute_of(platform: str, folder: Path) -> Compute:
    """The compute of a platform, which runs the example steps; the local one keeps all it has in a folder."""
    if platform != "local":
        return azure_compute()
    return LocalCompute(
        jobs=str(folder / "jobs"), lake=str(folder / "lake"), tracking_uri="", grace_seconds=1.0, steps=EXAMPLE_STEPS
    )
