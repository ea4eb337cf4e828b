"""The real daemon and web server in `development`: sensors see blobs, runs are terminated, kill -9 costs nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import dagster as dg
import pytest

from credit_default_tests.end_to_end.azure_world import ROWS, AzureWorld, with_a_live_model
from credit_default_tests.end_to_end.server import Platform
from credit_default_tests.end_to_end.world import ago, new_clients, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TERMINATE = (
    """mutation($run: String!) { terminateRun(runId: $run) { __typename ... on TerminateRunFailure { message } } }"""
)


@pytest.fixture(scope="module")
def azure(emulator, tmp_path_factory) -> AzureWorld:
    """A host that deployed nothing: another Dagster instance trained the model and made it live."""
    folder = tmp_path_factory.mktemp("daemon")
    elsewhere = with_a_live_model(folder / "elsewhere", emulator)
    return AzureWorld(folder / "home", emulator, elsewhere.workspace)


@pytest.fixture(scope="module")
def platform(azure) -> Iterator[Platform]:
    """The platform, until a test kills it."""
    platform = Platform(azure)
    with platform.running():
        yield platform


def run_at_work(azure: AzureWorld, step: str) -> tuple[dg.DagsterRun, str]:
    """The run whose job of that step is running, and the job's name."""
    known = {job["name"] for job in azure.jobs(step) if job["status"] in {"Completed", "Canceled", "Failed"}}
    name = until(
        lambda: next((job["name"] for job in azure.jobs(step) if job["status"] == "Running"), None),
        seconds=240,
        what=f"{step} at work",
    )
    assert name not in known
    (run,) = [run for run in azure.runs("score_batch") if run.status == dg.DagsterRunStatus.STARTED]
    return run, name


def made(azure: AzureWorld, asset: str, day: str) -> int:
    return [event.partition for event in azure.made(asset)].count(day)


def test_a_blob_that_lands_becomes_predictions_by_the_sensor_alone(azure, platform):
    day = ago(0)
    azure.land(day, "clients.csv", csv_text(new_clients(ROWS)))
    until(lambda: made(azure, "drift_metrics", day), seconds=300, what="drift of the landed day")
    until(lambda: azure.runs("score_batch")[0].is_finished, seconds=60, what="the end of the run")
    run = azure.runs("score_batch")[0]
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert run.tags["dagster/sensor_name"] == "inference_landing"
    azure.pull()
    assert azure.predictions(day).num_rows == ROWS


def test_what_another_instance_made_live_was_recorded_once_and_started_nothing(azure, platform):
    (recorded,) = azure.made("batch_deployment")
    told = {name: value.value for name, value in recorded.metadata.items()}
    assert (told["live_version"], told["reason"]) == ("1", "the newest version, if its verdict allows")
    assert told["roc_auc"] > 0.6
    assert time.time() - told["trained_at"] < 3600
    assert {run.job_name for run in azure.runs()} == {"score_batch"}


def test_what_a_step_printed_is_in_the_blob_store_for_the_runs_page(azure, platform):
    test_needs = azure.runs("score_batch")[-1]
    assert any(test_needs.run_id in name for name in azure.names("dagster/logs"))


def test_a_terminated_run_cancels_its_job_and_records_nothing(azure, platform):
    day = ago(1)
    azure.emulator.job_fault("score-", hold=True)
    azure.land(day, "clients.csv", csv_text(new_clients(ROWS)))
    run, name = run_at_work(azure, "score")
    told = platform.ask(TERMINATE, run=run.run_id)["terminateRun"]
    assert told["__typename"] == "TerminateRunSuccess", told
    until(lambda: azure.runs("score_batch")[0].is_finished, seconds=120, what="the end of the run")
    assert azure.runs("score_batch")[0].status == dg.DagsterRunStatus.CANCELED
    (job,) = [job for job in azure.jobs("score") if job["name"] == name]
    assert job["status"] == "Canceled"
    assert made(azure, "batch_predictions", day) == 0
    assert made(azure, "drift_metrics", day) == 0
    assert not azure.names(f"predictions/{day}/")
    azure.emulator.clear_faults()


def test_a_run_that_was_killed_with_everything_else_is_found_and_goes_on_with_its_job(azure, platform):
    day = ago(3)
    azure.emulator.job_fault("score-", hold=True)
    azure.land(day, "clients.csv", csv_text(new_clients(ROWS)))
    until(lambda: made(azure, "inference_data", day), seconds=240, what="the landed day taken in")
    killed, name = run_at_work(azure, "score")
    platform.kill_all()
    azure.emulator.clear_faults()

    with Platform(azure).running():
        retried = until(
            lambda: next((run for run in azure.runs("score_batch") if run.parent_run_id == killed.run_id), None),
            seconds=240,
            what="a retry of the killed run",
        )
        until(lambda: made(azure, "drift_metrics", day), seconds=240, what="drift of the day")
        until(lambda: all(run.is_finished for run in azure.runs()), seconds=120, what="every run ends")
    states = {run.run_id: run.status for run in azure.runs("score_batch")}
    assert states[killed.run_id] == dg.DagsterRunStatus.FAILURE
    assert states[retried.run_id] == dg.DagsterRunStatus.SUCCESS
    assert f"{name}" in azure.log_of(retried)
    (job,) = [job for job in azure.jobs("score") if job["name"] == name]
    assert (job["status"], len(job["puts"])) == ("Completed", 1)
    assert made(azure, "batch_predictions", day) == 1
