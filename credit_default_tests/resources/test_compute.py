"""What compute promises wherever it is: results with their files, errors in their own words, one job for one intent."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from credit_default.core.files.limits import Limits
from credit_default.ports import DayRejected, StepResult
from credit_default.resources.local.compute import LocalCompute
from credit_default.resources.local.job import Job
from credit_default_tests.platforms import compute_of, platforms, storage_of
from credit_default_tests.resources.running import DAYS, Running


@pytest.fixture(params=[pytest.param(name, marks=() if name == "local" else pytest.mark.slow) for name in platforms()])
def platform(request) -> str:
    if request.param == "azure":
        request.getfixturevalue("azure")
    return request.param


@pytest.fixture
def running(platform, tmp_path) -> Running:
    return Running(compute_of(platform, tmp_path))


@pytest.fixture
def storage(platform, tmp_path):
    return storage_of(platform, tmp_path / "lake")


def test_results_arrive_with_the_files_that_the_step_wrote(running, storage):
    folder = f"test-{running.root}"
    outcome = running.run(
        consume=lambda message: storage.publish(message.files["count"], f"{folder}/{message.partition}")
    )
    assert outcome.success, outcome.failure
    assert [message.partition for message in outcome.arrived] == list(DAYS)
    assert [storage.read(f"{folder}/{day}").decode() for day in DAYS] == [f"{day}\n" for day in DAYS]
    assert outcome.materialised == len(DAYS)


def test_a_day_that_is_refused_does_not_stop_the_others(running):
    outcome = running.run(options={"fail": DAYS[1]})
    assert outcome.success, outcome.failure
    assert [type(message) for message in outcome.arrived] == [StepResult, DayRejected, StepResult]
    assert outcome.arrived[1].error == "this day is refused"


def test_inputs_are_folders_files_or_not_there(running, storage):
    folder = f"test-{running.root}"
    storage.write(f"{folder}/inputs/b.csv", b"b")
    storage.write(f"{folder}/inputs/a.csv", b"a")
    keys = {f"{folder}/inputs": ["a.csv", "b.csv"], f"{folder}/inputs/a.csv": "a", f"{folder}/nothing": []}
    for key, expected in keys.items():
        outcome = running.run(inputs={"source": key}, days=DAYS[:1])
        assert outcome.success, outcome.failure
        assert outcome.arrived[0].result["read"] == expected


def test_the_limits_of_landed_files_reach_the_step(platform, tmp_path, monkeypatch):
    limits = Limits(max_columns=123, max_row_mb=7, max_memory_share=0.25).as_variables()
    for name, value in limits.items():
        monkeypatch.setenv(name, value)

    outcome = Running(compute_of(platform, tmp_path)).run(days=DAYS[:1])

    assert outcome.success, outcome.failure
    assert outcome.arrived[0].result["limits"] == limits


def test_what_the_step_logs_and_prints_is_in_the_run(running, capsys):
    outcome = running.run(days=DAYS[:1])
    assert f"counted {DAYS[0]}" in outcome.logs
    assert "printed by the step" in capsys.readouterr().out


def test_the_error_of_a_step_is_told_in_its_own_words(running):
    outcome = running.run(options={"fail": "raise"})
    assert "JobFailed: InputError: columns age: missing" in outcome.failure


def test_a_step_that_is_killed_says_that_it_did_not_finish(running):
    outcome = running.run(options={"fail": "die"})
    assert "did not finish" in outcome.failure
    assert "137" in outcome.failure or "SIGKILL" in outcome.failure


def test_a_step_that_is_not_there_is_named(running):
    assert "no_such_step" in running.run(step="no_such_step").failure


def test_a_job_whose_results_were_not_recorded_is_taken_as_it_is_by_the_retry(running):
    def fail(message):
        if message.partition == DAYS[-1]:
            time.sleep(1)  # a local step ends by itself meanwhile
            raise RuntimeError("publishing failed")

    first = running.run(consume=fail)
    second = running.run()
    assert "publishing failed" in first.failure
    assert second.success, second.failure
    assert second.jobs == first.jobs
    assert [message.partition for message in second.arrived] == list(DAYS)
    assert any("Found job" in line for line in second.logs)


def test_a_job_that_was_dealt_with_is_run_again_when_asked_for_again(running):
    first, second = running.run(days=DAYS[:1]), running.run(days=DAYS[:1])
    assert (first.success, second.success) == (True, True)
    assert attempts(first.jobs | second.jobs) == ["1", "2"]


def test_a_job_that_failed_is_tried_anew(running):
    failed = [running.run(options={"fail": "raise"}) for _ in range(2)]
    assert attempts(started_jobs(failed)) == ["1", "2"]


def test_other_options_days_and_versions_are_other_jobs(running):
    jobs = [
        running.run(days=DAYS[:1]).jobs,
        running.run(days=DAYS[1:2]).jobs,
        running.run(days=DAYS[:1], options={"seconds": "0.01"}).jobs,
    ]
    names = {job.rpartition("-")[0] for found in jobs for job in found}
    assert len(names) == 3


def test_an_interrupt_stops_the_job_and_nothing_is_materialised(running):
    started = threading.Event()

    def interrupt():
        started.wait(120)
        time.sleep(2)
        os.kill(os.getpid(), signal.SIGINT)

    def call(context):
        tell = context.log.info
        context.log.info = lambda line: (tell(line), started.set() if line.startswith("Started job") else None)
        return running.compute.run(context, "count", inputs={}, options={"seconds": "60"}, days=DAYS)

    threading.Thread(target=interrupt, daemon=True).start()
    begun = time.monotonic()
    outcome = running.run(call=call)
    assert not outcome.success
    assert outcome.interrupted or "KeyboardInterrupt" in outcome.failure or "Interrupted" in outcome.failure
    assert (outcome.materialised, outcome.arrived) == (0, [])
    assert time.monotonic() - begun < 100
    assert has_stopped(running.compute, *started_jobs([outcome]))


def started_jobs(outcomes):
    """Names of the jobs that runs said they had started."""
    told = [line for outcome in outcomes for line in outcome.logs if line.startswith("Started job ")]
    return [line.removeprefix("Started job ").split()[0].rstrip(".") for line in told]


def attempts(names):
    return sorted(name.rpartition("-")[2] for name in names)


def has_stopped(compute, name):
    if isinstance(compute, LocalCompute):
        return not Job(Path(compute.jobs) / name).alive()
    return compute.workspace.client().jobs.get(name).status == "Canceled"
