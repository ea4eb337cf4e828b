"""Jobs that nobody waits for any more are cancelled, whenever that happens, and the error says how that went."""

import os
import signal
import threading
import time
from importlib import resources

import pytest
import yaml

from credit_default.resources.azure.client import retries
from credit_default.resources.azure.jobs import canceller, submission
from credit_default.resources.azure.jobs.job import CANCEL_SECONDS
from credit_default_tests.platforms import azure_compute
from credit_default_tests.resources.running import DAYS, Running

ONE_DAY = DAYS[:1]


@pytest.fixture
def statuses(azure, emulator):
    """What became of each attempt, oldest first."""
    return lambda: [(job["name"].rpartition("-")[2], job["status"]) for job in emulator.jobs(azure.name)]


def eventually(condition, seconds=30.0):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_dagster_waits_for_a_run_longer_than_the_run_waits_for_azure():
    told = yaml.safe_load((resources.files("credit_default.resources.azure") / "dagster.yaml").read_text())
    needed = CANCEL_SECONDS + retries._INTERRUPTED_SECONDS
    assert told["run_monitoring"]["cancel_timeout_seconds"] > needed


def test_work_that_nobody_waits_for_any_more_knows_it():
    known = []

    def work(given_up):
        known.append(given_up.is_set())
        known.append(given_up.wait(10))

    with pytest.raises(TimeoutError):
        retries.within(0.2, work, TimeoutError)
    eventually(lambda: known == [False, True])


def test_an_interrupt_does_not_wait_for_work_that_hangs(monkeypatch):
    monkeypatch.setattr(retries, "_INTERRUPTED_SECONDS", 0.2)
    known = []
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        retries.within(60, lambda given_up: known.append(given_up.wait(30)), TimeoutError)
    assert time.monotonic() - begun < 10
    eventually(lambda: known == [True])


@pytest.mark.slow
def test_a_submission_that_was_given_up_leaves_no_job_behind(azure, emulator, statuses):
    emulator.fault("PUT", "/jobs/count-", delay=14.0)
    outcome = Running(azure_compute(upload_limit=12.0)).run(days=ONE_DAY, options={"seconds": "120"})
    assert "CREDIT_DEFAULT_UPLOAD_LIMIT" in outcome.failure
    assert statuses() == []
    eventually(lambda: statuses() != [])  # the SDK went on, and nobody can stop it
    eventually(lambda: statuses() == [("1", "Canceled")])


@pytest.mark.slow
def test_a_job_that_ends_before_it_can_be_cancelled_raises_no_false_alarm(azure, emulator, statuses):
    emulator.job_fault("^count-", hold=True)
    emulator.fault("POST", "/cancel", status=409, times=1000)

    def refused(entry):
        return entry["status"] == 409 and entry["path"].endswith("/cancel") and azure.name in entry["path"]

    def let_end():
        eventually(lambda: any(refused(entry) for entry in emulator.journal()), 60)
        emulator.job_fault("^count-")

    threading.Thread(target=let_end, daemon=True).start()
    outcome = Running(azure_compute(run_limit=1.0)).run(days=ONE_DAY)
    assert "CREDIT_DEFAULT_RUN_LIMIT" in outcome.failure
    assert "-1 is Completed" in outcome.failure
    assert "did not confirm" not in outcome.failure
    assert statuses() == [("1", "Completed")]


@pytest.mark.slow
def test_the_error_says_when_azure_did_not_confirm_the_end(azure, emulator, monkeypatch):
    monkeypatch.setattr(canceller, "CANCEL_SECONDS", 2.0)
    emulator.job_fault("^count-", hold=True)
    emulator.fault("POST", "/cancel", status=403, times=1000)
    failure = Running(azure_compute(run_limit=1.0)).run(days=ONE_DAY).failure
    assert "CREDIT_DEFAULT_RUN_LIMIT" in failure
    assert "did not confirm" in failure
    assert "status 403" in failure


@pytest.mark.slow
def test_a_second_interrupt_does_not_break_the_cancelling_off(azure, emulator, statuses):
    emulator.fault("POST", "/cancel", status=503, times=6)

    def interrupt_twice():
        eventually(lambda: ("1", "Running") in statuses(), 60)
        os.kill(os.getpid(), signal.SIGINT)
        eventually(lambda: any(e["status"] == 503 for e in emulator.journal() if azure.name in e["path"]), 60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_twice, daemon=True).start()
    outcome = Running(azure_compute()).run(days=ONE_DAY, options={"seconds": "120"})
    assert not outcome.success
    assert statuses() == [("1", "Canceled")]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["it is looked for", "it was submitted", "it was found"])
def test_an_interrupt_between_two_steps_leaves_no_job_behind(azure, statuses, monkeypatch, moment):
    running = Running(azure_compute())
    if moment != "it was submitted":
        with monkeypatch.context() as patch:
            # The first orchestrator is gone without a word.
            patch.setattr(canceller.JobCanceller, "cancel", lambda *_: None)
            patch.setattr("credit_default.resources.azure.jobs.job.JobWatch.wait", lambda _: 1 / 0)
            running.run(days=ONE_DAY, options={"seconds": "120"})
        assert [status for _, status in statuses()] != []

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    if moment == "it is looked for":
        monkeypatch.setattr("credit_default.resources.azure.jobs.attempts.status_of", interrupted)
    elif moment == "it was found":
        monkeypatch.setattr("credit_default.resources.azure.compute.open_session", interrupted)
    else:
        submit = submission.Submission.submit
        monkeypatch.setattr(
            submission.Submission, "submit", lambda *given, **named: interrupted(submit(*given, **named))
        )
    assert not running.run(days=ONE_DAY, options={"seconds": "120"}).success
    assert statuses() == [("1", "Canceled")]
