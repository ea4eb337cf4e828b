"""Processes that die at the worst moment: readers see whole tables, and running again ends well."""

from __future__ import annotations

import os
import signal

import dagster as dg
import pytest

from credit_default_tests.end_to_end.world import World, alive, group_lives, many_clients, new_clients, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TIMES = 12
ROWS = TIMES * 15_000


def unfinished(day: str) -> str:
    """The file, in a job's output, that holds the predictions of a day until they are complete."""
    return f"{day}/.predictions.parquet.*.unfinished"


@pytest.fixture
def two_days(small) -> tuple[World, str, str]:
    """A home with two scored days, for which other files have arrived: a few clients, then very many."""
    first, second = sorted(small.made_days("batch_predictions"))[-2:]
    small.land(first, "clients.csv", csv_text(new_clients(50)))
    (small.landing / "inference/batch" / second / "clients.csv").unlink()
    small.land(second, "clients.parquet", many_clients(TIMES))
    return small, first, second


def days_made(world: World, asset: str) -> list[str | None]:
    return [event.partition for event in world.made(asset)]


def assert_whole_again(world: World, first: str, second: str, times_made: int) -> None:
    """After one more run both days are there, each row once."""
    done = world.run_job("score_batch", first, second)
    assert done.returncode == 0, done.stderr
    assert_whole(world, first, second, times_made)


def assert_whole(world: World, first: str, second: str, times_made: int) -> None:
    """Both days are there, each row once."""
    assert world.runs("score_batch")[0].status == dg.DagsterRunStatus.SUCCESS
    assert world.predictions(first).num_rows == 50
    predictions = world.predictions(second)
    assert predictions.num_rows == ROWS
    assert len(set(predictions["prediction_id"].to_pylist())) == ROWS
    assert len(set(predictions["client_id"].to_pylist())) == ROWS
    assert world.drift(second)["n_rows"] == ROWS
    made = days_made(world, "batch_predictions")
    assert made.count(second) == times_made
    assert world.unpublished() == []


def test_a_step_killed_while_it_writes_predictions_leaves_the_earlier_ones_whole_and_is_tried_again(two_days):
    world, first, second = two_days
    world.environment["CREDIT_DEFAULT_RETRY_DELAY"] = "5"
    before = world.hashes(f"predictions/{second}")
    with world.job_under_way("score_batch", first, second) as run:
        step = world.step_at_work("score", writing=unfinished(second))
        os.kill(step, signal.SIGKILL)
        until(lambda: not alive(step), seconds=20, what="the end of the step")
        # The killed day is not recorded as made, and nobody sees half of it.
        assert world.hashes(f"predictions/{second}") == before
        assert days_made(world, "batch_predictions").count(second) == 1
        assert world.unpublished() == []
        assert run.wait(timeout=240) == 0

    log = world.log_of(world.runs("score_batch")[0])
    assert "killed by SIGKILL; the system kills so when memory runs out" in log
    assert "In 5 s, 1 day will be tried again" in log
    # The day that was finished before the kill was not made twice.
    assert days_made(world, "batch_predictions").count(first) == 2
    assert_whole(world, first, second, times_made=2)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_terminated_run_stops_its_step_and_records_only_the_days_that_were_done(two_days, how):
    world, first, second = two_days
    before = world.hashes(f"predictions/{second}")
    with world.job_under_way("score_batch", first, second) as run:
        step = world.step_at_work("score", writing=unfinished(second))
        os.kill(step, signal.SIGSTOP)  # half-way through the second day until the first is recorded
        until(
            lambda: days_made(world, "batch_predictions").count(first) == 2, seconds=60, what="the first day recorded"
        )
        os.kill(run.pid, how)
        os.kill(step, signal.SIGCONT)
        assert run.wait(timeout=120) != 0
        assert not group_lives(step)

    stopped = world.runs("score_batch")[0]
    assert stopped.status in {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    assert world.hashes(f"predictions/{second}") == before
    made = days_made(world, "batch_predictions")
    assert (made.count(first), made.count(second)) == (2, 1)
    drift = days_made(world, "drift_metrics")
    assert (drift.count(first), drift.count(second)) == (1, 1)


def test_a_run_whose_process_was_killed_is_made_good_by_the_next_one(two_days):
    world, first, second = two_days
    before = world.hashes(f"predictions/{second}")
    with world.job_under_way("score_batch", first, second) as run:
        step = world.step_at_work("score", writing=unfinished(second))
        os.kill(run.pid, signal.SIGKILL)
        run.wait(timeout=10)
        until(lambda: not alive(step), seconds=120, what="the end of the step")
        assert world.hashes(f"predictions/{second}") == before  # nobody is there to publish
    assert_whole_again(world, first, second, times_made=2)
