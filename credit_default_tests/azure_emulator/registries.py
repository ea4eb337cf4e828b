"""Azure ML registries: models and environments that workspaces share, in a store of the registry's own."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from credit_default_tests.azure_emulator import models
from credit_default_tests.azure_emulator.azure_errors import bad_request, conflict, not_found
from credit_default_tests.azure_emulator.locations import Location
from credit_default_tests.azure_emulator.names import check_name, check_version
from credit_default_tests.azure_emulator.routes import ML_AUDIENCES, Answer, Call, Route
from credit_default_tests.azure_emulator.store import (
    ACCOUNT,
    API_HOST,
    REGION,
    RESOURCE_GROUP,
    SUBSCRIPTION,
    State,
    now,
)

_VERSIONS = ("2021-10-01-dataplanepreview",)
_BASE = (
    "/mferp/managementfrontend/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.MachineLearningServices/registries/{registry}"
)
_ONE = f"{_BASE}/models/{{name}}/versions/{{version}}"
_ENVIRONMENT = f"{_BASE}/environments/{{name}}/versions/{{version}}"
_OPERATION = f"{_BASE}/import/operations/{{operation}}"
_SOURCE = re.compile(
    r"azureml://locations/(?P<region>[^/]+)/workspaces/(?P<guid>[^/]+)"
    r"/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)"
)

_UPLOADED = re.compile(rf"https://{re.escape(ACCOUNT)}\.blob\.core\.windows\.net/(?P<container>upload-[0-9a-f-]+)")


@dataclass
class Registry:
    """One registry; ``models[name][version]`` and ``environments[name][version]`` are what it answers."""

    name: str
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def container(self) -> str:
        """Where it keeps its files."""
        return f"registry-{self.name}"


def create(state: State, name: str) -> None:
    """Make a registry, unless there is one of that name."""
    with state.lock:
        if name in state.registries:
            return
        state.registries[name] = Registry(name)
    state.blobs.create_container(state.registries[name].container)


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    del state
    discovery = "/registrymanagement/v1.0/registries/{registry}/discovery"

    def route(method: str, path: str, handler: Any, **options: Any) -> Route:
        return Route(method, path, handler, _VERSIONS, host=API_HOST, audiences=ML_AUDIENCES, **options)

    return [
        # Asked at whatever region the SDK begins with; the answer names the registry's own.
        Route(
            "GET",
            discovery,
            _discovered,
            host="*.api.azureml.ms",
            audiences=ML_AUDIENCES,
            answer="registry_discovery.RegistryDiscoveryDto",
        ),
        route("GET", _ONE, _get, answer="ModelVersion"),
        route("GET", f"{_BASE}/models/{{name}}/versions", _list, answer="ModelVersion[]"),
        route("PUT", _ONE, _archive_model, request="ModelVersion", answer="ModelVersion"),
        route("POST", f"{_BASE}/import", _import),
        route("GET", _OPERATION, lambda _: Answer(status=200)),
        route("GET", _ENVIRONMENT, _get_environment, answer="EnvironmentVersion"),
        route("GET", f"{_BASE}/environments/{{name}}/versions", _list_environments, answer="EnvironmentVersion[]"),
        route("PUT", _ENVIRONMENT, _put_environment, request="EnvironmentVersion", answer="EnvironmentVersion"),
        route("PUT", f"{_BASE}/tempdatarefs/{{name}}/versions/{{version}}", _start_upload),
        route("POST", f"{_BASE}/datarefs/{{name}}/versions/{{version}}", _reference),
    ]


def location(state: State, registry: str, name: str, version: str) -> Location:
    """Return where a registry keeps the files of a model."""
    found = _named(state, registry)
    if version not in found.models.get(name, {}):
        raise not_found("Model", f"{name}:{version}")
    return Location(found.container, _folder(name, version))


def _named(state: State, name: str) -> Registry:
    try:
        return state.registries[name]
    except KeyError:
        raise not_found("Registry", name) from None


def _folder(name: str, version: str) -> str:
    return f"models/{name}/{version}"


def _discovered(call: Call) -> Answer:
    registry = _named(call.state, call.params["registry"])
    return Answer(
        {
            "registryName": registry.name,
            "tenantId": call.state.identity.tenant,
            "primaryRegion": REGION,
            "regions": [REGION],
            "subscriptionId": SUBSCRIPTION,
            "resourceGroup": RESOURCE_GROUP,
            "primaryRegionResourceProviderUri": f"https://{API_HOST}/",
        }
    )


def _get(call: Call) -> Answer:
    registry, name, version = _named(call.state, call.params["registry"]), call.params["name"], call.params["version"]
    found = registry.models.get(name, {}).get(version)
    if found is None:
        raise not_found("Model", f"{name}:{version}")
    return Answer(found)


def _list(call: Call) -> Answer:
    versions = _named(call.state, call.params["registry"]).models.get(call.params["name"], {})
    return Answer({"value": list(reversed(versions.values()))})


def _archive_model(call: Call) -> Answer:
    """Archive a version, or bring it back: nothing else of one that is there changes."""
    known = _get(call).body
    with call.state.lock:
        known["properties"]["isArchived"] = bool(call.body["properties"].get("isArchived"))
    return Answer(known)


def _import(call: Call) -> Answer:
    """Copy a model of a workspace; a version is there once, for ever."""
    state, registry = call.state, _named(call.state, call.params["registry"])
    asked = call.body["properties"]
    match = _SOURCE.fullmatch(asked["sourceAssetId"])
    if match is None:
        raise bad_request(f"'{asked['sourceAssetId']}' is not the id of a model of a workspace.")
    workspace = next((one for one in state.workspaces.values() if one.guid == match["guid"]), None)
    if workspace is None:
        raise not_found("Workspace", match["guid"])
    source = workspace.tables["models"].get(match["name"], {}).get(match["version"])
    if source is None:
        raise not_found("Model", f"{match['name']}:{match['version']}")
    name, version = check_name("Model", asked["destinationName"]), check_version(asked["destinationVersion"])
    files = models.location(state, workspace, f"azureml:{match['name']}:{match['version']}")
    with state.lock:
        if version in registry.models.get(name, {}):
            raise conflict(f"Model '{name}' version '{version}' already exists in registry '{registry.name}'.")
        for blob in state.blobs.names(files.container, f"{files.path.rstrip('/')}/"):
            target = f"{_folder(name, version)}/{blob.removeprefix(files.path.rstrip('/') + '/')}"
            state.blobs.write(registry.container, target, state.blobs.read(files.container, blob))
        registry.models.setdefault(name, {})[version] = _stored(registry, name, version, source["properties"])
    operation = _OPERATION.format(
        subscription=SUBSCRIPTION, group=RESOURCE_GROUP, registry=registry.name, operation=f"{name}-{version}"
    )
    address = f"https://{API_HOST}{operation}?api-version={_VERSIONS[0]}"
    return Answer(status=202, headers={"Location": address, "Retry-After": "0"})


def _stored(registry: Registry, name: str, version: str, source: dict[str, Any]) -> dict[str, Any]:
    """Return a model as the registry shows it, with the tags that it had in its workspace."""
    moment = now()
    kept = {key: source[key] for key in ("description", "flavors", "modelType", "tags", "properties") if key in source}
    uri = f"https://{ACCOUNT}.blob.core.windows.net/{registry.container}/{_folder(name, version)}"
    return {
        "id": f"azureml://registries/{registry.name}/models/{name}/versions/{version}",
        "name": version,
        "type": "Microsoft.MachineLearningServices/registries/models/versions",
        "properties": {**kept, "modelUri": uri, "isArchived": False, "isAnonymous": False},
        "systemData": {"createdAt": moment, "createdBy": "emulator", "createdByType": "Application"},
    }


def _reference(call: Call) -> Answer:
    """Say where the files of a model can be read, for an hour."""
    registry = call.params["registry"]
    where = location(call.state, registry, call.params["name"], call.params["version"])
    address = f"https://{ACCOUNT}.blob.core.windows.net/{where.container}"
    signature = call.state.blobs.container_signature(where.container, permission="rl")
    return Answer(
        {
            "blobReferenceForConsumption": {
                "blobUri": f"{address}/{where.path}",
                "credential": {"credentialType": "SAS", "sasUri": f"{address}?{signature}"},
            }
        }
    )


def _get_environment(call: Call) -> Answer:
    registry, name, version = _named(call.state, call.params["registry"]), call.params["name"], call.params["version"]
    found = registry.environments.get(name, {}).get(version)
    if found is None:
        raise not_found("Environment", f"{name}:{version}")
    return Answer(found)


def _list_environments(call: Call) -> Answer:
    versions = _named(call.state, call.params["registry"]).environments.get(call.params["name"], {})
    return Answer({"value": list(reversed(versions.values()))})


def _start_upload(call: Call) -> Answer:
    """Answer a container of its own for the files of an asset that is not there yet."""
    registry, name, version = _named(call.state, call.params["registry"]), call.params["name"], call.params["version"]
    if call.body["assetId"] != f"azureml://registries/{registry.name}/environments/{name}/versions/{version}":
        raise bad_request(f"The emulator keeps no uploads for '{call.body['assetId']}'.")
    if version in registry.environments.get(name, {}):
        raise conflict(f"Environment '{name}' version '{version}' already exists in registry '{registry.name}'.")
    container = f"upload-{uuid.uuid4()}"
    call.state.blobs.create_container(container)
    address = f"https://{ACCOUNT}.blob.core.windows.net/{container}"
    signature = call.state.blobs.container_signature(container)
    return Answer(
        {
            "blobReferenceForConsumption": {
                "blobUri": address,
                "credential": {"credentialType": "SAS", "sasUri": f"{address}?{signature}"},
            }
        }
    )


def _put_environment(call: Call) -> Answer:
    """Keep an environment whose files were uploaded; a version is there once, for ever."""
    registry = _named(call.state, call.params["registry"])
    name = check_name("Environment", call.params["name"])
    version = check_version(call.params["version"])
    asked = call.body["properties"]
    uploaded = _UPLOADED.match(asked["build"]["contextUri"])
    if uploaded is None or not any(True for _ in call.state.blobs.names(uploaded["container"])):
        raise bad_request("There is nothing at the path of the build context.")
    moment = now()
    kept = {"isArchived": False, "isAnonymous": False, "tags": {}, "properties": {}, "environmentType": "UserCreated"}
    # What it keeps is where the files are, and no signature.
    build = {**asked["build"], "contextUri": f"https://{ACCOUNT}.blob.core.windows.net/{uploaded['container']}/"}
    stored = {
        "id": f"azureml://registries/{registry.name}/environments/{name}/versions/{version}",
        "name": version,
        "type": "Microsoft.MachineLearningServices/registries/environments/versions",
        "properties": {**kept, **asked, "build": build, "provisioningState": "Succeeded"},
        "systemData": {"createdAt": moment, "createdBy": "emulator", "createdByType": "Application"},
    }
    with call.state.lock:
        if version in registry.environments.get(name, {}):
            raise conflict(f"Environment '{name}' version '{version}' already exists in registry '{registry.name}'.")
        registry.environments.setdefault(name, {})[version] = stored
    return Answer(stored, 201)
