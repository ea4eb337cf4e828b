"""Days that a batch endpoint on Azure ML scores: one invocation each, found again, made once, and faults."""

import logging
import os
import re
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
import requests
from azure.identity import DefaultAzureCredential
from dagster._core.errors import DagsterExecutionInterruptedError

from credit_default.defs.shared.kills import run_days
from credit_default.errors import JobKilled
from credit_default.ports import DayRejected, StepResult
from credit_default_tests import CHECKOUT
from credit_default_tests.azure_emulator import Workspace
from credit_default_tests.platforms import azure_endpoint
from credit_default_tests.resources.served_models import go_live, in_a_run, model_files, put_day, register

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DAYS = ("2026-03-01", "2026-03-02")


@pytest.fixture(scope="module")
def workspace(emulator) -> Iterator[Workspace]:
    """A workspace for the module, at which this process's environment points."""
    made = emulator.workspace(with_code=True)
    with patch.dict(os.environ, emulator.environment_in(made)):
        yield made
    assert emulator.unknown() == []
    assert emulator.refused_hosts() == []


@pytest.fixture(scope="module")
def live(workspace, tmp_path_factory):
    """An endpoint at which a version is live; none of the tests changes that."""
    endpoint = azure_endpoint()
    storage, files = endpoint.compute.storage, model_files(tmp_path_factory.mktemp("model") / "m")
    go_live(endpoint, register(storage, endpoint.registry, files, "models/m1"))
    for number in range(1, 6):
        put_day(storage, f"2026-03-{number:02}", tmp_path_factory.mktemp("day"))
    return endpoint


@pytest.fixture
def endpoint(live, emulator) -> Iterator[Any]:
    yield live
    emulator.clear_faults()


@pytest.fixture
def invocations(endpoint, emulator, workspace):
    """Days' jobs that were made since the test began."""
    before = {job["name"] for job in emulator.jobs(workspace.name)}

    def look() -> list[dict[str, Any]]:
        found = emulator.jobs(workspace.name)
        new = [job for job in found if job["name"].startswith("score-") and job["name"] not in before]
        return sorted(new, key=lambda job: job["name"])

    return look


def score(endpoint, *days: str, root: str | None = None) -> list:
    return in_a_run(lambda context: list(endpoint.invoke(context, days, versions=["v"] * len(days))), root)


