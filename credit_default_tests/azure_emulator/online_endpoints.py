"""Managed online endpoints: their deployments, each with a server that really runs, their traffic and their keys."""

from __future__ import annotations

import re
import secrets
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from credit_default_tests.azure_emulator import models, operations
from credit_default_tests.azure_emulator.azure_errors import (
    AzureError,
    bad_request,
    conflict,
    not_found,
    not_in_emulator,
)
from credit_default_tests.azure_emulator.batch_endpoints import scoring_address
from credit_default_tests.azure_emulator.locations import Location, asset, locate
from credit_default_tests.azure_emulator.names import check_endpoint_name
from credit_default_tests.azure_emulator.online_server import NotReady, OnlineServer
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import REGION, State, Workspace

# The SDK asks for endpoints with the one, and for deployments with the other or, from the endpoints, with the one.
_VERSIONS = ("2022-02-01-preview", "2023-04-01-preview")
_MODEL = re.compile(r"(?:.*/models/|azureml:)(?P<name>[^/:]+)(?:/versions/|:)(?P<version>[^/:]+)")
_REQUESTS = {"maxConcurrentRequestsPerInstance": 1, "requestTimeout": "PT5S", "maxQueueWait": "PT0.5S"}


@dataclass
class Endpoint:
    """An endpoint: as Azure Resource Manager shows it, and its two keys."""

    workspace: Workspace
    name: str
    resource: dict[str, Any]
    keys: tuple[str, str] = field(default_factory=lambda: (secrets.token_urlsafe(24), secrets.token_urlsafe(24)))

    @property
    def audience(self) -> str:
        """Whom a token of Azure ML's own kind is made out to."""
        return self.resource["id"]


@dataclass
class Deployment:
    """A deployment: as Azure Resource Manager shows it, the server that answers, and the one that was started last."""

    name: str
    resource: dict[str, Any]
    server: OnlineServer | None = None
    newest: OnlineServer | None = None
    waiting: int = 0


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    del state
    endpoint, deployment = "{ws}/onlineEndpoints/{endpoint}", "{ws}/onlineEndpoints/{endpoint}/deployments/{name}"
    data, deployed = "OnlineEndpoint", "OnlineDeployment"
    logs = {"request": "DeploymentLogsRequest", "answer": "DeploymentLogs"}
    return [
        Route("GET", "{ws}/onlineEndpoints", _list, _VERSIONS, answer=f"{data}[]"),
        Route("GET", endpoint, _get, _VERSIONS, answer=data),
        Route("PUT", endpoint, _put, _VERSIONS, request=data, answer=data),
        Route("DELETE", endpoint, _remove, _VERSIONS),
        Route("POST", f"{endpoint}/listKeys", _keys, _VERSIONS, answer="EndpointAuthKeys"),
        Route("POST", f"{endpoint}/token", _token, _VERSIONS, answer="EndpointAuthToken"),
        Route("GET", f"{endpoint}/deployments", _deployments, _VERSIONS, answer=f"{deployed}[]"),
        Route("GET", deployment, _deployment, _VERSIONS, answer=deployed),
        Route("PUT", deployment, _deploy, _VERSIONS, request=deployed, answer=deployed),
        Route("DELETE", deployment, _remove_deployment, _VERSIONS),
        Route("POST", f"{deployment}/getLogs", _logs, _VERSIONS, **logs),
    ]


def endpoint_of(workspace: Workspace, name: str) -> Endpoint:
    """Return an endpoint; Azure's 404 when there is none."""
    found = workspace.tables["onlineEndpoints"].get(name)
    if found is None:
        raise not_found("Endpoint", name)
    return found


def deployment_of(workspace: Workspace, endpoint: str, name: str) -> Deployment:
    """Return a deployment; Azure's 404 when there is none."""
    found = workspace.tables["onlineDeployments"].get((endpoint, name))
    if found is None:
        raise not_found("Deployment", f"{endpoint}/{name}")
    return found


def _list(call: Call) -> Answer:
    return Answer({"value": [one.resource for one in call.workspace.tables["onlineEndpoints"].values()]})


def _get(call: Call) -> Answer:
    return Answer(endpoint_of(call.workspace, call.params["endpoint"]).resource)


