"""Kill -9 of everything, and then of the run alone, at each stage of the loop: it ends as it would have."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Callable

import dagster as dg
import pytest

from credit_default.resources.local.run_launcher import announced_process
from credit_default_tests.end_to_end.server import Daemon
from credit_default_tests.end_to_end.shifting_clients import ROWS_A_DAY, day_csv, outcomes_csv, training_csv
from credit_default_tests.end_to_end.world import World, ago, alive, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

#: The first is calm, the others arrive in NT$. The last one lands while everything runs.
DAYS = [ago(number) for number in range(9, 3, -1)]
AFTERWARDS = ago(3)

#: The job whose run is at a stage, and what is seen then.
STAGES: dict[str, tuple[str, Callable[[World], object]]] = {
    "scored": ("score_batch", lambda world: world.step_at_work("score")),
    "measured": ("score_batch", lambda world: world.step_at_work("drift")),
    "asked for": ("retrain", lambda world: world.runs("retrain")),
    "trained": ("retrain", lambda world: world.step_at_work("train")),
    "compared": ("retrain", lambda world: world.step_at_work("comparison")),
    "tried on golden rows": ("retrain", lambda world: world.step_at_work("smoke-test")),
    "made live": ("retrain", lambda world: len(world.promotions()) == 2),
}


def run_to_its_end(world: World, job: str, *days: str) -> None:
    done = world.run_job(job, *days)
    assert done.returncode == 0, done.stderr[-6000:]


@pytest.fixture
def drifting(tmp_path) -> World:
    """A home with a live model, days that it scored and that drifted, and their outcomes; one more has landed."""
    world = World(tmp_path / "home")
    world.land("", "clients.csv", training_csv(), under="curated")
    known = DAYS[:-1]
    for number, day in enumerate(known):
        world.land(day, "clients.csv", day_csv(number, shifted=number > 0))
        world.land(day, "outcomes.csv", outcomes_csv(number), under="outcomes")
    world.make_a_model_live()
    run_to_its_end(world, "score_batch", known[0], known[-1])
    run_to_its_end(world, "judge_predictions", known[0], known[-1])
    with Daemon(world).running():
        for sensor in ("drift_sensor", "performance_sensor"):
            until(lambda name=sensor: has_looked(world, name), seconds=120, what=f"the first look of {sensor}")
    assert not world.runs("retrain")
    world.land(DAYS[-1], "clients.csv", day_csv(len(DAYS) - 1, shifted=True))
    return world


def try_often(world: World) -> None:
    """Let Dagster try a run again as often as it is killed here, and not three times."""
    configuration = world.home / "dagster" / "dagster.yaml"
    usual = configuration.read_text()
    assert "max_retries: 3" in usual
    configuration.write_text(usual.replace("max_retries: 3", "max_retries: 20"))


def test_kills_at_each_stage_of_the_loop_change_nothing_about_how_it_ends(drifting):
    world = drifting
    try_often(world)
    daemon = Daemon(world)
    with contextlib.ExitStack() as running:
        running.enter_context(daemon.running())
        for stage, (job, at_work) in STAGES.items():
            until(lambda look=at_work: look(world), seconds=240, what=f"it is being {stage}", every=0.02)
            running.close()  # which kills them all
            running.enter_context(daemon.running())
            until(lambda look=at_work: look(world), seconds=240, what=f"it is being {stage} again", every=0.02)
            kill_the_run(world, job)
        until(lambda: has_succeeded(world), seconds=300, what="a retraining that ends well")
        until(lambda: all(run.is_finished for run in world.runs()), seconds=120, what="the end of every run")
    world.land(AFTERWARDS, "clients.csv", day_csv(len(DAYS), shifted=True))
    run_to_its_end(world, "score_batch", AFTERWARDS)

    retrainings = world.runs("retrain")
    (asked,) = [run for run in retrainings if run.parent_run_id is None]
    ends = Counter(run.status for run in retrainings)
    assert ends[dg.DagsterRunStatus.SUCCESS] == 1
    # Twice at each of three stages at least; at the others it may not have begun, or be at its end.
    assert ends[dg.DagsterRunStatus.FAILURE] == len(retrainings) - 1 >= 6
    assert [event.metadata["version"].value for event in world.made("registered_model")] == ["1", "2"]
    endpoint = json.loads((world.lake / "endpoints/credit-card-default-be.json").read_text())
    assert (endpoint["default"], endpoint["previous"]) == ("2", "1")
    entries = world.promotions()
    assert [(entry["action"], entry["to_version"]) for entry in entries] == [("promote", "1"), ("promote", "2")]
    assert (entries[1]["run_id"], entries[1]["reason"]) == (asked.run_id, asked.tags["credit_default/why"])
    predictions = world.predictions(DAYS[-1])
    assert len(set(predictions["prediction_id"].to_pylist())) == predictions.num_rows == ROWS_A_DAY
    assert set(predictions["model_version"].to_pylist()) == {"1"}
    # A run that goes on may record again what it finds made, and makes nothing else of it.
    for asset in ("batch_predictions", "drift_metrics"):
        made = [event for event in world.made(asset) if event.partition == DAYS[-1]]
        assert len({event.tags["dagster/data_version"] for event in made}) == 1, asset
    assert world.unpublished() == []
    assert set(world.predictions(AFTERWARDS)["model_version"].to_pylist()) == {"2"}
    assert world.drift(AFTERWARDS)["overall"]["violation"] is False


def has_succeeded(world: World) -> bool:
    return any(run.status == dg.DagsterRunStatus.SUCCESS for run in world.runs("retrain"))


def has_looked(world: World, sensor: str) -> bool:
    states = world.instance.all_instigator_state()
    return any(state.name == sensor and state.instigator_data and state.instigator_data.cursor for state in states)


def kill_the_run(world: World, job: str) -> None:
    """SIGKILL to the process of a job's newest run and to nothing else: what it started goes on, nobody listens."""

    def process() -> int | None:
        announced = announced_process(world.instance, world.runs(job)[0].run_id)
        return announced[0] if announced is not None and alive(announced[0]) else None

    os.kill(until(process, seconds=120, what=f"a process of {job}", every=0.02), signal.SIGKILL)