def until(met, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_days_are_one_invocation_each_with_its_own_result(endpoint, invocations, capsys):
    stored = score(endpoint, *DAYS)
    printed = capsys.readouterr().out
    assert [printed.count(f"{day}.parquet: 20 rows scored, 0 rejected") for day in DAYS] == [1, 1]
    assert [message.partition for message in stored] == list(DAYS)
    assert [message.result["input_data_version"] for message in stored] == [f"input-{day}" for day in DAYS]
    for message in stored:
        assert message.job_metadata["studio"].value.startswith("https://ml.azure.com/runs/")
        assert "seconds" not in message.result
    assert {message.job_name for message in stored} == {job["name"] for job in invocations()}
    assert len(invocations()) == 1
    # A copy of the clients is of no use to anybody any more.
    assert not endpoint.compute.storage.holds_anything(f"jobs/{stored[0].job_name}/input")


def test_a_day_that_cannot_be_scored_drops_out_of_the_invocation_alone(endpoint, invocations):
    key = "inference_data/2026-03-09/inference_data.parquet"
    endpoint.compute.storage.write(key, b"no parquet")
    found = score(endpoint, DAYS[0], "2026-03-09", DAYS[1])
    assert [type(message) for message in found] == [StepResult, DayRejected, StepResult]
    assert (found[1].partition, found[1].error_type) == ("2026-03-09", "UnreadableFile")
    assert [job["status"] for job in invocations()] == ["Completed"]


def test_days_whose_invocation_dies_are_told_so_and_each_is_scored_alone_after_that(endpoint, emulator, invocations):
    emulator.job_fault("^score-", kill=1)
    log = logging.getLogger(__name__)

    def work(context):
        def start(days):
            return endpoint.invoke(context, days, versions=["v"] * len(days))

        return list(run_days(start, DAYS, log=log))

    with patch.dict(os.environ, {"CREDIT_DEFAULT_RETRY_DELAY": "0.1"}):
        stored = in_a_run(work)
    assert [message.partition for message in stored] == list(DAYS)
    assert Counter(job["status"] for job in invocations()) == {"Failed": 1, "Completed": 2}


def test_an_invocation_that_dies_is_told_and_the_next_run_makes_another(endpoint, emulator):
    root = str(uuid.uuid4())
    emulator.job_fault("^score-", kill=1)
    with pytest.raises(JobKilled, match="did not finish: Execution failed"):
        score(endpoint, DAYS[0], root=root)
    emulator.clear_faults()
    (stored,) = score(endpoint, DAYS[0], root=root)
    assert stored.job_name.endswith("-2")


def test_an_orchestrator_that_went_away_finds_its_invocation_again(endpoint, invocations):
    root = str(uuid.uuid4())

    def start_and_die(context):
        for _ in endpoint.invoke(context, DAYS, versions=["v"] * len(DAYS)):
            return  # the run ends before it says that it dealt with what it got

    in_a_run(start_and_die, root)
    stored = score(endpoint, *DAYS, root=root)
    assert [message.job_name[-2:] for message in stored] == ["-1", "-1"]
    assert [job["name"] for job in invocations()] == [stored[0].job_name]


@pytest.mark.parametrize("fault", [{"lose": True}, {"status": 500, "times": 3}, {"status": 429, "retry_after": 1}])
def test_a_post_whose_answer_does_not_come_makes_one_invocation(endpoint, invocations, emulator, fault):
    emulator.fault("POST", "^/jobs$", host="inference", **fault)
    (stored,) = score(endpoint, DAYS[0])
    assert isinstance(stored, StepResult)
    assert [job["name"] for job in invocations()] == [stored.job_name]


def test_a_deployment_that_is_invoked_by_name_does_not_route_later_calls_of_others(endpoint):
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields

    assert EndpointInvokeFields.MODEL_DEPLOYMENT not in EndpointInvokeFields.DEFAULT_HEADER


def test_more_days_than_may_run_at_once_are_all_scored(endpoint, invocations, emulator):
    days = [f"2026-03-{day:02}" for day in range(1, 6)]
    emulator.job_fault("^score-", queue_seconds=2)
    two = azure_endpoint(invocations_at_once=2, days_per_invocation=1)
    stored = score(two, *days)
    assert [message.partition for message in stored] == days
    starts = sorted(job["puts"][0] for job in invocations())
    assert len(starts) == 5
    # The last is asked for when the third has ended, and so has waited for the first and for itself.
    assert (datetime.fromisoformat(starts[-1]) - datetime.fromisoformat(starts[0])).total_seconds() > 4


def test_an_interrupt_cancels_every_invocation_that_is_under_way(endpoint, invocations, emulator):
    emulator.job_fault("^score-", hold=True)
    apart = azure_endpoint(days_per_invocation=1)

    def interrupted(context):
        def interrupt():
            until(lambda: [job["status"] for job in invocations()] == ["Running"] * len(DAYS))
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises((KeyboardInterrupt, DagsterExecutionInterruptedError)):
            list(apart.invoke(context, DAYS, versions=["v"] * len(DAYS)))

    in_a_run(interrupted)
    assert [job["status"] for job in invocations()] == ["Canceled"] * len(DAYS)


def test_anybody_invokes_the_endpoint_by_rest_as_its_page_shows(endpoint, emulator, workspace):
    page = (CHECKOUT / "docs" / "how-to" / "invoke-the-endpoint.md").read_text()
    (body,) = re.findall(r"--data '(\{\"properties\".*?\})'", page, re.DOTALL)
    body = body.replace("2026-01-31", DAYS[0])
    uri = endpoint.registry.workspace.client().batch_endpoints.get(endpoint.name).scoring_uri
    with DefaultAzureCredential() as credential:
        token = credential.get_token("https://ml.azure.com/.default").token
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = requests.post(uri, data=body, headers=headers, timeout=60)
    assert answer.status_code == 201, answer.text
    name = answer.json()["name"]
    until(lambda: any(job["name"] == name and job["status"] == "Completed" for job in emulator.jobs(workspace.name)))
    (scores,) = endpoint.compute.storage.entries("my-scores")
    with endpoint.compute.storage.on_disk(f"my-scores/{scores.name}") as path:
        assert pq.read_table(path).num_rows == 20
