"""The batch endpoint on Azure ML: versions side by side, days as invocations that are found again, and faults."""

import os
import re
import signal
import threading
import time
import uuid
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests
from azure.identity import DefaultAzureCredential
from dagster._core.errors import DagsterExecutionInterruptedError

from credit_default.errors import JobFailed, ModelError, SettingsError
from credit_default.resources.azure import deployments
from credit_default.resources.azure.targets import Target
from credit_default.resources.ports import EndpointState, ModelVersion, Stored
from credit_default_tests.platforms import azure_compute, azure_endpoint
from credit_default_tests.resources import served_models
from credit_default_tests.resources.served_models import MODEL_FILE, in_a_run, model_files, put_day

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DAYS = ("2026-03-01", "2026-03-02")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def endpoint(azure):
    return azure_endpoint()


@pytest.fixture
def register(endpoint, files):
    """Register the model, as a version of its own each time."""

    def make(number: int = 1) -> ModelVersion:
        return served_models.register(endpoint.compute.storage, endpoint.registry, files, f"models/m{number}")

    return make


@pytest.fixture
def arrive(endpoint, tmp_path):
    """Put the accepted clients of a day into the lake."""
    return lambda day: put_day(endpoint.compute.storage, day, tmp_path)


def deploy(endpoint, model):
    return in_a_run(lambda context: endpoint.deploy(context, model))


def go_live(endpoint, model, changed_by: str = "run") -> EndpointState:
    deploy(endpoint, model)
    return endpoint.make_default(model.version, changed_by=changed_by)


def score(endpoint, *days: str, root: str | None = None) -> list:
    return in_a_run(lambda context: list(endpoint.invoke(context, days, versions=["v"] * len(days))), root)


def deployments_of(endpoint) -> list:
    return list(endpoint.registry.workspace.client().batch_deployments.list(endpoint.name))


def invocations(emulator, azure) -> list[str]:
    return [job["name"] for job in emulator.jobs(azure.name)]


def test_each_day_is_one_invocation_with_a_link_to_the_studio(endpoint, register, arrive, emulator, azure):
    go_live(endpoint, register())
    for day in DAYS:
        arrive(day)
    stored = score(endpoint, *DAYS)
    assert [message.partition for message in stored] == list(DAYS)
    for message in stored:
        assert message.job_metadata["studio"].value.startswith("https://ml.azure.com/runs/")
    jobs = invocations(emulator, azure)
    assert len(jobs) == len(set(jobs)) == 3  # the smoke test, and one for each day
    assert {message.job_name for message in stored} < set(jobs)


def test_a_model_file_that_was_changed_fails_the_smoke_test_and_the_default_stays(endpoint, register, files):
    go_live(endpoint, register(1))
    model = register(2)
    endpoint.compute.storage.write(f"{model.key}/{MODEL_FILE}", files[MODEL_FILE] + b"x")
    with pytest.raises(JobFailed, match="HashMismatch"):
        deploy(endpoint, model)
    assert endpoint.state().default == "1"


def test_what_is_there_is_found_again_and_another_model_under_its_name_is_refused(endpoint, register, emulator):
    model = register()
    go_live(endpoint, model)
    go_live(endpoint, model)
    puts = [entry for entry in emulator.journal() if entry["method"] == "PUT" and "/deployments/" in entry["path"]]
    assert sum(endpoint.name in entry["path"] for entry in puts) == 1
    import dataclasses

    with pytest.raises(ModelError, match=r"Deployment version-1-[0-9a-f]{12} .* is of another model"):
        deploy(endpoint, dataclasses.replace(model, sha256="0" * 64))


def test_an_invocation_that_dies_is_told_and_the_next_run_makes_another(endpoint, register, arrive, emulator, azure):
    go_live(endpoint, register())
    arrive(DAYS[0])
    root = str(uuid.uuid4())
    emulator.job_fault("^score-", kill=True)
    with pytest.raises(JobFailed, match="did not finish"):
        score(endpoint, DAYS[0], root=root)
    emulator.clear_faults()
    (stored,) = score(endpoint, DAYS[0], root=root)
    assert stored.job_name.endswith("-2")


def test_an_orchestrator_that_went_away_finds_its_invocation_again(endpoint, register, arrive, emulator, azure):
    go_live(endpoint, register())
    arrive(DAYS[0])
    root = str(uuid.uuid4())

    def start_and_die(context):
        for _ in endpoint.invoke(context, [DAYS[0]], versions=["v"]):
            return  # the run ends before it says that it dealt with what it got

    in_a_run(start_and_die, root)
    (stored,) = score(endpoint, DAYS[0], root=root)
    assert stored.job_name.endswith("-1")
    assert sum(name.startswith("score-") for name in invocations(emulator, azure)) == 1


@pytest.mark.parametrize("fault", [{"lose": True}, {"status": 500, "times": 3}, {"status": 429, "retry_after": 1}])
def test_a_post_whose_answer_does_not_come_makes_one_invocation(  # noqa: PLR0917 - pytest's fixtures
    endpoint, register, arrive, emulator, azure, fault
):
    go_live(endpoint, register())
    arrive(DAYS[0])
    emulator.fault("POST", "^/jobs$", host="inference", **fault)
    (stored,) = score(endpoint, DAYS[0])
    assert isinstance(stored, Stored)
    assert sum(name.startswith("score-") for name in invocations(emulator, azure)) == 1


