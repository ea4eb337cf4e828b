"""Runs whose process is gone are noticed, and runs whose process lives are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.launcher import WorkerStatus

from credit_default.resources.local.run_launcher import WatchfulRunLauncher


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def launcher(instance):
    made = WatchfulRunLauncher()
    made.register_instance(instance)
    return made


@pytest.fixture
def run(instance):
    return instance.add_run(dg.DagsterRun(job_name="score_batch", status=dg.DagsterRunStatus.STARTED))


@pytest.fixture
def sleeper():
    """A process that does nothing, and is ended with the test."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def announce(instance, run, pid: int, *, seconds_ago: float = 0.0) -> None:
    """Say that a process executes the run, as Dagster does, so long ago."""
    event = DagsterEvent(
        event_type_value=dg.DagsterEventType.ENGINE_EVENT.value,
        job_name=run.job_name,
        message=f"Started process for run (pid: {pid}).",
        event_specific_data=EngineEventData.in_process(pid),
    )
    instance.report_dagster_event(event, run.run_id, timestamp=time.time() - seconds_ago)


def test_a_run_whose_process_lives_is_running(launcher, instance, run, sleeper):
    announce(instance, run, sleeper.pid)
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_a_run_whose_process_was_killed_has_failed(launcher, instance, run, sleeper):
    announce(instance, run, sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    found = launcher.check_run_worker_health(run)
    assert found.status == WorkerStatus.FAILED
    assert str(sleeper.pid) in found.msg


def test_a_process_that_is_dead_and_not_yet_buried_has_failed(launcher, instance, run, sleeper):
    announce(instance, run, sleeper.pid)
    sleeper.kill()
    deadline = time.monotonic() + 10
    while launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.FAILED


def test_another_process_that_got_the_same_id_is_not_taken_for_the_run(launcher, instance, run, sleeper):
    announce(instance, run, sleeper.pid, seconds_ago=3_600)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.FAILED


def test_a_run_that_has_not_spoken_yet_is_given_time(launcher, run):
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_the_process_that_was_announced_last_counts(launcher, instance, run, sleeper):
    announce(instance, run, 2**22 + 1, seconds_ago=60)  # no such process
    announce(instance, run, sleeper.pid)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING


def test_processes_of_other_runs_do_not_count(launcher, instance, run, sleeper):
    other = instance.add_run(dg.DagsterRun(job_name="score_batch", status=dg.DagsterRunStatus.STARTED))
    announce(instance, other, sleeper.pid)
    announce(instance, run, 2**22 + 1)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.FAILED
    assert launcher.check_run_worker_health(other).status == WorkerStatus.RUNNING


def test_a_launcher_without_an_instance_does_not_guess(run):
    assert WatchfulRunLauncher().check_run_worker_health(run).status == WorkerStatus.UNKNOWN


def test_dagster_announces_the_process_of_a_run_as_this_launcher_expects(launcher, instance, run):
    # What Dagster itself writes when a run's process begins.
    instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(os.getpid()))
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
