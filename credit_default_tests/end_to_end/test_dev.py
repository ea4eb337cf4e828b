"""`credit-default dev` in the background, ended by a signal: nothing is left, and the next one retries its run."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import dagster as dg
import pytest

from credit_default_tests.end_to_end.server import SENSOR, Platform
from credit_default_tests.end_to_end.world import World, new_clients, processes_with, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on PythonError { message } } }"""
CONFIG = {"ops": {"trained_model": {"config": {"trials": 300}}}}


class InBackground(Platform):
    """The command as a shell starts it in the background: with SIGINT ignored."""

    def command(self) -> list[str]:
        return ["sh", "-c", 'trap "" INT; exec "$0" "$@"', *super().command()]

    def end(self, how: signal.Signals) -> int:
        """Send a signal to the command itself; gives its exit code."""
        started = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(60)
        until(lambda: not self.left(), seconds=15, what=f"none is left of {self.left()}")
        assert time.monotonic() - started < 15
        return code

    def left(self) -> dict[int, str]:
        """What is left of it and of all that it started."""
        return processes_with(str(self.world.home))


@pytest.fixture
def platform(tmp_path) -> Iterator[InBackground]:
    """A home with few clients, so that a training is soon at work."""
    world = World(tmp_path / "home")
    (world.landing / "curated" / "clients.csv").write_text(csv_text(new_clients(2000, target=True)))
    yield InBackground(world)
    world.stop_steps()


def test_nothing_is_left_after_a_signal_and_the_run_that_it_interrupted_is_retried_by_the_next_one(platform):
    world = platform.world
    chosen = [{"path": [asset]} for asset in ("curated_data", "prepared_data", "trained_model")]
    selector = {**SENSOR, "jobName": "train_model", "assetSelection": chosen}
    with platform.running():
        params = {"selector": selector, "runConfigData": json.dumps(CONFIG), "mode": "default"}
        told = platform.ask(LAUNCH, params=params)["launchRun"]
        assert told["__typename"] == "LaunchRunSuccess", told
        world.step_at_work("train")
        assert len(platform.left()) > 4
        assert platform.end(signal.SIGINT) == 128 + signal.SIGINT
    (stopped,) = world.runs("train_model")
    with platform.running():

        def retried() -> dg.DagsterRun | None:
            return next((run for run in world.runs("train_model") if run.parent_run_id == stopped.run_id), None)

        until(retried, seconds=120, what="a retry of the run that was interrupted")
        world.step_at_work("train")
        assert platform.end(signal.SIGTERM) == 128 + signal.SIGTERM
