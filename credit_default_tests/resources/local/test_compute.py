"""What is particular to steps as processes of this machine: told live, stopped with all they started.

What every compute promises is in `test_compute`.
"""

import os
import signal
import subprocess
import sys
import textwrap
import time

import dagster as dg
import psutil
import pytest

from credit_default.ports import DayRejected
from credit_default.resources.local.compute import LocalCompute
from credit_default.resources.local.job import Job

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


def compute(home, **changed):
    return LocalCompute(
        jobs=str(home / "jobs"),
        lake=str(home / "lake"),
        tracking_uri="",
        grace_seconds=1.0,
        steps="credit_default_tests.resources.example_steps",
        **changed,
    )


def run(home, *, options=None, instance=None, consume=None, **changed):
    """Run the example step inside a real Dagster run; returns the result and the messages that arrived."""
    arrived = []

    @dg.multi_asset(specs=[dg.AssetSpec("counted", skippable=True)])
    def counted(context: dg.AssetExecutionContext):
        for message in compute(home, **changed).run(context, "count", inputs={}, options=options or {}, days=DAYS):
            arrived.append(message)
            if consume:
                consume(message)
            if not isinstance(message, DayRejected):
                yield dg.AssetMaterialization("counted", partition=message.partition)

    # Held here: what Dagster makes for itself is gone as soon as the garbage collector comes by.
    held = instance or dg.DagsterInstance.ephemeral()
    return dg.materialize([counted], instance=held, raise_on_error=False), arrived


def failure(result):
    """The message of the step that failed, with its causes."""
    error = result.get_step_failure_events()[0].step_failure_data.error
    return "".join(filter(None, (error.message, error.cause and error.cause.message)))


@pytest.mark.parametrize(("how", "told"), [("die", "killed by SIGKILL"), ("shell", "ended with exit code 137")])
def test_a_step_that_is_killed_says_by_what_and_that_memory_may_be_why(tmp_path, how, told):
    result, arrived = run(tmp_path, options={"fail": how})
    assert not result.success
    assert "JobKilled" in failure(result)
    assert told in failure(result)
    assert "when memory runs out" in failure(result)
    assert [message.partition for message in arrived] == list(DAYS)


def test_a_step_that_runs_too_long_is_stopped_with_its_children_and_names_the_limit(tmp_path):
    begun = time.monotonic()
    result, arrived = run(tmp_path, options={"fail": "child"}, step_timeout=4.0)
    assert time.monotonic() - begun < 60
    assert "JobTimedOut" in failure(result)
    assert "ran for more than 4 s" in failure(result)
    assert "CREDIT_DEFAULT_STEP_TIMEOUT" in failure(result)
    assert [message.partition for message in arrived] == list(DAYS)
    (folder,) = (tmp_path / "jobs").iterdir()
    assert not Job(folder).alive()


def test_what_jobs_left_behind_is_removed_after_its_time_when_a_step_is_run(tmp_path):
    old = tmp_path / "jobs" / "count-aaaaaaaa-0123-1"
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    result, _ = run(tmp_path)
    assert result.success
    assert not old.exists()


def test_messages_arrive_while_the_step_still_works(tmp_path):
    moments = []
    run(tmp_path, options={"seconds": "0.5"}, consume=lambda _: moments.append(time.monotonic()))
    assert moments[-1] - moments[0] > 0.7


def test_whoever_stops_listening_stops_the_job_and_its_children(tmp_path):
    def stop(message):
        if message.partition == DAYS[-1]:
            deadline = time.monotonic() + 10
            job = next(iter((tmp_path / "jobs").iterdir()))
            group = int((job / "pid").read_text())
            while not psutil.Process(group).children() and time.monotonic() < deadline:
                time.sleep(0.05)
            children.extend(psutil.Process(group).children())
            raise RuntimeError("publishing failed")

    children = []
    result, _ = run(tmp_path, options={"fail": "child"}, consume=stop)
    assert not result.success
    assert children
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    job = Job(next(iter((tmp_path / "jobs").iterdir())))
    assert not job.alive()


def test_a_job_of_another_run_that_died_in_silence_counts_as_killed(tmp_path):
    job = Job(tmp_path / "count-1")
    job.start([sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ))
    found = Job(tmp_path / "count-1")
    assert found.alive()
    pid = tmp_path / "count-1" / "pid"
    deadline = time.monotonic() + 10
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while job.alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found.was_killed()
    assert "when memory runs out" in found.how_it_ended()
    assert job.was_killed()


# A run in a process of its own, so that it can be killed without a chance to clean up.
ORCHESTRATOR = """
import sys
import dagster as dg
from pathlib import Path
from credit_default_tests.resources.local.test_compute import DAYS, compute
from credit_default.ports import StepResult

home = Path(sys.argv[1])

@dg.multi_asset(specs=[dg.AssetSpec("counted", skippable=True)])
def counted(context: dg.AssetExecutionContext):
    options = {"seconds": sys.argv[2], "started": str(home / "started")}
    for message in compute(home).run(context, "count", inputs={}, options=options, days=DAYS):
        with (home / "seen").open("a") as stream:
            stream.write(f"{message.partition}\\n")
        yield dg.AssetMaterialization("counted", partition=message.partition)

# The same id stands for a retry, which shares the id of its root run.
job = dg.Definitions(assets=[counted]).resolve_implicit_global_asset_job_def()
job.execute_in_process(run_id="11111111-2222-3333-4444-555555555555")
"""


@pytest.mark.parametrize("seconds", ["0.8", "0.0"], ids=["while the job runs", "after the job completed"])
def test_a_killed_orchestrator_finds_its_job_and_reads_all_it_said(tmp_path, seconds):
    command = [sys.executable, "-c", textwrap.dedent(ORCHESTRATOR), str(tmp_path), seconds]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(tmp_path.glob("jobs/*/pid")):
        time.sleep(0.01)
    if seconds == "0.0":
        os.kill(first.pid, signal.SIGSTOP)
        while time.monotonic() < deadline and Job(next(iter((tmp_path / "jobs").iterdir()))).alive():
            time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    seen_before = (tmp_path / "seen").read_text().split() if (tmp_path / "seen").exists() else []

    second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 0, second.stderr[-2000:]
    assert "Found job" in second.stderr
    assert len((tmp_path / "started").read_text().split()) == 1, "the job was started twice"
    assert (tmp_path / "seen").read_text().split()[len(seen_before) :] == list(DAYS)
