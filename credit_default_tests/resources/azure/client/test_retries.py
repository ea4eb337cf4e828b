"""How long Azure is borne with, against the real SDK: outages, pauses it asks for, limits, what is read meanwhile."""

import io
import sys
import threading
import time
from datetime import datetime

import pytest

from credit_default.errors import JobFailed, StorageError
from credit_default.resources.azure.client import request_options
from credit_default.resources.azure.client.retries import RetryPolicy
from credit_default.resources.azure.jobs import history as history_module
from credit_default.resources.azure.jobs.messages import JobMessages, listing_of
from credit_default.resources.azure.jobs.submission import Submission
from credit_default.settings.azure_compute import Target
from credit_default_tests.platforms import azure_compute, azure_storage
from credit_default_tests.resources.running import DAYS, Running

pytestmark = pytest.mark.slow

ONE_DAY = DAYS[:1]


@pytest.fixture
def jobs(azure, emulator):
    """The jobs of this test's workspace, as the emulator knows them."""
    return lambda: emulator.jobs(azure.name)


def statuses(jobs):
    return [(job["name"].rpartition("-")[2], job["status"]) for job in jobs()]


def while_running(jobs, act):
    """Act in the background once a job runs."""

    def wait():
        while not any(job["status"] == "Running" for job in jobs()):
            time.sleep(0.05)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def after_submission(monkeypatch, act):
    """Act right after a job was submitted, before it is looked at for the first time."""
    submit = Submission.submit

    def submit_and_act(*arguments, **options):
        submit(*arguments, **options)
        act()

    monkeypatch.setattr(Submission, "submit", submit_and_act)


def test_a_passing_outage_of_the_token_endpoint_cancels_nothing(azure, emulator, jobs):
    def cut():
        emulator.fault("POST", "token", drop=True, times=4, host="login")
        emulator.expire_tokens()

    while_running(jobs, cut)
    outcome = Running(azure_compute()).run(days=ONE_DAY, options={"seconds": "4"})
    assert outcome.success, outcome.failure
    assert statuses(jobs) == [("1", "Completed")]
    assert any(entry["host"].startswith("login") and entry["status"] is None for entry in emulator.journal())


def test_an_identity_that_never_was_one_is_told_at_once(azure, monkeypatch):
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    storage = azure_storage()
    patience = RetryPolicy(storage.workspace.credential(), 600.0, 0.1)
    begun = time.monotonic()
    with pytest.raises(StorageError, match="asked for a token"):
        patience.ask("reading", lambda: storage.read("landing/x"))
    assert time.monotonic() - begun < 60


def test_a_retry_after_is_obeyed_by_the_very_next_request(azure, emulator):
    emulator.fault("GET", f"/{azure.name}/jobs/", status=429, retry_after=4)
    assert Running(azure_compute()).run(days=ONE_DAY).success
    asked = [
        (datetime.fromisoformat(entry["time"]), entry["status"])
        for entry in emulator.journal()
        if entry["method"] == "GET" and f"/{azure.name}/jobs/" in entry["path"] and "/history/" not in entry["path"]
    ]
    [refused] = [number for number, (_, status) in enumerate(asked) if status == 429]
    assert (asked[refused + 1][0] - asked[refused][0]).total_seconds() >= 4


@pytest.mark.parametrize("path", ["/jobs/", "/history/"], ids=["the job", "its history"])
def test_a_retry_after_of_an_hour_stops_nothing_for_an_hour(azure, emulator, monkeypatch, path):
    monkeypatch.setattr(request_options, "LONGEST_PAUSE", 1.0)
    emulator.fault("GET", path, status=429, retry_after=3600)
    begun = time.monotonic()
    assert Running(azure_compute()).run(days=ONE_DAY).success
    assert time.monotonic() - begun < 120


def test_what_a_job_waited_before_it_was_looked_at_counts(azure, emulator, monkeypatch):
    emulator.job_fault("^count-", queue_seconds=600)
    after_submission(monkeypatch, lambda: time.sleep(3))
    begun = time.monotonic()
    # Its second look would come after the time that this test allows.
    outcome = Running(azure_compute(queue_limit=2.0, poll_seconds=60.0)).run(days=ONE_DAY)
    assert "CREDIT_DEFAULT_QUEUE_LIMIT" in outcome.failure
    assert time.monotonic() - begun < 55


def test_what_a_job_ran_before_it_was_looked_at_counts(azure, emulator, jobs, monkeypatch):
    emulator.job_fault("^count-", hold=True)
    after_submission(monkeypatch, lambda: (while_running(jobs, lambda: None).join(), time.sleep(3)))
    begun = time.monotonic()
    outcome = Running(azure_compute(run_limit=2.0, poll_seconds=60.0)).run(days=ONE_DAY)
    assert "CREDIT_DEFAULT_RUN_LIMIT" in outcome.failure
    assert time.monotonic() - begun < 55


