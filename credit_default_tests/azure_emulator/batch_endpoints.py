"""Batch endpoints and their deployments; an invocation is a job that really runs the deployment's scoring script."""

from __future__ import annotations

import re
import shlex
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credit_default_tests.azure_emulator import batch_driver, models, operations
from credit_default_tests.azure_emulator.azure_errors import AzureError, bad_request, conflict, not_found
from credit_default_tests.azure_emulator.execution import JobCanceled, Runner
from credit_default_tests.azure_emulator.job import TERMINAL, Job, JobError
from credit_default_tests.azure_emulator.jobs import compute_of
from credit_default_tests.azure_emulator.locations import asset, locate
from credit_default_tests.azure_emulator.names import check_endpoint_name
from credit_default_tests.azure_emulator.routes import API_HOST, ML_AUDIENCES, Answer, Call, Route
from credit_default_tests.azure_emulator.store import REGION, State, Workspace

SCORING_HOST = f"*.{REGION}.inference.ml.azure.com"
# The SDK asks for endpoints and deployments with the one or the other, by which client of its own is in use.
_VERSIONS = ("2023-10-01", "2024-01-01-preview")
#: A line of a requirements file, or of the packages of a conda file.
_AZUREML = re.compile(r"^[\s-]*azureml-core\b", re.MULTILINE)
_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    del state
    endpoint, deployment = "{ws}/batchEndpoints/{endpoint}", "{ws}/batchEndpoints/{endpoint}/deployments/{name}"
    listed = "/mferp/managementfrontend{ws}/batchEndpoints/{endpoint}/jobs"
    data, deployed = "BatchEndpoint", "BatchDeployment"
    return [
        Route("GET", "{ws}/batchEndpoints", _list, _VERSIONS, answer=f"{data}[]"),
        Route("GET", endpoint, _get, _VERSIONS, answer=data),
        Route("PUT", endpoint, _put, _VERSIONS, request=data, answer=data),
        Route("DELETE", endpoint, _remove_endpoint, _VERSIONS),
        Route("GET", f"{endpoint}/deployments", _deployments, _VERSIONS, answer=f"{deployed}[]"),
        Route("GET", deployment, _deployment, _VERSIONS, answer=deployed),
        Route("PUT", deployment, _deploy, _VERSIONS, request=deployed, answer=deployed),
        Route("DELETE", deployment, _remove, _VERSIONS),
        Route("POST", "/jobs", _invoke, host=SCORING_HOST, audiences=ML_AUDIENCES),
        Route("GET", listed, _jobs, ("2020-09-01-dataplanepreview",), host=API_HOST, audiences=ML_AUDIENCES),
    ]


def _list(call: Call) -> Answer:
    return Answer({"value": list(call.workspace.tables["batchEndpoints"].values())})


def _get(call: Call) -> Answer:
    return Answer(_endpoint(call.workspace, call.params["endpoint"]))


def _endpoint(workspace: Workspace, name: str) -> dict[str, Any]:
    found = workspace.tables["batchEndpoints"].get(name)
    if found is None:
        raise not_found("Endpoint", name)
    return found


def _put(call: Call) -> Answer:
    """Make or change an endpoint; its default must be one of its deployments."""
    workspace, name = call.workspace, check_endpoint_name(call.params["endpoint"])
    asked = call.body["properties"]
    default = (asked.get("defaults") or {}).get("deploymentName")
    with call.state.lock:
        if default and (name, default) not in workspace.tables["batchDeployments"]:
            raise bad_request(f"The default deployment '{default}' does not exist under endpoint '{name}'.")
        properties = {
            "authMode": asked.get("authMode") or "AADToken",
            "description": asked.get("description"),
            "properties": asked.get("properties") or {},
            "defaults": {"deploymentName": default} if default else {},
            "provisioningState": "Succeeded",
            "scoringUri": scoring_address(workspace, name, "jobs"),
        }
        stored = workspace.resource(f"batchEndpoints/{name}", properties)
        stored |= {"location": REGION, "tags": call.body.get("tags") or {}}
        workspace.tables["batchEndpoints"][name] = stored
    return operations.accepted(call, stored)


def _remove_endpoint(call: Call) -> Answer:
    """Remove an endpoint with every deployment; its jobs stay."""
    workspace, name = call.workspace, _endpoint(call.workspace, call.params["endpoint"])["name"]
    with call.state.lock:
        del workspace.tables["batchEndpoints"][name]
        for key in [key for key in workspace.tables["batchDeployments"] if key[0] == name]:
            del workspace.tables["batchDeployments"][key]
    return operations.accepted(call, None, status=202)


def _deployments(call: Call) -> Answer:
    name = _endpoint(call.workspace, call.params["endpoint"])["name"]
    found = call.workspace.tables["batchDeployments"].items()
    return Answer({"value": [deployment for (endpoint, _), deployment in found if endpoint == name]})


def _deployment(call: Call) -> Answer:
    return Answer(_deployed(call.workspace, call.params["endpoint"], call.params["name"]))


