"""Compute on Azure ML when things go wrong, against the real SDK: what is borne, what is said, and what it costs."""

import shlex
import subprocess
import threading
import time
from collections import Counter

import pytest

from credit_default.resources.azure.assets import datastore
from credit_default.resources.azure.client.retries import within
from credit_default.resources.azure.jobs import canceller
from credit_default.resources.azure.jobs.command import Task, command_line
from credit_default.resources.azure.jobs.history import is_preemption
from credit_default.resources.azure.jobs.submission import Submission
from credit_default.settings.azure_compute import Target
from credit_default_tests.platforms import EXAMPLE_STEPS, azure_compute, azure_storage
from credit_default_tests.resources.running import DAYS, Running

ONE_DAY = DAYS[:1]


@pytest.fixture
def jobs(azure, emulator):
    """The jobs of this test's workspace, as the emulator knows them."""
    return lambda: emulator.jobs(azure.name)


def statuses(jobs) -> list[tuple[str, str]]:
    return [(job["name"].rpartition("-")[2], job["status"]) for job in jobs()]


def test_what_a_value_looks_like_changes_nothing_of_what_the_step_gets():
    values = ["plain", "two words", "$HOME", "${{inputs.a}}", "$[[x]]", "a'b", "`id`", "7"]
    task = Task("program", "step", {}, {}, {f"option-{number}": value for number, value in enumerate(values)})
    line = command_line(task, "job-1").replace("python -m program", "printf '%s\\n'")
    assert "${{" not in line
    assert "$[[" not in line
    shown = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout.splitlines()
    assert shown[3::2] == values


def test_a_flag_is_given_without_a_value():
    task = Task("program", "step", {}, {}, {"flag": "", "other": "1"}, days=("2026-01-01", "2026-01-02"))
    words = shlex.split(command_line(task, "job-1"))
    assert words[-5:] == ["--flag", "--other", "1", "--days", "2026-01-01,2026-01-02"]


def test_work_that_never_ends_is_left_behind():
    with pytest.raises(TimeoutError, match="late"):
        within(0.1, lambda _: threading.Event().wait(), lambda: TimeoutError("late"))


def test_an_error_of_the_work_is_raised_and_its_result_returned():
    assert within(5, lambda _: 7, TimeoutError) == 7
    with pytest.raises(ZeroDivisionError):
        within(5, lambda _: 1 / 0, TimeoutError)


@pytest.mark.slow
def test_code_and_environment_go_up_once_and_the_lake_is_reached_without_a_credential(
    azure, emulator, jobs, tmp_path, monkeypatch
):
    (tmp_path / "code_that_is_new").mkdir()
    (tmp_path / "code_that_is_new" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    running = Running(azure_compute(sources=["credit_default", EXAMPLE_STEPS, "code_that_is_new"]))
    outcomes = [running.run(days=ONE_DAY), running.run(days=DAYS[1:2])]
    assert all(outcome.success for outcome in outcomes), outcomes
    puts = Counter(
        kind
        for entry in emulator.journal()
        if entry["method"] == "PUT" and azure.name in entry["path"]
        for kind in ("codes", "environments", "datastores", "jobs")
        if f"/{azure.name}/{kind}/" in entry["path"]
    )
    assert puts == {"codes": 1, "environments": 1, "datastores": 1, "jobs": 2}
    about = outcomes[0].arrived[0].job_metadata
    assert about["compute"] == "cpu-cluster"
    assert about["run_seconds"] > 0
    assert about["queue_seconds"] >= 0
    assert outcomes[0].arrived[0].job_name in about["studio"].value


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "times": 5},
        {"status": 429, "times": 2, "retry_after": 1},
        {"drop": True, "times": 3},
        {"delay": 3.0, "times": 2},
    ],
    ids=["errors", "too many requests", "dropped connections", "slow answers"],
)
@pytest.mark.parametrize("path", ["/jobs/", "/history/"], ids=["the job", "its history"])
def test_a_job_outlives_bad_answers(azure, emulator, jobs, fault, path):
    emulator.fault("GET", path, **fault)
    outcome = Running(azure_compute()).run(days=ONE_DAY)
    assert outcome.success, outcome.failure
    assert statuses(jobs) == [("1", "Completed")]


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404, 409])
def test_logs_are_read_with_a_token_when_the_account_takes_no_signature(azure, emulator, jobs, capsys, status):
    emulator.fault("GET", "user_logs", host="blob", signed=True, status=status, times=1000)
    before = len(emulator.journal())
    outcome = Running(azure_compute()).run(days=ONE_DAY)
    assert outcome.success, outcome.failure
    assert capsys.readouterr().out.count("printed by the step") == 1
    answers = [entry["status"] for entry in emulator.journal()[before:] if "user_logs" in entry["path"]]
    by_token = next(place for place, answer in enumerate(answers) if answer in (200, 206))
    # Once a token was taken, no signature is tried again. Before the log is there, neither is known to work.
    assert status in answers[:by_token]
    assert status not in answers[by_token:]


