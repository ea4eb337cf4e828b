"""The real daemon and web server: a file that is dropped becomes predictions, and kill -9 does not stop that."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from credit_default_tests.end_to_end.world import World, ago, many_clients, new_clients, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROWS = 40
TIMES = 12
ASSETS_QUERY = "{ assetNodes { assetKey { path } } }"
TICKS_QUERY = """query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { status ticks(limit: 50) { status skipReason error { message } } } } } }"""
SENSOR = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "credit_default",
    "sensorName": "inference_landing",
}


class Platform:
    """`credit-default dev`: web server, daemon and code server on a free port of this machine."""

    def __init__(self, world: World) -> None:
        self.world = world
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it, from when it answers until everything that it started is gone."""
        program = Path(sys.executable).with_name("credit-default")
        with self.world.started([str(program), "dev", "--port", str(self.port)], "dev.log") as process:
            self.process = psutil.Process(process.pid)
            try:
                until(self._answers, seconds=240, what=f"the web server answers; see {self.world.home / 'dev.log'}")
                yield
            finally:
                self.kill_all()
                self.world.stop_steps()

    def kill_all(self, *, but: int | None = None) -> None:
        """SIGKILL to web server, daemon, code server and run workers, and to the steps unless one is named."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [*self.process.children(recursive=True), self.process]
            spared = {but, *(child.pid for child in psutil.Process(but).children(recursive=True))} if but else set()
            for process in family:
                if process.pid not in spared:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            psutil.wait_procs([process for process in family if process.pid not in spared], timeout=30)

    def ask(self, query: str, **variables: Any) -> Any:
        """Data of a GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            told = json.load(response)
        assert "errors" not in told, told
        return told["data"]

    def ticks(self) -> list[dict[str, Any]]:
        """Ticks of the landing sensor, newest first."""
        return self.ask(TICKS_QUERY, selector=SENSOR)["sensorOrError"]["sensorState"]["ticks"]

    def _answers(self) -> bool:
        assert self.process.is_running()
        try:
            return bool(self.ask(ASSETS_QUERY)["assetNodes"])
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@pytest.fixture(scope="module")
def world(small_home, tmp_path_factory) -> World:
    return small_home.copy_to(tmp_path_factory.mktemp("daemon") / "home")


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
    assert len(listed) == 11
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
    assert f"{ago(40)}: a file; expected a folder" in reason


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
