"""A command that waits for a run, stopped: the run is cancelled first, and nothing that it started lives on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from credit_default_tests.end_to_end.world import World, alive, group_lives, new_clients
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    """A home with few clients, so that the training is soon at work."""
    made = World(tmp_path / "home")
    (made.landing / "curated" / "clients.csv").write_text(csv_text(new_clients(2000, target=True)))
    yield made
    made.stop_steps()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_command_that_is_stopped_cancels_its_run_and_waits_for_that(world, how):
    (world.home / "long.yaml").write_text("ops: {trained_model: {config: {trials: 300}}}")
    program = Path(sys.executable).with_name("credit-default")
    run = [program, "run", "train_model", "--config", world.home / "long.yaml"]
    with world.started(run, "command.log") as command:
        step = world.step_at_work("train")
        for _ in range(2):  # whoever is impatient stops it once more
            if how is signal.SIGINT:
                os.killpg(command.pid, how)  # as Ctrl-C does: to everything that the terminal started
            else:
                os.kill(command.pid, how)
        assert command.wait(timeout=120) == 128 + how
        assert not alive(step)
        assert not group_lives(step)
    (run,) = world.runs("train_model")
    assert run.status == dg.DagsterRunStatus.CANCELED
    told = (world.home / "command.log").read_text()
    assert told.count("is cancelled first") == 1
    assert told.endswith("train_model was cancelled.\n")