@pytest.mark.slow
def test_an_account_that_takes_no_signed_upload_is_told_with_the_way_out(azure, emulator, jobs, tmp_path, monkeypatch):
    (tmp_path / "code_that_is_new").mkdir()
    (tmp_path / "code_that_is_new" / "__init__.py").write_text("ONE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    keys_off = {"status": 403, "code": "KeyBasedAuthenticationNotPermitted", "signed": True}
    emulator.fault("PUT", "", host="blob", times=1000, **keys_off)
    outcome = Running(azure_compute(sources=["code_that_is_new"], upload_limit=15.0)).run(days=ONE_DAY)
    assert "allowSharedKeyAccess" in outcome.failure
    assert jobs() == []


@pytest.mark.slow
def test_a_retry_after_is_obeyed(azure, emulator):
    emulator.fault("GET", "/jobs/", status=429, retry_after=4)
    begun = time.monotonic()
    assert Running(azure_compute()).run(days=ONE_DAY).success
    moments = [entry for entry in emulator.journal() if azure.name in entry["path"] and "/jobs/" in entry["path"]]
    assert moments[0]["status"] == 429
    assert time.monotonic() - begun > 4


@pytest.mark.slow
def test_a_token_that_is_refused_is_replaced(azure, emulator, jobs):
    def expire():
        while not any(job["status"] == "Running" for job in jobs()):
            time.sleep(0.1)
        emulator.expire_tokens()

    threading.Thread(target=expire, daemon=True).start()
    outcome = Running(azure_compute()).run(days=ONE_DAY, options={"seconds": "4"})
    assert outcome.success, outcome.failure
    assert statuses(jobs) == [("1", "Completed")]
    assert any(entry["status"] == 401 for entry in emulator.journal())


@pytest.mark.slow
def test_an_answer_that_is_lost_makes_no_second_job(azure, emulator, jobs):
    # Taken, and refused as a second one when the SDK asks again.
    emulator.fault("PUT", "/jobs/count-", lose=True)
    outcome = Running(azure_compute()).run(days=ONE_DAY)
    assert outcome.success, outcome.failure
    assert statuses(jobs) == [("1", "Completed")]
    assert len(jobs()[0]["puts"]) == 2


@pytest.mark.slow
def test_a_submission_is_repeated_until_azure_takes_it(azure, emulator, jobs):
    emulator.fault("PUT", "/jobs/count-", status=500, times=5)
    outcome = Running(azure_compute()).run(days=ONE_DAY)
    assert outcome.success, outcome.failure
    assert statuses(jobs) == [("1", "Completed")]
    refused = [entry for entry in emulator.journal() if azure.name in entry["path"] and entry["status"] == 500]
    assert len(refused) == 5


@pytest.mark.slow
def test_two_runs_that_want_one_job_share_it(azure, jobs, monkeypatch):
    running = Running(azure_compute())
    submit, outcomes = Submission.submit, []

    def late(*arguments, **options):
        # The first has looked and found no job; before it submits one, the second does.
        monkeypatch.setattr(Submission, "submit", submit)
        outcomes.append(running.run(days=ONE_DAY))
        submit(*arguments, **options)

    monkeypatch.setattr(Submission, "submit", late)
    outcomes.append(running.run(days=ONE_DAY))
    assert all(outcome.success for outcome in outcomes), [outcome.failure for outcome in outcomes]
    assert outcomes[0].jobs == outcomes[1].jobs
    assert statuses(jobs) == [("1", "Completed")]
    assert len(jobs()[0]["puts"]) == 2


@pytest.mark.slow
def test_an_interrupt_between_submission_and_the_first_look_cancels_the_job(azure, jobs, monkeypatch):
    submit = Submission.submit

    def interrupted(*arguments, **options):
        submit(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Submission, "submit", interrupted)
    outcome = Running(azure_compute()).run(days=ONE_DAY, options={"seconds": "60"})
    assert not outcome.success
    assert outcome.materialised == 0
    assert statuses(jobs) == [("1", "Canceled")]


@pytest.mark.slow
def test_a_job_is_cancelled_when_azure_does_not_answer_for_too_long(azure, emulator, jobs):
    def cut():
        while not any(job["status"] == "Running" for job in jobs()):
            time.sleep(0.1)
        emulator.fault("GET", "/jobs/", status=503, times=16)

    threading.Thread(target=cut, daemon=True).start()
    compute = azure_compute(unreachable_limit=5.0)
    outcome = Running(compute).run(days=ONE_DAY, options={"seconds": "60"})
    assert "no usable answer for 5 s" in outcome.failure
    assert "CREDIT_DEFAULT_UNREACHABLE_LIMIT" in outcome.failure
    assert statuses(jobs) == [("1", "Canceled")]
    assert outcome.materialised == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        ({"state": "NotResponding"}, {"not_responding_limit": 2.0}, "CREDIT_DEFAULT_NOT_RESPONDING_LIMIT"),
        ({"state": "Paused"}, {"paused_limit": 2.0}, "CREDIT_DEFAULT_PAUSED_LIMIT"),
        ({"queue_seconds": 60}, {"queue_limit": 2.0}, "CREDIT_DEFAULT_QUEUE_LIMIT"),
        ({"hold": True}, {"run_limit": 2.0}, "CREDIT_DEFAULT_RUN_LIMIT"),
    ],
    ids=["NotResponding", "Paused", "queued", "running"],
)
def test_no_state_lasts_for_ever(azure, emulator, jobs, case):
    fault, limits, setting = case
    emulator.job_fault("^count-", **fault)
    outcome = Running(azure_compute(**limits)).run(days=ONE_DAY)
    assert setting in outcome.failure
    assert statuses(jobs) == [("1", "Canceled")]
    assert outcome.materialised == 0


