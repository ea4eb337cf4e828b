"""Submitting, looking at and cancelling jobs: the routes of Azure Resource Manager."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from credit_default_tests.azure_emulator import bindings, pipelines, sweeps
from credit_default_tests.azure_emulator.azure_errors import bad_request, conflict, not_found, not_in_emulator
from credit_default_tests.azure_emulator.execution import SERVERLESS, Runner
from credit_default_tests.azure_emulator.job import Job
from credit_default_tests.azure_emulator.locations import asset, locate
from credit_default_tests.azure_emulator.routes import ARM_HOST, Answer, Call, Route
from credit_default_tests.azure_emulator.store import REGION, State, Workspace, now

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_PUT = ("2025-01-01-preview", "2024-01-01-preview")
_GET = ("2024-01-01-preview",)
_CANCEL = ("2023-04-01-preview",)
_OPERATION = (
    "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{region}"
    "/mfeOperationResults/{operation}"
)


class Jobs:
    """The jobs of every workspace."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._runner = state.runner = Runner(state)

    def put(self, call: Call) -> Answer:
        """Take a job and start it; a name is used once, for ever."""
        workspace, name = call.workspace, call.params["name"]
        if not _NAME.fullmatch(name):
            raise bad_request(f"'{name}' is no job name; expected letters, digits, - and _, at most 255 of them.")
        properties = call.body["properties"]
        with self._state.lock:
            if known := workspace.tables["jobs"].get(name):
                known.puts.append(now())
                raise conflict(f"A job with the name '{name}' already exists; a job's name cannot be used again.")
            job = Job(workspace, name, properties.get("jobType", ""), properties, compute_of(workspace, properties))
            work = self._checked(job)
            workspace.tables["jobs"][name] = job
        answer = Answer(job.resource(), 201)
        self._runner.start(job, work)
        return answer

    def _checked(self, job: Job) -> Any:
        """Refuse what Azure refuses when a job is submitted; return what runs the job."""
        properties = job.properties
        for given in (properties.get("inputs") or {}).values():
            if given.get("jobInputType") != "literal" and given.get("mode") != "Direct":
                locate(job.workspace, given["uri"])  # the datastore or asset; the path is looked at later, as on Azure
        try:
            job.place_outputs()
        except bindings.UnknownBinding as error:
            raise bad_request(f"The path of an output: {error}.") from error
        for address in job.outputs.values():
            locate(job.workspace, address)
        if job.kind == "Command":
            check_command(job.workspace, properties, properties)
            return self._runner.run_command
        if job.kind == "Sweep":
            sweeps.check(properties)
            check_command(job.workspace, properties["trial"], properties)
            return lambda sweep: sweeps.run_sweep(self._runner, sweep)
        if job.kind == "Pipeline":
            nodes = pipelines.nodes(job)
            return lambda pipeline: pipelines.run_pipeline(self._runner, pipeline, nodes)
        raise not_in_emulator(f"The emulator runs no job of the type '{job.kind}'.")

    def get(self, call: Call) -> Answer:
        """Show a job. What is inside a pipeline shows no properties: run history knows them."""
        job = find(call.workspace, call.params["name"])
        resource = job.resource()
        job.shown = resource["properties"]["status"]
        if job.parent and job.root.kind == "Pipeline":
            resource["properties"] = None
        return Answer(resource)

    def list(self, call: Call) -> Answer:
        """Show every job that somebody submitted, newest first."""
        jobs = [job for job in call.workspace.tables["jobs"].values() if job.parent is None]
        return Answer({"value": [job.resource() for job in reversed(jobs)]})

    def cancel(self, call: Call) -> Answer:
        """Ask a job to end; the answer says where to ask whether it did."""
        job = find(call.workspace, call.params["name"])
        if job.ended.is_set():
            return Answer(status=200)
        job.request_cancel()
        path = _OPERATION.format(
            subscription=call.workspace.subscription, region=REGION, operation=f"{call.workspace.name}:{job.name}"
        )
        location = f"https://{ARM_HOST}{path}?api-version={_CANCEL[0]}"
        return Answer(status=202, headers={"Location": location, "Retry-After": "1"})

    def cancelled(self, call: Call) -> Answer:
        """Tell whether a cancelled job ended: 202 until then."""
        workspace, _, name = call.params["operation"].partition(":")
        if workspace not in self._state.workspaces:
            raise not_found("Workspace", workspace)
        job = find(self._state.workspaces[workspace], name)
        if job.ended.is_set():
            return Answer(status=200)
        location = f"https://{ARM_HOST}{call.path}?api-version={_CANCEL[0]}"
        return Answer(status=202, headers={"Location": location, "Retry-After": "1"})


def find(workspace: Workspace, name: str) -> Job:
    """Return a job by its name; Azure's 404 when there is none."""
    job: Job | None = workspace.tables["jobs"].get(name)
    if job is None:
        raise not_found("Job", name)
    return job


def summaries(workspace: Workspace) -> list[dict[str, Any]]:
    """Return what a test wants to know of every job of a workspace, oldest first."""
    return [
        {
            "name": job.name,
            "status": job.status,
            "type": job.kind,
            "parent": job.parent.name if job.parent else None,
            "compute": job.compute,
            "puts": job.puts,
            "steps": job.steps,
            "properties": job.properties,
            "error": job.error.message if job.error else None,
        }
        for job in workspace.tables["jobs"].values()
    ]


def compute_of(workspace: Workspace, properties: Mapping[str, Any]) -> str:
    """Return the name of the compute that a job asks for; Azure's 404 when there is none of that name."""
    name = str(properties.get("computeId") or SERVERLESS).rpartition("/")[2]
    if name != SERVERLESS and properties.get("jobType") != "Pipeline" and name not in workspace.tables["computes"]:
        raise not_found("Compute", name)
    return name


def check_command(workspace: Workspace, command: Mapping[str, Any], job: Mapping[str, Any]) -> None:
    """Refuse a command whose code or environment is not there, or that names what the job does not have."""
    asset(workspace, command["environmentId"], "environments")
    if command.get("codeId"):
        asset(workspace, command["codeId"], "codes")
    known = {f"{kind}.{name}" for kind in ("inputs", "outputs") for name in job.get(kind) or {}}
    known |= {f"search_space.{name}" for name in job.get("searchSpace") or {}}
    if missing := bindings.names(command["command"]) - known:
        raise bad_request(f"The command names what the job does not have: {', '.join(sorted(missing))}.")


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    jobs = Jobs(state)
    one = "{ws}/jobs/{name}"
    return [
        Route("PUT", one, jobs.put, _PUT, request="JobBase", answer="JobBase"),
        Route("GET", one, jobs.get, _GET, answer="JobBase"),
        Route("GET", "{ws}/jobs", jobs.list, _GET),
        Route("POST", f"{one}/cancel", jobs.cancel, _CANCEL),
        Route("GET", _OPERATION, jobs.cancelled, _CANCEL),
    ]
