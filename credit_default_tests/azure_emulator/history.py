"""Run history: what happened to a job, its children, its logs, and where its outputs lie."""

from __future__ import annotations

from typing import Any

from credit_default_tests.azure_emulator.azure_errors import not_found
from credit_default_tests.azure_emulator.job import Job, span
from credit_default_tests.azure_emulator.jobs import find
from credit_default_tests.azure_emulator.routes import Answer, Call, Route, ml_route
from credit_default_tests.azure_emulator.store import REGION, State

#: How many runs are listed at once: few, so that tests see more than one page.
PAGE = 3


class History:
    """Answers what run history and the data service are asked about jobs."""

    def __init__(self, state: State) -> None:
        self._state = state

    def details(self, call: Call) -> Answer:
        """Tell how far a job is, how it ended, and where its logs are, by signed addresses."""
        job = find(call.workspace, call.params["name"])
        common = _common(job)
        return Answer(
            {
                **common,
                "createdTimeUtc": job.created,
                "logFiles": self._logs(job),
                "warnings": [],
            }
        )

    def run(self, call: Call) -> Answer:
        """Show one run."""
        return Answer(_run(find(call.workspace, call.params["name"])))

    def children(self, call: Call) -> Answer:
        """List the runs directly below one, a page at a time."""
        children = find(call.workspace, call.params["name"]).children
        start = int(call.query.get("$continuationtoken") or 0)
        page: dict[str, Any] = {"value": [_run(child) for child in children[start : start + PAGE]]}
        if start + PAGE < len(children):
            page["continuationToken"] = str(start + PAGE)
            page["nextLink"] = f"https://{call.host}{call.path}?$continuationtoken={start + PAGE}"
        return Answer(page)

    def data(self, call: Call) -> Answer:
        """Show a run together with the assets that its outputs are."""
        job = find(call.workspace, call.body["runId"])
        outputs = {
            name: {"assetId": _asset_id(job, name), "type": _type_of(job, name)}
            for name in (job.outputs if job.ended.is_set() else ())
        }
        return Answer({"runMetadata": {**_run(job), "outputs": outputs}})

    def resolved(self, call: Call) -> Answer:
        """Tell where the assets that are outputs of jobs lie."""
        known = {
            _asset_id(job, name): {"uri": _long(job, address), "type": _type_of(job, name)}
            for job in call.workspace.tables["jobs"].values()
            for name, address in job.outputs.items()
        }
        for asset_id in call.body["values"]:
            if asset_id not in known:
                raise not_found("Data version", asset_id)
        return Answer({"values": {asset_id: known[asset_id] for asset_id in call.body["values"]}})

    def _logs(self, job: Job) -> dict[str, str]:
        container = job.workspace.artifacts
        names = [
            name
            for folder in ("logs", "user_logs")
            for name in self._state.blobs.names(container, f"{job.artifacts}/{folder}/")
        ]
        return {name.removeprefix(f"{job.artifacts}/"): self._state.blobs.signed_url(container, name) for name in names}


def _common(job: Job) -> dict[str, Any]:
    """Return what run history says of a run wherever it mentions one."""
    told = {
        "runId": job.name,
        "parentRunId": job.parent.name if job.parent else None,
        "rootRunId": job.root.name,
        "status": job.status,
        "startTimeUtc": job.started,
        "endTimeUtc": job.finished,
        "duration": span(job.started, job.finished),
        "error": job.error.body() if job.error and job.ended.is_set() else None,
        "target": job.compute,
        "compute": {"target": job.compute, "instanceCount": 1},
        "tags": job.properties.get("tags") or {},
        "properties": {**(job.properties.get("properties") or {}), **job.results},
    }
    return {key: value for key, value in told.items() if value is not None}


def _run(job: Job) -> dict[str, Any]:
    return {
        **_common(job),
        "createdUtc": job.created,
        "displayName": job.properties.get("displayName") or job.name,
        "experimentId": job.experiment,
        "runType": f"azureml.{job.kind.lower()}",
    }


def _type_of(job: Job, output: str) -> str:
    return str(job.properties["outputs"][output]["jobOutputType"])


def _asset_id(job: Job, output: str) -> str:
    scope = f"azureml://locations/{REGION}/workspaces/{job.workspace.guid}"
    return f"{scope}/data/azureml_{job.name}_output_data_{output}/versions/1"


def _long(job: Job, address: str) -> str:
    """Return an address on a datastore with the workspace in it, as the data service writes it."""
    tail = address.partition("datastores/")[2]
    workspace = job.workspace
    return (
        f"azureml://subscriptions/{workspace.subscription}/resourcegroups/{workspace.resource_group}"
        f"/workspaces/{workspace.name}/datastores/{tail}"
    )


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    history = History(state)
    run = "/history/v1.0{ws}/runs/{name}"
    return [
        ml_route("GET", f"{run}/details", history.details, answer="runhistory.RunDetails"),
        ml_route("GET", run, history.run, answer="runhistory.Run"),
        ml_route("GET", f"{run}/children", history.children, answer="runhistory.PaginatedRunList"),
        ml_route(
            "POST",
            "/history/v1.0{ws}/rundata",
            history.data,
            request="runhistory.GetRunDataRequest",
            answer="runhistory.GetRunDataResult",
        ),
        ml_route(
            "POST",
            "/data/v1.0{ws}/dataversion/batchGetResolvedUris",
            history.resolved,
            request="dataset_dataplane.BatchGetResolvedURIs",
            answer="dataset_dataplane.BatchDataUriResponse",
        ),
    ]