def _deployed(workspace: Workspace, endpoint: str, name: str) -> dict[str, Any]:
    found = workspace.tables["batchDeployments"].get((endpoint, name))
    if found is None:
        raise not_found("Deployment", f"{endpoint}/{name}")
    return found


def _deploy(call: Call) -> Answer:
    """Make or change a deployment: what it names has to be there."""
    workspace, endpoint, name = call.workspace, call.params["endpoint"], check_endpoint_name(call.params["name"])
    _endpoint(workspace, endpoint)
    asked = call.body["properties"]
    models.must_be_of_workspace(asked["model"]["assetId"])
    models.location(call.state, workspace, asked["model"]["assetId"])
    _must_hold_azureml(call.state, workspace, asset(workspace, asked["environmentId"], "environments"))
    asset(workspace, asked["codeConfiguration"]["codeId"], "codes")
    compute_of(workspace, {"computeId": asked["compute"]})
    properties = {"properties": {}, "environmentVariables": {}, "provisioningState": "Succeeded"} | asked
    stored = workspace.resource(f"batchEndpoints/{endpoint}/deployments/{name}", properties)
    stored |= {"location": REGION, "tags": call.body.get("tags") or {}}
    with call.state.lock:
        workspace.tables["batchDeployments"][endpoint, name] = stored
    return operations.accepted(call, stored)


def _must_hold_azureml(state: State, workspace: Workspace, environment: dict[str, Any]) -> None:
    """Refuse an environment that names no `azureml-core`: what Azure ML runs the script with imports it there.

    Azure takes the deployment, and every job of it fails with these words.
    """
    properties = environment["properties"]
    texts = [properties.get("condaFile") or ""]
    if build := properties.get("build"):
        context = locate(workspace, build["contextUri"])
        names = state.blobs.names(context.container, context.path)
        texts += [state.blobs.read(context.container, name).decode() for name in names]
    if not any(_AZUREML.search(text) for text in texts):
        raise bad_request(
            "No module named 'azureml'. The azureml-core package appears to be missing in the installation of "
            f"environment '{environment['id'].rpartition('/environments/')[2]}'."
        )


def _remove(call: Call) -> Answer:
    """Remove a deployment; the default one cannot be."""
    workspace, endpoint, name = call.workspace, call.params["endpoint"], call.params["name"]
    _deployed(workspace, endpoint, name)
    if _endpoint(workspace, endpoint)["properties"]["defaults"].get("deploymentName") == name:
        raise conflict(f"Deployment '{name}' is the default of endpoint '{endpoint}' and cannot be deleted.")
    with call.state.lock:
        del workspace.tables["batchDeployments"][endpoint, name]
    return Answer(status=200)


@dataclass
class BatchJob(Job):
    """An invocation; Azure shows it as a pipeline job."""

    endpoint: str = ""
    deployment: str = ""

    def resource(self) -> dict[str, Any]:
        """Return the job as Azure Resource Manager shows it."""
        outputs = {
            name: {"jobOutputType": "uri_folder", "uri": self.outputs[name], "mode": "ReadWriteMount"}
            for name in self.outputs
        }
        about = {"azureml.deploymentname": self.deployment, "azureml.endpointname": self.endpoint}
        properties = {
            "jobType": "Pipeline",
            "displayName": self.name,
            "experimentName": self.endpoint,
            "status": self.status,
            "tags": {},
            "properties": about,
            "services": {"Studio": {"endpoint": self.studio, "jobServiceType": "Studio"}},
            "inputs": {},
            "outputs": outputs,
            "jobs": {},
            "settings": {},
        }
        return self.workspace.resource(f"jobs/{self.name}", properties, created=self.created)


class ScoringStep(Job):
    """The one step of an invocation: the parallel run, which is what has logs."""

    @property
    def called(self) -> str:
        """A test means the invocation; the step's own name is a number of Azure's."""
        return self.root.name

    @property
    def logs(self) -> tuple[str, str]:
        """Where parallel runs keep what their scripts print."""
        return "logs/user/stdout/10.0.0.4/process000.stdout.txt", "logs/user/error.txt"

    def was_shown(self) -> bool:
        """Whether somebody was told this state of the invocation."""
        return self.root.shown == self.status

    def enter(self, status: str) -> None:
        """Enter a state, and the invocation with it as long as neither has ended."""
        super().enter(status)
        if self.parent is not None and status not in TERMINAL:
            self.parent.enter(status)


def _run_invocation(runner: Runner, job: BatchJob) -> None:
    runner.start_tracking(job)
    (step,) = job.children
    runner.conclude(step, runner.run_command)
    if step.status == "Canceled":
        raise JobCanceled
    if step.status == "Failed":
        raise JobError(
            "Pipeline has failed child jobs. Failed nodes: /batchscoring. For more details and logs, please go to the "
            "job detail page and check the child jobs."
        )


