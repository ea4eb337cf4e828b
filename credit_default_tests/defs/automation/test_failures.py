"""Runs that failed reach telemetry as exceptions, with our own words only."""

from __future__ import annotations

import dagster as dg
import pytest

from credit_default.defs.automation.failures import run_failures
from credit_default.errors import ContractError, JobFailed
from credit_default.resources.local.telemetry import LocalTelemetry

VALUE = "a value of a row"


@pytest.fixture
def telemetry(tmp_path) -> LocalTelemetry:
    return LocalTelemetry(folder=str(tmp_path / "telemetry"))


@pytest.fixture
def told(instance, telemetry):
    """Let a run fail with an error, tell of it as often as asked, and return what is known of it."""

    def fail(error: Exception, times: int = 1) -> tuple[str, list]:
        @dg.op
        def failing():
            raise error

        @dg.job(name="score_batch")
        def job():
            failing()

        result = job.execute_in_process(instance=instance, raise_on_error=False)
        event = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
        for _ in range(times):
            context = dg.build_run_status_sensor_context(
                "run_failures",
                dagster_event=event,
                dagster_instance=instance,
                dagster_run=result.dagster_run,
            ).for_run_failure()
            run_failures(context, telemetry=telemetry)
        query = (
            "exceptions | project type, outerMessage, run = tostring(customDimensions.run_id), "
            "job = tostring(customDimensions.job), step = tostring(customDimensions.step)"
        )
        return result.run_id, telemetry.query(query)

    return fail


def test_a_failed_run_is_told_with_its_error_its_job_and_its_step(told):
    run_id, rows = told(ContractError("clients.csv, line 3, column age: got text, expected a number"))
    (row,) = rows
    assert (row["type"], row["run"], row["job"], row["step"]) == ("ContractError", run_id, "score_batch", "failing")
    assert row["outerMessage"].endswith("clients.csv, line 3, column age: got text, expected a number")


def test_a_failed_run_is_told_once_however_often_the_sensor_looks(told):
    assert len(told(ContractError("no"), times=3)[1]) == 1


def test_words_of_others_are_not_passed_on(told):
    (row,) = told(ValueError(f"cannot convert {VALUE}"))[1]
    assert row["type"] == "ValueError"
    assert VALUE not in str(row)


def test_what_a_program_printed_last_is_not_passed_on(told):
    (row,) = told(JobFailed(f"Job score-1 did not finish: exit status 1. {VALUE}\nprinted: {VALUE}"))[1]
    assert row["outerMessage"].endswith("Job score-1 did not finish: see the log of the run")
    assert VALUE not in str(row)
