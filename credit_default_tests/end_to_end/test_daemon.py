"""The real daemon and web server: a file that is dropped becomes predictions, and kill -9 does not stop that."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import dagster as dg
import pytest

from credit_default_tests.end_to_end.server import ASSETS_QUERY, Platform
from credit_default_tests.end_to_end.world import World, ago, many_clients, new_clients, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROWS = 40
TIMES = 12


@pytest.fixture(scope="module")
def world(small_home, tmp_path_factory) -> World:
    copied = small_home.copy_to(tmp_path_factory.mktemp("daemon") / "home")
    copied.archive_landing()
    return copied


@pytest.fixture(scope="module")
def platform(world) -> Platform:
    return Platform(world)


@pytest.fixture(scope="module")
def dropped(world, platform) -> Iterator[str]:
    """A day that was dropped into the landing folder of the running platform, beside folders that are no days."""
    day = ago(0)
    landing = world.landing / "inference" / "batch"
    with platform.running():
        for name in ("not-a-day", "1999-12-31", "2999-01-01", "2026-02-30"):
            world.land(name, "clients.csv", csv_text(new_clients(3)))
        (landing / ago(40)).write_text("a file in the place of a folder")
        world.land(day, "clients.csv", csv_text(new_clients(ROWS)))
        drift = world.lake / "drift" / day / "drift.json"
        until(drift.exists, seconds=240, what="predictions and drift of the dropped day")
        until(lambda: world.runs("score_batch")[0].is_finished, seconds=60, what="the end of the run")
        yield day


def test_a_dropped_file_becomes_predictions_by_the_sensor_alone(world, dropped):
    assert world.predictions(dropped).num_rows == ROWS
    run = world.runs("score_batch")[0]
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert run.tags["dagster/sensor_name"] == "inference_landing"
    for asset in ("inference_data", "batch_predictions", "drift_metrics"):
        assert [event.partition for event in world.made(asset)].count(dropped) == 1


def test_the_web_server_lists_every_asset(platform, dropped):
    listed = {"/".join(node["assetKey"]["path"]) for node in platform.ask(ASSETS_QUERY)["assetNodes"]}
    assert len(listed) == 13
    assert {"curated_data", "batch_predictions", "drift_metrics", "model_performance"} <= listed


def test_malformed_landing_folders_are_told_in_the_sensors_ticks_and_stop_nothing(platform, dropped):
    def told() -> str | None:
        ticks = platform.ticks()
        assert not [tick for tick in ticks if tick["status"] == "FAILURE"], ticks
        return next((tick["skipReason"] for tick in ticks if "not-a-day" in (tick["skipReason"] or "")), None)

    reason = until(told, seconds=60, what="a tick that names the malformed folder")
    assert "not-a-day: not a day; expected a folder named YYYY-MM-DD" in reason
    assert "2026-02-30: not a day" in reason
    assert "1999-12-31: before the first day" in reason
    assert "2999-01-01: after today" in reason
    assert f"{ago(40)}: not a folder; expected a folder" in reason


def test_a_run_that_was_killed_with_everything_else_is_found_and_goes_on_with_its_step(world, platform, dropped):
    day = ago(30)
    world.land(day, "clients.parquet", many_clients(TIMES))
    step = world.step_at_work("score", writing=f"{day}/.predictions.parquet.*.unfinished", seconds=240)
    os.kill(step, signal.SIGSTOP)  # so that it is half-way however long the restart takes
    (killed,) = [run for run in world.runs("score_batch") if run.status == dg.DagsterRunStatus.STARTED]
    platform.kill_all(but=step)
    assert not (world.lake / "predictions" / day).exists()

    with platform.running():
        retried = until(
            lambda: next((run for run in world.runs("score_batch") if run.parent_run_id == killed.run_id), None),
            seconds=240,
            what="a retry of the killed run",
        )
        found = f"Found job {world.job_folders('score')[-1].name}"
        until(lambda: found in world.log_of(retried), seconds=240, what="the retry goes on with the step")
        assert not (world.lake / "predictions" / day).exists()
        os.kill(step, signal.SIGCONT)
        until(lambda: not _unfinished(world), seconds=240, what="every run ends")

    states = {run.run_id: run.status for run in world.runs("score_batch")}
    assert states[killed.run_id] == dg.DagsterRunStatus.FAILURE
    assert states[retried.run_id] == dg.DagsterRunStatus.SUCCESS
    predictions = world.predictions(day)
    assert predictions.num_rows == TIMES * 15_000
    assert len(set(predictions["prediction_id"].to_pylist())) == TIMES * 15_000
    for asset in ("batch_predictions", "drift_metrics"):
        assert [event.partition for event in world.made(asset)].count(day) == 1
    assert world.unpublished() == []


def _unfinished(world: World) -> list[dg.DagsterRun]:
    return [run for run in world.runs() if not run.is_finished]
