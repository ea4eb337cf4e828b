"""Azure ML registries: models and environments that workspaces share, in a store of the registry's own."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from credit_default_tests.azure_emulator.azure_errors import bad_request, conflict, not_found, not_in_emulator
from credit_default_tests.azure_emulator.locations import Location, datastore_of
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
_SOURCE = re.compile(
    r"azureml://locations/(?P<region>[^/]+)/workspaces/(?P<guid>[^/]+)"
    r"/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)"
)

_UPLOADED = re.compile(
    rf"https://{re.escape(ACCOUNT)}\.blob\.core\.windows\.net/(?P<container>upload-[0-9a-f-]+)(?:/(?P<path>[^?]*))?"
)


@dataclass
class Registry:
    """One registry; ``models[name][version]`` and ``environments[name][version]`` are what it answers.

    Attributes
    ----------
    keeps_tags
        Whether a model that is uploaded has its tags afterwards.
    signs
        Whether it hands out signatures to read its files by; otherwise they are read with one's own identity.
    """

    name: str
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    keeps_tags: bool = True
    signs: bool = True


def create(state: State, name: str) -> None:
    """Make a registry, unless there is one of that name."""
    with state.lock:
        state.registries.setdefault(name, Registry(name))


def change(state: State, name: str, *, keeps_tags: bool, signs: bool) -> None:
    """Let a registry behave as some might, which nobody has documented."""
    registry = _named(state, name)
    registry.keeps_tags, registry.signs = keeps_tags, signs


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
        route("PUT", _ONE, _put_model, request="ModelVersion", answer="ModelVersion"),
        route("POST", f"{_BASE}/import", _import),
        route("GET", _ENVIRONMENT, _get_environment, answer="EnvironmentVersion"),
        route("GET", f"{_BASE}/environments/{{name}}/versions", _list_environments, answer="EnvironmentVersion[]"),
        route("PUT", _ENVIRONMENT, _put_environment, request="EnvironmentVersion", answer="EnvironmentVersion"),
        route("PUT", f"{_BASE}/tempdatarefs/{{name}}/versions/{{version}}", _start_upload),
        route("POST", f"{_BASE}/datarefs/{{name}}/versions/{{version}}", _reference),
    ]


def location(state: State, registry: str, name: str, version: str) -> Location:
    """Return where a registry keeps the files of a model."""
    found = _named(state, registry).models.get(name, {}).get(version)
    if found is None:
        raise not_found("Model", f"{name}:{version}")
    return _uploaded(state, found["properties"]["modelUri"], "model")


def _uploaded(state: State, address: str, what: str) -> Location:
    """Return where files lie that were uploaded for an asset; Azure's 400 when there are none."""
    match = _UPLOADED.fullmatch(address)
    place = Location(match["container"], (match["path"] or "").rstrip("/")) if match else None
    if place is None or not any(True for _ in state.blobs.names(place.container, f"{place.path}/".lstrip("/"))):
        raise bad_request(f"There is nothing at the path of the {what}.")
    return place


def _named(state: State, name: str) -> Registry:
    try:
        return state.registries[name]
    except KeyError:
        raise not_found("Registry", name) from None


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


def _import(call: Call) -> Answer:
    """Refuse to copy a model of a workspace from a datastore without credentials: nobody documents that it works."""
    state = call.state
    _named(state, call.params["registry"])
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
    datastore = datastore_of(workspace, source["properties"]["modelUri"])
    if datastore["properties"]["credentials"]["credentialsType"] == "None":
        raise bad_request(f"Datastore '{datastore['name']}' has no credentials.", "UserError")
    raise not_in_emulator("The emulator copies no model into a registry; upload it by a client of the registry.")


def _put_model(call: Call) -> Answer:
    """Keep a model whose files were uploaded; a version is there once, for ever, and may be archived."""
    registry = _named(call.state, call.params["registry"])
    name, version = check_name("Model", call.params["name"]), check_version(call.params["version"])
    asked = call.body["properties"]
    _uploaded(call.state, asked["modelUri"], "model")
    moment = now()
    kept = {"isArchived": False, "isAnonymous": False, "tags": {}, "properties": {}, "flavors": {}}
    asked.pop("system_metadata", None)
    tags = {} if registry.keeps_tags else {"tags": {}}
    stored = {
        "id": f"azureml://registries/{registry.name}/models/{name}/versions/{version}",
        "name": version,
        "type": "Microsoft.MachineLearningServices/registries/models/versions",
        "properties": {**kept, **asked, **tags, "provisioningState": "Succeeded"},
        "systemData": {"createdAt": moment, "createdBy": "emulator", "createdByType": "Application"},
    }
    with call.state.lock:
        known = registry.models.get(name, {}).get(version)
        if known and known["properties"]["isArchived"] is not bool(asked.get("isArchived")):
            known["properties"]["isArchived"] = bool(asked.get("isArchived"))
            return Answer(known)
        if known:
            raise conflict(f"Model '{name}' version '{version}' already exists in registry '{registry.name}'.")
        registry.models.setdefault(name, {})[version] = stored
    return Answer(stored, 201)


def _reference(call: Call) -> Answer:
    """Say where the files of a model can be read, for an hour."""
    registry = _named(call.state, call.params["registry"])
    where = location(call.state, registry.name, call.params["name"], call.params["version"])
    address = f"https://{ACCOUNT}.blob.core.windows.net/{where.container}"
    signature = call.state.blobs.container_signature(where.container, permission="rl")
    signed = {"credentialType": "SAS", "sasUri": f"{address}?{signature}"}
    return Answer(
        {
            "blobReferenceForConsumption": {
                "blobUri": f"{address}/{where.path}",
                "credential": signed if registry.signs else {"credentialType": "NoCredentials"},
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
    kept = {"environments": registry.environments, "models": registry.models}
    asked = {f"azureml://registries/{registry.name}/{kind}/{name}/versions/{version}": kind for kind in kept}
    kind = asked.get(call.body["assetId"])
    if kind is None:
        raise bad_request(f"The emulator keeps no uploads for '{call.body['assetId']}'.")
    if version in kept[kind].get(name, {}):
        raise conflict(f"Version '{version}' of '{name}' already exists in registry '{registry.name}'.")
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
    where = _uploaded(call.state, asked["build"]["contextUri"], "build context")
    moment = now()
    kept = {"isArchived": False, "isAnonymous": False, "tags": {}, "properties": {}, "environmentType": "UserCreated"}
    # What it keeps is where the files are, and no signature.
    build = {**asked["build"], "contextUri": f"https://{ACCOUNT}.blob.core.windows.net/{where.container}/"}
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
