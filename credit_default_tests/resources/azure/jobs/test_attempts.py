"""Which job a retry goes on with: no work that was paid for is paid twice, and nothing old passes for new."""

import threading
import time
import uuid

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from credit_default.pipes import messages
from credit_default.resources.azure.jobs import attempts as attempts_module
from credit_default.resources.azure.jobs import canceller
from credit_default.resources.azure.jobs import job as job_module
from credit_default_tests.platforms import azure_compute
from credit_default_tests.resources.running import DAYS, Running

pytestmark = pytest.mark.slow
ONE_DAY = DAYS[:1]


@pytest.fixture
def statuses(azure, emulator):
    """What became of each attempt, oldest first."""
    return lambda: [(job["name"].rpartition("-")[2], job["status"]) for job in emulator.jobs(azure.name)]


@pytest.fixture
def attempt(azure):
    """Run the step once more, as a retry of the first run does; with `fail`, the run fails after it."""
    compute = azure_compute()
    root = str(uuid.uuid4())
    made = []

    def run(*, fail=False):
        @dg.multi_asset(specs=[dg.AssetSpec("counted", skippable=True)])
        def counted(context: dg.AssetExecutionContext):
            made.append([found.job_name for found in compute.run(context, "count", inputs={}, days=ONE_DAY)])
            if fail:
                raise RuntimeError("what comes later in the run failed")
            yield dg.AssetMaterialization("counted")

        job = dg.Definitions(assets=[counted], executor=dg.in_process_executor).resolve_implicit_global_asset_job_def()
        first = {"run_id": root} if not made else {"root_run_id": root, "parent_run_id": root}
        created = instance.create_run_for_job(job, **first)
        assert execute_run(InMemoryJob(job), created, instance).success is not fail
        return made[-1][0].rpartition("-")[2]

    run.storage = compute.storage
    with dg.DagsterInstance.ephemeral() as instance:
        yield run


def test_a_run_that_fails_later_has_its_jobs_taken_again_until_one_ends_well(attempt, statuses):
    assert [attempt(fail=True), attempt(fail=True), attempt()] == ["1", "1", "1"]
    assert statuses() == [("1", "Completed")]
    assert attempt() == "2"  # wanted once more, after it was done


def test_a_job_whose_messages_were_removed_is_not_taken_again(attempt, emulator, azure):
    assert attempt(fail=True) == "1"
    folder = f"jobs/{emulator.jobs(azure.name)[0]['name']}/messages"
    (start,) = attempt.storage.entries(folder)
    for chunk in attempt.storage.entries(f"{folder}/{start.name}"):
        attempt.storage.remove(f"{folder}/{start.name}/{chunk.name}")
    assert attempt() == "2"


def test_code_that_was_mended_does_not_take_the_result_of_the_old(azure, emulator, monkeypatch):
    running = Running(azure_compute())
    assert not running.run(days=ONE_DAY, consume=lambda _: 1 / 0).success
    monkeypatch.setattr(messages, "code_version", lambda: "mended")
    outcome = running.run(days=ONE_DAY)
    assert outcome.success, outcome.failure
    assert len(emulator.jobs(azure.name)) == 2


def test_a_job_that_somebody_cancelled_is_started_anew(azure, emulator, statuses):
    compute = azure_compute()

    def cancel():
        while not any(job["status"] == "Running" for job in emulator.jobs(azure.name)):
            time.sleep(0.1)
        compute.workspace.client().jobs.begin_cancel(emulator.jobs(azure.name)[0]["name"])

    threading.Thread(target=cancel, daemon=True).start()
    running = Running(compute)
    assert "JobCancelled" in running.run(days=ONE_DAY, options={"seconds": "4"}).failure
    second = running.run(days=ONE_DAY, options={"seconds": "4"})
    assert second.success, second.failure
    assert statuses() == [("1", "Canceled"), ("2", "Completed")]


def test_no_job_is_started_beside_one_that_is_still_being_cancelled(azure, emulator, statuses, monkeypatch):
    for module in (job_module, canceller, attempts_module):
        monkeypatch.setattr(module, "CANCEL_SECONDS", 1.0)
    emulator.job_fault("^count-.*-1$", state="CancelRequested")
    compute = azure_compute()
    running = Running(compute)
    watched = running.run(days=ONE_DAY).failure
    assert "was cancelled and has not ended for 1 s" in watched
    assert "Azure did not confirm" in watched
    assert "has not ended for 1 s" in running.run(days=ONE_DAY).failure
    assert statuses() == [("1", "CancelRequested")]

    def end():
        time.sleep(2)
        compute.workspace.client().jobs.begin_cancel(emulator.jobs(azure.name)[0]["name"])

    monkeypatch.setattr(attempts_module, "CANCEL_SECONDS", 60.0)
    threading.Thread(target=end, daemon=True).start()
    outcome = running.run(days=ONE_DAY)
    assert outcome.success, outcome.failure
    assert statuses() == [("1", "Canceled"), ("2", "Completed")]
