"""Workspaces, their datastores and their computes."""

import uuid
from typing import Any

from credit_default_tests.azure_emulator import registries
from credit_default_tests.azure_emulator.azure_errors import bad_request, not_found
from credit_default_tests.azure_emulator.names import check_name
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import API_HOST, REGION, State, Workspace

DEFAULT_DATASTORE = "workspaceblobstore"
# Where the logs of jobs are; Azure shows it in no list of datastores.
ARTIFACT_STORE = "workspaceartifactstore"
DEDICATED = "cpu-cluster"
SPOT = "cpu-spot"


def routes(state: State) -> list[Route]:
    """Return the routes of workspaces, datastores and computes."""
    del state
    datastore = "{ws}/datastores/{name}"
    return [
        Route("GET", "{ws}", _workspace, ("2024-10-01-preview", "2023-08-01-preview"), answer="Workspace"),
        Route("GET", "/discovery", _discovery, host=API_HOST, audiences=()),  # asked without a token
        Route("GET", "{ws}/datastores", _datastores, ("2024-10-01-preview",), answer="Datastore[]"),
        Route("GET", datastore, _datastore, ("2024-10-01-preview",), answer="Datastore"),
        Route("PUT", datastore, _put_datastore, ("2024-10-01-preview",), request="Datastore", answer="Datastore"),
        Route("DELETE", datastore, _remove_datastore, ("2024-10-01-preview",)),
        Route("POST", datastore + "/listSecrets", _secrets, ("2024-10-01-preview",), answer="DatastoreSecrets"),
        Route("GET", "{ws}/computes", _computes, ("2023-08-01-preview",), answer="ComputeResource[]"),
        Route("GET", "{ws}/computes/{name}", _compute, ("2023-08-01-preview",), answer="ComputeResource"),
    ]


def create(state: State, name: str | None = None, *, with_code: bool = False) -> Workspace:
    """Make a workspace with a container for its lake, a default datastore, two clusters, and a registry.

    Parameters
    ----------
    with_code
        Whether it has every version of code that others have, as if its own jobs had run before: to upload hundreds
        of files takes more than to run a small job.
    """
    name = name or f"ws-{uuid.uuid4().hex[:8]}"
    workspace = Workspace(name, container=f"{name}-lake", artifacts=f"azureml-blobstore-{name}")
    for container in (workspace.container, workspace.artifacts):
        state.blobs.create_container(container)
    with state.lock:
        state.workspaces[name.lower()] = workspace
    registries.create(state, workspace.registry)
    for datastore in (DEFAULT_DATASTORE, ARTIFACT_STORE):
        workspace.tables["datastores"][datastore] = workspace.resource(
            f"datastores/{datastore}",
            {
                "datastoreType": "AzureBlob",
                "accountName": workspace.account,
                "containerName": workspace.artifacts,
                "endpoint": "core.windows.net",
                "protocol": "https",
                "credentials": {"credentialsType": "AccountKey"},
                "isDefault": datastore == DEFAULT_DATASTORE,
                "serviceDataAccessAuthIdentity": "None",
                "tags": {},
                "properties": {},
            },
        )
    for cluster, priority in ((DEDICATED, "Dedicated"), (SPOT, "LowPriority")):
        workspace.tables["computes"][cluster] = workspace.resource(f"computes/{cluster}", _cluster(priority)) | {
            "location": REGION
        }
    if with_code:
        with state.lock:
            for other in state.workspaces.values():
                workspace.tables["codes"] |= {
                    code: {
                        version: workspace.resource(f"codes/{code}/versions/{version}", known["properties"])
                        for version, known in versions.items()
                    }
                    for code, versions in other.tables["codes"].items()
                }
    return workspace


def is_low_priority(workspace: Workspace, compute: str) -> bool:
    """Whether a compute's nodes may be taken away."""
    return workspace.tables["computes"][compute]["properties"]["properties"]["vmPriority"] == "LowPriority"