@pytest.mark.slow
def test_a_job_that_somebody_cancels_is_no_result(azure, jobs):
    compute = azure_compute()

    def cancel():
        while not any(job["status"] == "Running" for job in jobs()):
            time.sleep(0.1)
        compute.workspace.client().jobs.begin_cancel(jobs()[0]["name"])

    threading.Thread(target=cancel, daemon=True).start()
    outcome = Running(compute).run(days=ONE_DAY, options={"seconds": "60"})
    assert "JobCancelled" in outcome.failure
    assert outcome.materialised == 0


@pytest.mark.slow
def test_a_program_that_dies_hard_is_told_with_its_last_words(azure, emulator):
    emulator.job_fault("^count-", kill=1)
    outcome = Running(azure_compute()).run(days=ONE_DAY, options={"seconds": "60"})
    assert "JobKilled" in outcome.failure
    assert "did not finish" in outcome.failure
    assert "137" in outcome.failure
    assert "when memory runs out" in outcome.failure


@pytest.mark.slow
def test_a_compute_that_is_not_there_is_named(azure):
    targets = {"score": Target(compute="no-such-cluster")}
    failure = Running(azure_compute(targets=targets)).run(days=ONE_DAY).failure
    assert "no-such-cluster" in failure
    assert "CREDIT_DEFAULT_COMPUTE" in failure


@pytest.mark.slow
def test_an_upload_that_hangs_is_given_up_and_names_the_container(azure):
    from azure.storage.blob import ContainerClient

    compute = azure_compute(upload_limit=8.0)
    credential = compute.workspace.credential()
    ContainerClient(f"https://{azure.account}.blob.core.windows.net", azure.artifacts, credential).delete_container()
    begun = time.monotonic()
    failure = Running(compute).run(days=ONE_DAY).failure
    assert azure.artifacts in failure
    assert azure.account in failure
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_a_lake_that_is_not_there_is_said_at_once(azure, jobs):
    compute = azure_compute(storage=azure_storage(container="not-there"), unreachable_limit=600.0)
    begun = time.monotonic()
    failure = Running(compute).run(days=ONE_DAY, inputs={"source": "landing"}).failure
    assert "not-there" in failure
    assert "AZURE_STORAGE_CONTAINER" in failure
    assert time.monotonic() - begun < 60
    assert jobs() == []