def test_a_state_that_comes_and_goes_is_not_borne_with_for_ever(azure, emulator, jobs):
    over = threading.Event()

    def flap():
        while not over.is_set():
            for state in ("NotResponding", None):
                emulator.job_fault("^count-", state=state, hold=True)
                over.wait(1.5)

    flapping = while_running(jobs, flap)
    try:
        compute = azure_compute(not_responding_limit=4.0, run_limit=40.0)
        outcome = Running(compute).run(days=ONE_DAY)
    finally:
        over.set()
        flapping.join()
    assert "CREDIT_DEFAULT_NOT_RESPONDING_LIMIT" in outcome.failure
    [job] = jobs()
    assert job["status"] == "Canceled"


def test_a_machine_that_was_lost_is_known_when_history_comes_back(azure, emulator, jobs):
    targets = {"score": Target(compute="cpu-cluster", spot_compute="cpu-spot")}
    emulator.job_fault("^count-", preempt=1)
    # Down as long as the first attempt takes, and a little longer.
    while_running(jobs, lambda: emulator.fault("GET", "/history/.*/details", status=503, times=12))
    outcome = Running(azure_compute(targets=targets, spot_attempts=1)).run(days=ONE_DAY, options={"seconds": "5"})
    assert outcome.success, outcome.failure
    assert [(job["compute"], job["status"]) for job in jobs()] == [("cpu-spot", "Failed"), ("cpu-cluster", "Completed")]


def test_machines_that_were_taken_away_are_remembered_by_whoever_comes_next(azure, emulator, jobs, monkeypatch):
    targets = {"score": Target(compute="cpu-cluster", spot_compute="cpu-spot")}
    emulator.job_fault("^count-", preempt=9, requeue=True)
    running = Running(azure_compute(targets=targets, spot_attempts=2))
    submit = Submission.submit

    def first_only(*arguments, **options):
        if jobs():
            raise JobFailed("this orchestrator gets no further")
        submit(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Submission, "submit", first_only)
        assert "no further" in running.run(days=ONE_DAY, options={"seconds": "6"}).failure
    outcome = running.run(days=ONE_DAY, options={"seconds": "6"})
    assert outcome.success, outcome.failure
    assert [job["compute"] for job in jobs()] == ["cpu-spot", "cpu-cluster"]


def test_what_is_printed_arrives_while_the_job_runs(azure, emulator, jobs, monkeypatch):
    seen = []

    class Watched(io.StringIO):
        def write(self, text):
            if "printed by the step" in text and not seen:
                seen.append(jobs()[0]["status"])
                emulator.clear_faults()
            return super().write(text)

    emulator.job_fault("^count-", hold=True)
    monkeypatch.setattr(sys, "stdout", Watched())
    outcome = Running(azure_compute(run_limit=60.0)).run(days=ONE_DAY)
    assert outcome.success, outcome.failure
    assert seen == ["Running"]


def test_what_a_program_printed_before_it_died_hard_is_told(azure):
    outcome = Running(azure_compute()).run(days=ONE_DAY, options={"fail": "die"})
    assert "did not finish" in outcome.failure
    assert "printed by the step" in outcome.failure


def test_the_traceback_of_a_step_that_failed_is_with_the_run(azure, capsys):
    outcome = Running(azure_compute()).run(days=ONE_DAY, options={"fail": "raise"})
    assert "InputError: columns age: missing" in outcome.failure
    printed = capsys.readouterr().out
    assert "Traceback (most recent call last)" in printed
    assert 'raise InputError("columns age: missing")' in printed


def test_a_log_is_read_in_pieces(azure, monkeypatch, capsys):
    monkeypatch.setattr(history_module, "CHUNK_BYTES", 10)
    assert Running(azure_compute()).run(days=ONE_DAY).success
    assert "printed by the step" in capsys.readouterr().out


def test_the_newest_start_is_the_one_that_storage_saw_last(azure):
    storage = azure_storage()
    folder = "jobs/job-1/messages"
    storage.write(f"{folder}/20990101T000000.000000-aaaaaa/1.json", b"")  # from a machine whose clock is ahead
    time.sleep(1.1)  # storage tells whole seconds
    storage.write(f"{folder}/20260101T000000.000000-bbbbbb/1.json", b"")
    read = []

    class Told:
        closed, error = False, None

        def start_over(self):
            pass

        def feed(self, line):
            read.append(line)

    storage.write(f"{folder}/20260101T000000.000000-bbbbbb/2.json", b"from the second start\n")
    messages = JobMessages(storage, Told(), folder)
    messages.read(listing_of("job-1", storage))
    assert read == ["from the second start"]
    assert messages.starts == 2


def test_an_input_of_many_files_is_found_by_a_listing_of_one(azure, emulator):
    storage = azure_storage()
    for name in ("a", "b", "c"):
        storage.write(f"landing/many/{name}", b"")
    submission = Submission(None, storage, None, [], 1.0)
    assert submission.addresses({"source": "landing/many"})[1] == {"source": "uri_folder"}
    listings = [
        entry["query"]
        for entry in emulator.journal()
        if azure.container in entry["path"] and "comp=list" in entry["query"] and "many" in entry["query"]
    ]
    assert len(listings) == 1
    assert "maxresults=1" in listings[0]