def _put(call: Call) -> Answer:
    """Make or change an endpoint; its traffic must go to deployments that are there, all of it or none."""
    workspace, name = call.workspace, check_endpoint_name(call.params["endpoint"])
    asked = call.body["properties"]
    traffic = asked.get("traffic") or {}
    if asked.get("mirrorTraffic"):
        raise not_in_emulator("The emulator mirrors no traffic.")
    if sum(traffic.values()) not in (0, 100):
        raise bad_request(f"The traffic adds up to {sum(traffic.values())} %; it must be 0 or 100.")
    identity = _identity(call)
    with call.state.lock:
        for deployment in traffic:
            deployment_of(workspace, name, deployment)
        properties = {
            "authMode": asked.get("authMode") or "Key",
            "description": asked.get("description"),
            "properties": asked.get("properties") or {},
            "traffic": traffic,
            "mirrorTraffic": {},
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Enabled",
            "scoringUri": scoring_address(workspace, name, "score"),
            "swaggerUri": scoring_address(workspace, name, "swagger.json"),
        }
        stored = workspace.resource(f"onlineEndpoints/{name}", properties)
        stored |= {"location": REGION, "kind": "Managed", "tags": call.body.get("tags") or {}, "identity": identity}
        endpoint = workspace.tables["onlineEndpoints"].setdefault(name, Endpoint(workspace, name, stored))
        if _who(endpoint.resource["identity"]) != _who(identity):
            raise bad_request(f"The identity of endpoint '{name}' cannot be changed after it was created.")
        endpoint.resource = {**stored, "identity": endpoint.resource["identity"]}
    return operations.accepted(call, endpoint.resource)


def _identity(call: Call) -> dict[str, Any]:
    """Return the identity that an endpoint acts as: one that Azure makes for it, or one that is there."""
    asked = call.body.get("identity") or {"type": "SystemAssigned"}
    tenant = call.state.identity.tenant
    if asked["type"] == "SystemAssigned":
        return {"type": "SystemAssigned", "principalId": str(uuid.uuid4()), "tenantId": tenant}
    if asked["type"] != "UserAssigned":
        raise not_in_emulator(f"The emulator knows no identity of the type '{asked['type']}'.")
    own = asked.get("userAssignedIdentities") or {}
    if not own:
        raise bad_request("An endpoint with a user-assigned identity has to name it.")
    for given in own:
        if given.casefold() != call.workspace.online_identity.casefold():
            raise AzureError(400, "FailedIdentityOperation", f"Resource '{given}' was not found.")
    known = {"principalId": str(uuid.uuid4()), "clientId": str(uuid.uuid4())}
    return {"type": "UserAssigned", "userAssignedIdentities": dict.fromkeys(own, known)}


def _who(identity: dict[str, Any]) -> tuple[str, ...]:
    """Return what may not change of an identity."""
    return (identity["type"], *sorted(given.casefold() for given in identity.get("userAssignedIdentities") or {}))


def _may_read(endpoint: Endpoint, model: Location) -> bool:
    """Whether an endpoint's identity may read a model; one that Azure makes reads the default datastore alone."""
    return endpoint.resource["identity"]["type"] != "SystemAssigned" or model.container == endpoint.workspace.artifacts


def _remove(call: Call) -> Answer:
    """Remove an endpoint with every deployment."""
    workspace, endpoint = call.workspace, endpoint_of(call.workspace, call.params["endpoint"])
    with call.state.lock:
        del workspace.tables["onlineEndpoints"][endpoint.name]
        deployments = workspace.tables["onlineDeployments"]
        removed = [deployments.pop(key) for key in list(deployments) if key[0] == endpoint.name]
    return _stopping(call, removed)


def _keys(call: Call) -> Answer:
    endpoint = endpoint_of(call.workspace, call.params["endpoint"])
    if endpoint.resource["properties"]["authMode"] != "Key":
        raise bad_request(f"Endpoint '{endpoint.name}' is not authenticated with keys.")
    return Answer(dict(zip(("primaryKey", "secondaryKey"), endpoint.keys, strict=True)))


def _token(call: Call) -> Answer:
    endpoint = endpoint_of(call.workspace, call.params["endpoint"])
    if endpoint.resource["properties"]["authMode"] != "AMLToken":
        raise bad_request(f"Endpoint '{endpoint.name}' is not authenticated with Azure ML's tokens.")
    identity = call.state.identity
    token = identity.token(endpoint.audience, call.claims["appid"])
    return Answer({"accessToken": token, "tokenType": "Bearer"})


def _deployments(call: Call) -> Answer:
    name = endpoint_of(call.workspace, call.params["endpoint"]).name
    found = call.workspace.tables["onlineDeployments"].items()
    return Answer({"value": [deployment.resource for (endpoint, _), deployment in found if endpoint == name]})


def _deployment(call: Call) -> Answer:
    return Answer(deployment_of(call.workspace, call.params["endpoint"], call.params["name"]).resource)