@pytest.mark.slow
def test_a_datastore_that_is_another_container_is_not_written_to(azure, jobs):
    compute = azure_compute()
    client = compute.workspace.client()
    datastore.ensure(client, "credit_default", account=azure.account, container="another")
    failure = Running(compute).run(days=ONE_DAY).failure
    assert "SettingsError: The datastore credit_default of the workspace is container another" in failure
    assert jobs() == []


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        ({"code": "UserError", "message": "PreemptionError: Nodes of this job got pre-empted."}, True),
        ({"code": "UserError", "message": "Failed.", "innerError": {"code": "NodeEvicted"}}, True),
        ({"code": "ServiceError", "message": "The node cannot be reached."}, True),
        ({"code": "UserError", "message": "User process '/bin/bash' exited with status code 1."}, False),
        ({}, False),
    ],
)
def test_a_machine_that_was_lost_is_known_by_azures_words_or_by_whom_it_blames(error, lost):
    assert is_preemption(error) is lost


@pytest.mark.slow
def test_a_job_that_loses_its_machine_is_tried_again_and_then_elsewhere(azure, emulator, jobs):
    targets = {"score": Target(compute="cpu-cluster", spot_compute="cpu-spot")}
    emulator.job_fault("^count-", preempt=2)
    outcome = Running(azure_compute(targets=targets, spot_attempts=2)).run(days=ONE_DAY)
    assert outcome.success, outcome.failure
    assert [(job["compute"], job["status"]) for job in jobs()] == [
        ("cpu-spot", "Failed"),
        ("cpu-spot", "Failed"),
        ("cpu-cluster", "Completed"),
    ]
    about = outcome.arrived[0].job_metadata
    assert (about["preemptions"], about["compute"]) == (2, "cpu-cluster")


@pytest.mark.slow
def test_a_job_that_azure_starts_anew_reports_once(azure, emulator, jobs):
    targets = {"score": Target(compute="cpu-cluster", spot_compute="cpu-spot")}
    emulator.job_fault("^count-", preempt=1, requeue=True)
    outcome = Running(azure_compute(targets=targets, spot_attempts=2)).run(options={"seconds": "1"})
    assert outcome.success, outcome.failure
    assert [message.partition for message in outcome.arrived] == list(DAYS)
    assert [(job["compute"], job["status"]) for job in jobs()] == [("cpu-spot", "Completed")]
    about = outcome.arrived[0].job_metadata
    assert (about["preemptions"], about["compute"]) == (1, "cpu-spot (spot)")


@pytest.mark.slow
def test_a_job_that_azure_starts_anew_too_often_goes_elsewhere(azure, emulator, jobs):
    targets = {"score": Target(compute="cpu-cluster", spot_compute="cpu-spot")}
    emulator.job_fault("^count-", preempt=9, requeue=True)
    outcome = Running(azure_compute(targets=targets, spot_attempts=2)).run(days=ONE_DAY, options={"seconds": "6"})
    assert outcome.success, outcome.failure
    assert [(job["compute"], job["status"]) for job in jobs()] == [
        ("cpu-spot", "Canceled"),
        ("cpu-cluster", "Completed"),
    ]
    assert outcome.arrived[0].job_metadata["preemptions"] >= 2


@pytest.mark.slow
def test_a_cancel_that_azure_does_not_take_at_once_is_asked_for_again(azure, emulator, jobs, monkeypatch):
    monkeypatch.setattr(canceller, "CANCEL_SECONDS", 60.0)
    emulator.job_fault("^count-", hold=True)
    emulator.fault("POST", "/cancel", status=500, times=6)
    outcome = Running(azure_compute(run_limit=1.0)).run(days=ONE_DAY)
    assert "CREDIT_DEFAULT_RUN_LIMIT" in outcome.failure
    assert statuses(jobs) == [("1", "Canceled")]
