"""A command that waits for a run, stopped: the run is cancelled first, and nothing that it started lives on."""

from __future__ import annotations

import os
import signal
import sys

import dagster as dg
import pytest

from credit_default_tests.end_to_end.world import World, alive, group_lives, new_clients
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: What a deploy command does once it has looked at Azure, in the local environment.
PROGRAM = """
import sys
from credit_default.instance import enter
from credit_default.launching import launch
settings = enter()
launch("train_model", settings.home / "launched.log", config={"ops": {"trained_model": {"config": {"trials": 300}}}})
"""


@pytest.fixture
def world(tmp_path) -> World:
    """A home with few clients, so that the training is soon at work."""
    made = World(tmp_path / "home")
    (made.landing / "curated" / "clients.csv").write_text(csv_text(new_clients(2000, target=True)))
    return made


def stopped(world: World, how: signal.Signals, log: str, *command: str) -> int:
    """Run a command until its training is at work, stop it as a terminal or a supervisor does, and give its status."""
    with world.started(command, log) as process:
        step = world.step_at_work("train")
        if how is signal.SIGINT:
            os.killpg(process.pid, how)  # as Ctrl-C does: to everything that the terminal started
        else:
            os.kill(process.pid, how)
        status = process.wait(timeout=120)
        assert not alive(step)
        assert not group_lives(step)
    world.stop_steps()
    return status


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_command_that_is_stopped_cancels_its_run_and_waits_for_that(world, how):
    status = stopped(world, how, "command.log", sys.executable, "-c", PROGRAM)
    assert status == 128 + how
    (run,) = world.runs("train_model")
    assert run.status == dg.DagsterRunStatus.CANCELED
    assert "cancelled first" in (world.home / "command.log").read_text()
