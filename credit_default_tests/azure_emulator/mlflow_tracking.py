"""The workspace's MLflow at its ``azureml://`` address: MLflow's protocol, and the files of runs.

What MLflow's plugin for Azure ML asks at ``/mlflow/v2.0`` is handed to the real MLflow server on loopback. Files of
runs go where Azure ML keeps them: to the workspace's artifact store, by addresses that run history signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from credit_default_tests.azure_emulator.azure_errors import AzureError, bad_request, not_found
from credit_default_tests.azure_emulator.routes import Answer, Call, Route, ml_route
from credit_default_tests.azure_emulator.store import API_HOST, State, Workspace

#: How long a job's own token lives: as long as a job may run.
TOKEN_SECONDS = 24 * 3600
_METHODS = ("GET", "POST", "PATCH", "DELETE")
#: Names in backticks or double quotes, and the status of a run: MLflow's own servers filter by them. Microsoft's page
#: "Query & compare experiments and runs with MLflow" says that Azure ML does not, or has other words for a status.
_UNSUPPORTED = re.compile(r"`|\.\s*\"|\battr(ibute)?s?\.\s*status\b|^\s*status\b|\band\s+status\b", re.IGNORECASE)
_RUN = "/history/v1.0{ws}/experiments/{experiment}/runs/{run}/artifacts"


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    del state
    protocol = "/mlflow/v2.0{ws}/api/2.0/mlflow/{rest:rest}"
    return [
        *(ml_route(method, protocol, _forwarded) for method in _METHODS),
        ml_route("POST", f"{_RUN}/batch/metadata", _places),
        ml_route("GET", f"{_RUN}/contentinfo", _place),
        ml_route("GET", _RUN, _listed),
    ]


def variables(state: State, workspace: Workspace) -> dict[str, str]:
    """Return what a job's environment says about tracking, besides its run."""
    return {
        "AZUREML_CURRENT_CLOUD": "AzureCloud",  # otherwise the plugin asks which clouds there are
        "MLFLOW_TRACKING_URI": f"azureml://{API_HOST}/mlflow/v1.0{workspace.arm_id}",
        "MLFLOW_TRACKING_TOKEN": state.identity.token(
            "https://ml.azure.com", state.identity.managed_id, seconds=TOKEN_SECONDS
        ),
    }


def _forwarded(call: Call) -> Answer:
    """Hand a request to the MLflow server; addresses of files become those of the workspace."""
    workspace = call.workspace  # 404 for one that is not there
    if call.params["rest"].startswith("logged-models"):
        raise AzureError(404, "NotFound", "Azure ML has no part of MLflow's protocol for logged models.")
    if call.params["rest"] == "runs/search" and _UNSUPPORTED.search(call.body.get("filter") or ""):
        raise bad_request(f"The filter '{call.body['filter']}' is not supported.", "BadRequest")
    assert call.state.tracking is not None
    status, answer = call.state.tracking.forward(call.method, call.params["rest"], call.query, call.body)
    for info in _infos(answer):
        address = f"azureml://{API_HOST}/mlflow/v2.0{workspace.arm_id}/experiments/{info['experiment_id']}"
        info["artifact_uri"] = f"{address}/runs/{info['run_id']}/artifacts"
    return Answer(answer, status)


def _infos(answer: Any) -> Iterator[dict[str, Any]]:
    """Yield the description of every run in an answer."""
    runs = [answer.get("run"), *answer.get("runs", ()), {"info": answer.get("run_info")}]
    for run in runs:
        if run and (info := run.get("info")) and "artifact_uri" in info:
            yield info


def _places(call: Call) -> Answer:
    """Say where files are to be uploaded to."""
    paths = [asked["path"] for asked in call.body["paths"]]
    return Answer(
        {
            "artifacts": {path: _artifact(call, path) for path in paths},
            "artifactContentInformation": {path: _information(call, path, "cw") for path in paths},
            "errors": {},
        }
    )


def _place(call: Call) -> Answer:
    path = call.query["path"]
    if not call.state.blobs.exists(call.workspace.artifacts, f"{_folder(call)}/{path}"):
        raise not_found("Artifact", path)
    return Answer(_information(call, path, "r"))


def _listed(call: Call) -> Answer:
    folder = f"{_folder(call)}/"
    names = call.state.blobs.names(call.workspace.artifacts, folder)
    return Answer({"value": [_artifact(call, name.removeprefix(folder)) for name in names]})


def _folder(call: Call) -> str:
    return f"ExperimentRun/dcid.{call.params['run']}"


def _artifact(call: Call, path: str) -> dict[str, str]:
    return {"origin": "ExperimentRun", "container": f"dcid.{call.params['run']}", "path": path}


def _information(call: Call, path: str, permission: str) -> dict[str, str]:
    signed = call.state.blobs.signed_url(call.workspace.artifacts, f"{_folder(call)}/{path}", permission=permission)
    return {**_artifact(call, path), "contentUri": signed}