def _cluster(priority: str) -> dict[str, Any]:
    return {
        "computeType": "AmlCompute",
        "computeLocation": REGION,
        "provisioningState": "Succeeded",
        "isAttachedCompute": False,
        "properties": {
            "vmSize": "Standard_D4s_v5",
            "vmPriority": priority,
            "osType": "Linux",
            "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT2M"},
            "allocationState": "Steady",
            "currentNodeCount": 0,
            "targetNodeCount": 0,
            "errors": [],
        },
    }


def _workspace(call: Call) -> Answer:
    workspace = call.workspace
    group = f"/subscriptions/{workspace.subscription}/resourceGroups/{workspace.resource_group}/providers"
    properties = {
        "workspaceId": workspace.guid,
        "friendlyName": workspace.name,
        "description": "",
        "storageAccount": f"{group}/Microsoft.Storage/storageAccounts/{workspace.account}",
        "keyVault": f"{group}/Microsoft.KeyVault/vaults/{workspace.name}",
        "applicationInsights": f"{group}/Microsoft.Insights/components/{workspace.name}",
        "discoveryUrl": f"https://{API_HOST}/discovery",
        "mlFlowTrackingUri": f"azureml://{API_HOST}/mlflow/v1.0{workspace.arm_id}",
        "provisioningState": "Succeeded",
        "hbiWorkspace": False,
        "publicNetworkAccess": "Enabled",
        "tenantId": call.state.identity.tenant,
    }
    body = workspace.resource("", properties, created=workspace.created)
    arm = {
        "id": workspace.arm_id,
        "name": workspace.name,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "location": REGION,
        "kind": "Default",
        "identity": {
            "type": "SystemAssigned",
            "tenantId": call.state.identity.tenant,
            "principalId": call.state.identity.managed_id,
        },
        "tags": {},
    }
    return Answer(body | arm)


def _discovery(call: Call) -> Answer:
    del call
    services = ("api", "history", "experimentation", "modelmanagement", "pipelines", "catalog")
    return Answer(dict.fromkeys(services, f"https://{API_HOST}") | {"studio": "https://ml.azure.com"})


def _datastores(call: Call) -> Answer:
    wanted_default = call.query.get("isDefault", "").lower()
    stored = [one for one in call.workspace.tables["datastores"].values() if one["name"] != ARTIFACT_STORE]
    if wanted_default in ("true", "false"):
        stored = [one for one in stored if one["properties"]["isDefault"] is (wanted_default == "true")]
    return Answer({"value": stored})


def _datastore(call: Call) -> Answer:
    return Answer(_found(call, "datastores", "Datastore"))


def _put_datastore(call: Call) -> Answer:
    workspace, name = call.workspace, check_name("datastore", call.params["name"])
    properties = call.body["properties"]
    if properties["datastoreType"] != "AzureBlob" or properties["credentials"]["credentialsType"] != "None":
        raise bad_request("The emulator knows blob datastores without credentials only.", "NotSupported")
    with call.state.lock:
        datastores = workspace.tables["datastores"]
        status = 200 if name in datastores else 201
        shown = {"isDefault": False, "tags": {}, "properties": {}} | properties
        datastores[name] = workspace.resource(f"datastores/{name}", shown)
    return Answer(datastores[name], status)


def _remove_datastore(call: Call) -> Answer:
    """Forget a datastore, and leave what it leads to; a name that is not there is answered with 204."""
    with call.state.lock:
        found = call.workspace.tables["datastores"].pop(call.params["name"], None)
    return Answer(status=200 if found else 204)


def _secrets(call: Call) -> Answer:
    properties = _found(call, "datastores", "Datastore")["properties"]
    if properties["credentials"]["credentialsType"] == "None":
        raise bad_request(f"Datastore '{call.params['name']}' has no credentials.", "UserError")
    return Answer({"secretsType": "AccountKey", "key": call.state.blobs.key})


def _computes(call: Call) -> Answer:
    return Answer({"value": list(call.workspace.tables["computes"].values())})


def _compute(call: Call) -> Answer:
    return Answer(_found(call, "computes", "Compute"))


def _found(call: Call, table: str, kind: str) -> dict[str, Any]:
    try:
        return call.workspace.tables[table][call.params["name"]]
    except KeyError:
        raise not_found(kind, call.params["name"]) from None