def scoring_address(workspace: Workspace, endpoint: str, path: str) -> str:
    """Return where an endpoint is reached.

    A region of Azure has each name once; here the workspace is in the address, so that workspaces do not meet.
    """
    return f"https://{endpoint}--{workspace.name}.{REGION}.inference.ml.azure.com/{path}"


def addressed(call: Call) -> tuple[Workspace, str]:
    """Return the workspace and the endpoint that the host of a request stands for."""
    label = call.host.partition(".")[0]
    endpoint, _, name = label.partition("--")
    workspace = call.state.workspaces.get(name)
    if workspace is None:
        raise not_found("Endpoint", label)
    return workspace, endpoint


def _invoke(call: Call) -> Answer:
    """Start a job that scores what the request names; a job's name is used once, for ever."""
    workspace, endpoint = addressed(call)
    found = _endpoint(workspace, endpoint)
    deployment = call.headers.get("azureml-model-deployment") or found["properties"]["defaults"].get("deploymentName")
    if not deployment:
        raise bad_request(f"Endpoint '{endpoint}' has no default deployment, and the request names none.")
    settings = _deployed(workspace, endpoint, deployment)["properties"]
    asked = call.body["properties"]
    job_name = asked.get("name") or f"batchjob-{uuid.uuid4()}"
    if not _JOB_NAME.fullmatch(job_name):
        raise bad_request(f"'{job_name}' is no job name; expected letters, digits, - and _, at most 255 of them.")
    with call.state.lock:
        if known := workspace.tables["jobs"].get(job_name):
            known.puts.append(known.created)
            raise conflict(f"A job with the name '{job_name}' already exists; a job's name cannot be used again.")
        properties = _as_command(call.state, workspace, settings, asked)
        job = BatchJob(workspace, job_name, "Pipeline", properties, compute_of(workspace, properties))
        job.endpoint, job.deployment = endpoint, deployment
        job.place_outputs()
        for address in job.outputs.values():
            locate(workspace, address)
        step = ScoringStep(workspace, str(uuid.uuid4()), "Command", properties, job.compute, parent=job)
        step.outputs = job.outputs
        job.children.append(step)
        workspace.tables["jobs"] |= {job_name: job, step.name: step}
    answer = {**job.resource(), "properties": {**asked, "name": job_name, "status": job.status}}
    runner = call.state.runner
    runner.start(job, lambda invocation: _run_invocation(runner, invocation))
    return Answer(answer, 201)


def _as_command(state: State, workspace: Workspace, settings: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return the command job that does what the invocation asks for, on this emulator's node."""
    given = asked.get("inputData") or {}
    if len(given) != 1:
        raise bad_request(f"Expected one input, got {sorted(given)}: a model deployment scores files of one place.")
    (data,) = given.values()
    kind = {"UriFolder": "uri_folder", "UriFile": "uri_file"}.get(data.get("jobInputType", ""))
    if kind is None:
        raise AzureError(400, "UserError", f"The emulator knows no input '{data.get('jobInputType')}'.")
    address = data["uri"]
    locate(workspace, address)
    model = models.location(state, workspace, settings["model"]["assetId"])
    output = next(iter((asked.get("outputData") or {}).values()), {})
    code = settings["codeConfiguration"]
    retries = settings.get("retrySettings") or {}
    parts = [
        f"python -P {shlex.quote(str(Path(batch_driver.__file__)))}",
        f"--script {shlex.quote(code['scoringScript'])}",
        '--input "${{inputs.data}}" --output "${{outputs.score}}"',
        f"--mini-batch-size {settings.get('miniBatchSize') or 10}",
        f"--error-threshold {asked.get('errorThreshold', settings.get('errorThreshold', -1))}",
        f"--retries {retries.get('maxRetries', 3)}",
    ]
    if settings.get("outputAction") == "AppendRow":
        parts.append(f"--rows-to {shlex.quote(settings.get('outputFileName') or 'predictions.csv')}")
    where = 'AZUREML_MODEL_DIR="${{inputs.model}}" AZUREML_BI_OUTPUT_PATH="${{outputs.score}}" '
    return {
        "command": where + " ".join(parts),
        "codeId": code["codeId"],
        "environmentId": settings["environmentId"],
        "computeId": settings["compute"],
        "environmentVariables": settings.get("environmentVariables") or {},
        "inputs": {
            "data": {"jobInputType": kind, "uri": address, "mode": "ReadOnlyMount"},
            "model": {
                "jobInputType": "uri_folder",
                "uri": state.blobs.url(model.container, model.path),
                "mode": "ReadOnlyMount",
            },
        },
        "outputs": {"score": {"jobOutputType": "uri_folder", "uri": output.get("uri")}},
    }


def _jobs(call: Call) -> Answer:
    endpoint = _endpoint(call.workspace, call.params["endpoint"])["name"]
    jobs = [job for job in call.workspace.tables["jobs"].values() if isinstance(job, BatchJob)]
    return Answer({"value": [job.resource() for job in reversed(jobs) if job.endpoint == endpoint]})