def _deploy(call: Call) -> Answer:
    """Make or change a deployment: what it names has to be there, and its server has to answer."""
    state, workspace = call.state, call.workspace
    owner = endpoint_of(workspace, call.params["endpoint"])
    endpoint, name = owner.name, check_endpoint_name(call.params["name"])
    asked = call.body["properties"]
    if asked.get("endpointComputeType") != "Managed":
        raise not_in_emulator(f"The emulator knows no deployment on '{asked.get('endpointComputeType')}'.")
    capacity = (call.body.get("sku") or {}).get("capacity")
    if not asked.get("instanceType") or not capacity:
        raise bad_request("A managed deployment needs an instance type and a number of instances.")
    model = models.location(state, workspace, asked["model"])
    asset(workspace, asked["environmentId"], "environments")
    code = locate(workspace, asset(workspace, asked["codeConfiguration"]["codeId"], "codes")["properties"]["codeUri"])
    defaults = {"properties": {}, "environmentVariables": {}, "scaleSettings": {"scaleType": "Default"}}
    given = {key: value for key, value in (asked.get("requestSettings") or {}).items() if value is not None}
    properties = {**defaults, **{key: value for key, value in asked.items() if value is not None}}
    properties |= {"requestSettings": {**_REQUESTS, **given}, "provisioningState": "Creating"}
    stored = workspace.resource(f"onlineEndpoints/{endpoint}/deployments/{name}", properties)
    stored |= {"location": REGION, "kind": "Managed", "tags": call.body.get("tags") or {}}
    stored["sku"] = {"name": "Default", "capacity": capacity}
    folder = state.home / "online" / workspace.name / endpoint / f"{name}-{uuid.uuid4().hex[:8]}"
    server = OnlineServer(folder, asked["codeConfiguration"]["scoringScript"], _environment(state, workspace, stored))
    state.at_stop.append(server.kill)
    with state.lock:
        table = workspace.tables["onlineDeployments"]
        deployment = table.setdefault((endpoint, name), Deployment(name, stored))
        deployment.resource, deployment.newest = stored, server
    operation = operations.Operation()
    start = partial(server.start, state.blobs, code, model, _mounted(asked["model"]))
    if not _may_read(owner, model):
        start = _unauthorized
    work = (deployment, stored["properties"], server, start, operation)
    threading.Thread(target=_start, args=work, name=f"{endpoint}/{name}", daemon=True).start()
    return operations.accepted(call, stored, operation)


def _unauthorized() -> None:
    raise NotReady(
        "startup task failed due to authorization error: the identity of the endpoint may not read the model; it needs "
        "Storage Blob Data Reader where the model is stored"
    )


def _mounted(model: str) -> str:
    """Return where a model is found below the folder of models on the node: by its name and its version."""
    found = _MODEL.fullmatch(model)
    if found is None:
        raise bad_request(f"'{model}' is not the id of a version of a model.")
    return f"{found['name']}/{found['version']}"


def _environment(state: State, workspace: Workspace, deployment: dict[str, Any]) -> dict[str, str]:
    """Return what the program gets: the way to the emulator, what Azure tells it, what the deployment says."""
    properties = deployment["properties"]
    told = {"AML_APP_INSIGHTS_ENABLED": "false"}
    if properties.get("appInsightsEnabled"):
        told = {"AML_APP_INSIGHTS_ENABLED": "true", "AML_APP_INSIGHTS_KEY": workspace.instrumentation_key}
    return {**state.job_environment, **told, **properties["environmentVariables"]}


def _start(
    deployment: Deployment,
    properties: dict[str, Any],
    server: OnlineServer,
    start: Callable[[], None],
    operation: operations.Operation,
) -> None:
    """Start a server, and let it answer in the place of an older one."""
    try:
        start()
    except Exception as error:  # noqa: BLE001 - whatever it is, the client is told by the operation
        properties["provisioningState"] = "Failed"
        told = f"{error}" if isinstance(error, NotReady) else f"The emulator failed: {type(error).__name__}: {error}"
        words = f"User container has crashed or terminated: {told}. See the deployment's log."
        operation.fail(AzureError(400, "ResourceNotReady", words))
        return
    before, deployment.server = deployment.server, server
    if before:
        before.stop()
    properties["provisioningState"] = "Succeeded"
    operation.status = "Succeeded"


def _remove_deployment(call: Call) -> Answer:
    """Remove a deployment; one that has traffic cannot be."""
    workspace, name = call.workspace, call.params["name"]
    endpoint = endpoint_of(workspace, call.params["endpoint"])
    deployment = deployment_of(workspace, endpoint.name, name)
    if share := endpoint.resource["properties"]["traffic"].get(name):
        raise conflict(f"Deployment '{name}' gets {share} % of the traffic and cannot be deleted.")
    with call.state.lock:
        del workspace.tables["onlineDeployments"][endpoint.name, name]
    return _stopping(call, [deployment])


def _stopping(call: Call, removed: list[Deployment]) -> Answer:
    """Stop the servers of deployments that were removed; their clients are answered first."""
    operation = operations.Operation()

    def work() -> None:
        for server in {id(one): one for each in removed for one in (each.server, each.newest) if one}.values():
            server.stop()
        operation.status = "Succeeded"

    threading.Thread(target=work, daemon=True).start()
    return operations.accepted(call, None, operation, status=202)


def _logs(call: Call) -> Answer:
    """Answer the end of what the server that was started last printed."""
    deployment = deployment_of(call.workspace, call.params["endpoint"], call.params["name"])
    if call.body.get("containerType") not in (None, "InferenceServer"):
        raise not_in_emulator(f"The emulator has no log of '{call.body['containerType']}'.")
    return Answer({"content": deployment.newest.log(call.body.get("tail") or 200) if deployment.newest else ""})
