"""An orchestrator that dies at the worst moment on Azure: what goes on finds its job, and there is only the one."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest

from credit_default_tests.end_to_end.azure_world import ROWS, AzureWorld, wait_until_quiet, with_a_live_model
from credit_default_tests.end_to_end.world import ago, new_clients, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

#: Long enough that a job ends before the orchestrator looks again.
SELDOM = {"CREDIT_DEFAULT_POLL_SECONDS": "20"}
STATES = ("NotStarted", "Queued", "Preparing", "Running", "Finalizing", "Completed")


@pytest.fixture(scope="module")
def azure(emulator, tmp_path_factory) -> AzureWorld:
    return with_a_live_model(tmp_path_factory.mktemp("kills") / "home", emulator)


@pytest.fixture
def day(azure, request) -> Iterator[str]:
    """A day of its own for each test, with 3,000 clients to score."""
    names = [name for name in globals() if name.startswith("test_")]
    day = ago(2 + names.index(request.function.__name__))
    azure.land(day, "clients.csv", csv_text(new_clients(ROWS)))
    yield day
    azure.emulator.clear_faults()
    wait_until_quiet(azure)


@contextmanager
def scoring(azure: AzureWorld, day: str, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """Score the day, with other settings than the home's."""
    kept = azure.environment
    azure.environment = {**kept, **changes}
    try:
        with azure.job_under_way("score_batch", day) as run:
            yield run
    finally:
        azure.environment = kept


def jobs_before(azure: AzureWorld) -> set[str]:
    return {job["name"] for job in azure.jobs()}


def kill(run: subprocess.Popen[bytes]) -> None:
    os.kill(run.pid, signal.SIGKILL)
    run.wait(timeout=10)


def assert_goes_on_with_one_job(azure: AzureWorld, day: str, before: set[str]) -> None:
    """Execute the killed run again from where it failed, as the daemon would."""
    killed = azure.runs("score_batch")[0]
    assert killed.status == dg.DagsterRunStatus.STARTED
    assert "batch_predictions" not in {event.asset_key.to_user_string() for event in made_of(azure, day)}
    done = azure.go_on(killed)
    assert done.returncode == 0, done.stderr[-6000:]

    # One job for each step, those that had ended before the crash among them.
    jobs = [job for job in azure.jobs() if job["name"] not in before]
    assert sorted(job["name"].rsplit("-", 3)[0] for job in jobs) == ["drift", "inference-data", "score"]
    assert {job["status"] for job in jobs} == {"Completed"}
    assert {len(job["puts"]) for job in jobs} == {1}
    made = [event.asset_key.to_user_string() for event in made_of(azure, day)]
    assert made.count("batch_predictions") == 1
    assert made.count("drift_metrics") == 1
    azure.pull()
    assert azure.predictions(day).num_rows == ROWS


def made_of(azure: AzureWorld, day: str) -> list[dg.AssetMaterialization]:
    return [
        event
        for asset in ("inference_data", "batch_predictions", "drift_metrics")
        for event in azure.made(asset)
        if event.partition == day
    ]


def new_score(azure: AzureWorld, before: set[str], *states: str) -> bool:
    return any(job["name"] not in before and job["status"] in states for job in azure.jobs("score"))


def asked(azure: AzureWorld, method: str, path: str) -> int:
    return sum(request["method"] == method and path in request["path"] for request in azure.emulator.journal())


def test_killed_before_the_job_is_submitted(azure, day):
    before = jobs_before(azure)
    # Azure takes its time to say whether the job is there already.
    azure.emulator.fault("GET", "/jobs/score-", delay=10)
    with scoring(azure, day) as run:
        until(lambda: asked(azure, "PUT", f"inference_data/{day}/"), seconds=240, what="the day taken in")
        until(lambda: azure.made_days("inference_data").get(day), seconds=60, what="the day recorded")
        kill(run)
    assert not new_score(azure, before, *STATES)
    azure.emulator.clear_faults()
    assert_goes_on_with_one_job(azure, day, before)


def test_killed_between_submitting_the_job_and_the_first_look_at_it(azure, day):
    before = jobs_before(azure)
    looks = asked(azure, "GET", "/jobs/score-")
    azure.emulator.fault("POST", "^/jobs$", host="inference", delay=3)
    with scoring(azure, day) as run:
        until(lambda: asked(azure, "GET", "/jobs/score-") > looks, seconds=240, what="the look for the job")
        azure.emulator.fault("GET", "/jobs/score-", delay=60, times=10)
        until(lambda: new_score(azure, before, *STATES), seconds=60, what="the submitted job", every=0.01)
        kill(run)
    azure.emulator.clear_faults()
    assert_goes_on_with_one_job(azure, day, before)


def test_killed_while_the_job_runs(azure, day):
    before = jobs_before(azure)
    azure.emulator.job_fault("score-", hold=True)
    with scoring(azure, day) as run:
        until(lambda: new_score(azure, before, "Running"), seconds=240, what="the running job")
        kill(run)
    azure.emulator.clear_faults()
    assert_goes_on_with_one_job(azure, day, before)


def test_killed_after_the_job_completed_and_before_that_was_recorded(azure, day):
    before = jobs_before(azure)
    with scoring(azure, day, **SELDOM) as run:
        until(lambda: new_score(azure, before, "Completed"), seconds=300, what="the completed job")
        kill(run)
    assert_goes_on_with_one_job(azure, day, before)
