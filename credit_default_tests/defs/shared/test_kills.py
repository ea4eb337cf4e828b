"""A step that the system kills, or that does not come to an end, takes no day along that it could have made."""

import time
from pathlib import Path

import dagster as dg
import pytest

from credit_default.defs.shared.kills import GivenUp, run_days, run_whole
from credit_default.errors import JobKilled
from credit_default.ports import DayRejected, StepResult
from credit_default.resources.local.compute import LocalCompute

DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
BAD = DAYS[1]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the example step over days in a real Dagster run; returns the run and the messages by day."""
    monkeypatch.setenv("CREDIT_DEFAULT_RETRY_DELAY", "0.3")

    def start(days=DAYS, *, step_timeout=60.0, **options):
        compute = LocalCompute(
            jobs=str(tmp_path / "jobs"),
            lake=str(tmp_path / "lake"),
            tracking_uri="",
            grace_seconds=1.0,
            step_timeout=step_timeout,
            steps="credit_default_tests.resources.example_steps",
        )
        given = {"kills": str(tmp_path / "kills"), **options}
        found = {}

        @dg.multi_asset(specs=[dg.AssetSpec("counted", skippable=True)])
        def counted(context: dg.AssetExecutionContext):
            def start_step(some):
                return compute.run(context, "count", inputs={}, options=given, days=some)

            for message in run_days(start_step, days, log=context.log):
                assert message.partition not in found
                if isinstance(message, StepResult):  # published while the job is there
                    assert Path(message.files["count"]).read_text() == f"{message.partition}\n"
                found[message.partition] = message
                yield from ()

        with dg.DagsterInstance.ephemeral() as instance:
            return dg.materialize([counted], instance=instance, raise_on_error=False), found

    return start


def started(tmp_path: Path) -> int:
    return len(list((tmp_path / "jobs").iterdir()))


def test_the_day_that_kills_twice_by_itself_is_given_up_and_the_others_are_made(run, tmp_path, monkeypatch):
    pauses, sleep = [], time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (pauses.append(seconds), sleep(seconds)))
    result, found = run(kill=f"{BAD}=9")
    assert result.success
    assert {day for day, message in found.items() if isinstance(message, StepResult)} == {DAYS[0], DAYS[2]}
    assert isinstance(found[BAD], GivenUp)
    assert "was killed 2 times while it worked on this day alone: its process was killed by SIGKILL" in found[BAD].error
    assert "memory" in found[BAD].error
    # Once with all, then alone and alone again: two retries. The first day was reported before the first kill.
    assert (tmp_path / "kills").read_text().split() == [BAD] * 3
    assert started(tmp_path) == 1 + 2 + 1
    assert pauses.count(0.3) == 2


def test_a_kill_that_does_not_happen_again_costs_nothing_but_time(run, tmp_path):
    result, found = run(kill=f"{BAD}=1")
    assert result.success
    assert {day for day, message in found.items() if isinstance(message, StepResult)} == set(DAYS)
    assert started(tmp_path) == 3


def test_a_single_day_is_tried_once_more(run, tmp_path):
    _, found = run([BAD], kill=f"{BAD}=9")
    assert isinstance(found[BAD], GivenUp)
    assert (tmp_path / "kills").read_text().split() == [BAD] * 2


def test_a_day_without_end_is_given_up_at_the_limit_and_the_others_are_made(run):
    result, found = run(hang=BAD, step_timeout=3.0)
    assert result.success
    assert {day for day, message in found.items() if isinstance(message, StepResult)} == {DAYS[0], DAYS[2]}
    assert isinstance(found[BAD], GivenUp)
    assert "CREDIT_DEFAULT_STEP_TIMEOUT" in found[BAD].error
    assert found[BAD].error.endswith("is tried again only by hand")


def test_an_error_of_the_step_itself_is_no_kill(run, tmp_path):
    result, _ = run(fail="raise")
    assert not result.success
    assert started(tmp_path) == 1


def test_a_day_that_the_step_refuses_stays_refused_after_a_kill(run):
    _, found = run(kill=f"{BAD}=1", fail=DAYS[2])
    assert type(found[DAYS[2]]) is DayRejected
    assert found[DAYS[2]].error == "this day is refused"
    assert isinstance(found[BAD], StepResult)


@pytest.mark.parametrize(("kills", "succeeds"), [(2, True), (3, False)])
def test_a_step_without_days_is_tried_again_twice(kills, succeeds, monkeypatch):
    monkeypatch.setenv("CREDIT_DEFAULT_RETRY_DELAY", "0.01")
    left = [JobKilled("Job train-1 did not finish: its process was killed by SIGKILL.", cause="SIGKILL")] * kills
    stored = StepResult(None, "1", {}, {}, (), "train-2")

    def start():
        if left:
            raise left.pop()
        yield stored

    class Log:
        warning = print

    if succeeds:
        assert list(run_whole(start, log=Log())) == [stored]
    else:
        with pytest.raises(JobKilled):
            list(run_whole(start, log=Log()))
    assert not left