def test_a_deployment_that_is_invoked_by_name_does_not_route_later_calls_of_others(endpoint, register, arrive):
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields

    go_live(endpoint, register(1))
    assert EndpointInvokeFields.MODEL_DEPLOYMENT not in EndpointInvokeFields.DEFAULT_HEADER


def test_staging_and_production_deploy_the_model_of_the_shared_registry(endpoint, register, azure):
    model = register()
    shared = azure_endpoint(from_registry=True)
    go_live(shared, model)
    (deployed,) = deployments_of(shared)
    assert deployed.model == f"azureml://registries/{shared.registry.registry}/models/{model.name}/versions/1"


def test_new_code_is_deployed_beside_the_old_and_takes_its_place(endpoint, register, monkeypatch):
    model = register()
    go_live(endpoint, model, "first")
    assert not endpoint.state().outdated
    monkeypatch.setattr(deployments, "code_version", lambda: "0123456789ab")
    assert endpoint.state() == EndpointState(("1",), "1", None, "first", outdated=True)
    deploy(endpoint, model)
    assert endpoint.state().outdated
    assert endpoint.make_default("1", changed_by="second") == EndpointState(("1",), "1", None, "first")
    assert len(deployments_of(endpoint)) == 2


def test_old_deployments_are_removed_but_for_those_that_one_may_go_back_to(endpoint, register, monkeypatch):
    monkeypatch.setattr(deployments, "_KEEP", 0)
    for number in (1, 2, 3):
        go_live(endpoint, register(number))
    assert endpoint.state() == EndpointState(("2", "3"), "3", "2", "run")


def test_more_days_than_may_run_at_once_are_all_scored(endpoint, register, arrive, emulator, azure):
    go_live(endpoint, register())
    days = [f"2026-03-{day:02}" for day in range(1, 6)]
    for day in days:
        arrive(day)
    emulator.job_fault("^score-", queue_seconds=2)
    two = azure_endpoint(invocations_at_once=2)
    stored = score(two, *days)
    assert [message.partition for message in stored] == days
    starts = sorted(job["puts"][0] for job in emulator.jobs(azure.name) if job["name"].startswith("score-"))
    assert len(starts) == 5
    # The last is asked for when the third has ended, and so has waited for the first and for itself.
    assert (datetime.fromisoformat(starts[-1]) - datetime.fromisoformat(starts[0])).total_seconds() > 4


def test_an_interrupt_cancels_every_invocation_that_is_under_way(endpoint, register, arrive, emulator, azure):
    go_live(endpoint, register())
    for day in DAYS:
        arrive(day)
    emulator.job_fault("^score-", hold=True)

    def interrupted(context):
        def interrupt():
            until(lambda: len(running(emulator, azure)) == len(DAYS))
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises((KeyboardInterrupt, DagsterExecutionInterruptedError)):
            list(endpoint.invoke(context, DAYS, versions=["v"] * len(DAYS)))

    in_a_run(interrupted)
    jobs = [job for job in emulator.jobs(azure.name) if job["name"].startswith("score-")]
    assert [job["status"] for job in jobs] == ["Canceled"] * len(DAYS)


def running(emulator, azure) -> list[str]:
    return [
        job["name"]
        for job in emulator.jobs(azure.name)
        if job["name"].startswith("score-") and job["status"] == "Running"
    ]


def until(met, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_serverless_compute_is_refused_before_anything_is_deployed(endpoint, register):
    model = register()
    anywhere = {**endpoint.compute.targets, "score": Target(compute="serverless")}
    serverless = azure_endpoint(compute=azure_compute(sources=["credit_default"], targets=anywhere))
    with pytest.raises(SettingsError, match=r"a batch endpoint needs a cluster; set CREDIT_DEFAULT_COMPUTE_SCORE"):
        deploy(serverless, model)


def test_anybody_invokes_the_endpoint_by_rest_as_the_readme_shows(endpoint, register, arrive, emulator, azure):
    go_live(endpoint, register())
    arrive(DAYS[0])
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (body,) = re.findall(r"--data '(\{\"properties\".*?\})'", readme, re.DOTALL)
    body = body.replace("2026-01-31", DAYS[0])
    uri = endpoint.registry.workspace.client().batch_endpoints.get(endpoint.name).scoring_uri
    with DefaultAzureCredential() as credential:
        token = credential.get_token("https://ml.azure.com/.default").token
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = requests.post(uri, data=body, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    name = answer.json()["name"]
    until(lambda: any(job["name"] == name and job["status"] == "Completed" for job in emulator.jobs(azure.name)))
    (scores,) = endpoint.compute.storage.entries("my-scores")
    with endpoint.compute.storage.on_disk(f"my-scores/{scores.name}") as path:
        assert pq.read_table(path).num_rows == 20
