"""Kill -9 of everything, and of the run alone, at each stage of the loop: the story ends as it would have."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import dagster as dg
import pytest

from credit_default_tests.end_to_end.server import Platform
from credit_default_tests.end_to_end.shifting_clients import day_csv, outcomes_csv, training_csv
from credit_default_tests.end_to_end.world import World, ago, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: The first is calm, the others arrive in NT$. The last one lands while everything runs.
DAYS = [ago(number) for number in range(9, 3, -1)]
AFTERWARDS = ago(3)
ONE_TRIAL = json.dumps({"ops": {"trained_model": {"config": {"trials": 1}}}})


def entries(world: World) -> list[dict[str, object]]:
    return [json.loads(line) for line in (world.lake / "models/ledger.jsonl").read_text().splitlines()]


#: What is seen when a stage is at work, and the job to which its run belongs.
STAGES: dict[str, tuple[str, Callable[[World], object]]] = {
    "scored": ("score_batch", lambda world: world.step_at_work("score")),
    "measured": ("score_batch", lambda world: world.step_at_work("drift")),
    "asked for": ("retrain", lambda world: world.runs("retrain")),
    "trained": ("retrain", lambda world: world.step_at_work("train")),
    "compared": ("retrain", lambda world: world.step_at_work("comparison")),
    "tried on golden rows": ("retrain", lambda world: world.step_at_work("smoke_test")),
    "made live": ("retrain", lambda world: len(entries(world)) == 2),
}


@pytest.fixture(scope="module")
def drifting(tmp_path_factory) -> World:
    """A home with a live model, days that it scored and that drifted, and their outcomes; sensors had a first look."""
    world = World(tmp_path_factory.mktemp("drifting") / "home")
    world.land("", "clients.csv", training_csv(), under="curated")
    known = DAYS[:-1]
    for number, day in enumerate(known):
        world.land(day, "clients.csv", day_csv(number, shifted=number > 0))
        world.land(day, "outcomes.csv", outcomes_csv(number), under="outcomes")
    for job, *more in (
        ("train_model", None, None, "--config", ONE_TRIAL),
        ("deploy_model",),
        ("score_batch", known[0], known[-1]),
        ("judge_predictions", known[0], known[-1]),
    ):
        done = world.run_job(job, *more)
        assert done.returncode == 0, done.stderr[-6000:]
    platform = Platform(world)
    with platform.running():
        for sensor in ("drift_sensor", "performance_sensor"):
            until(lambda name=sensor: platform.ticks(name), seconds=120, what=f"the first look of {sensor}")
    assert not world.runs("retrain")
    return world


@pytest.mark.parametrize("victim", ["everything", "the run"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_any_stage_changes_nothing_about_how_it_ends(drifting, tmp_path, stage, victim):
    world = drifting.copy_to(tmp_path / "home")
    job, at_work = STAGES[stage]
    platform = Platform(world)
    world.land(DAYS[-1], "clients.csv", day_csv(len(DAYS) - 1, shifted=True))
    with platform.running():
        until(lambda: at_work(world), seconds=240, what=f"it is being {stage}", every=0.02)
        if victim == "the run":
            kill_process_of(world, world.runs(job)[0])
            see_the_end(world)
    if victim == "everything":  # which leaving the context killed
        with platform.running():
            see_the_end(world)
    world.land(AFTERWARDS, "clients.csv", day_csv(len(DAYS), shifted=True))
    done = world.run_job("score_batch", AFTERWARDS)
    assert done.returncode == 0, done.stderr[-6000:]

    retrainings = world.runs("retrain")
    (asked,) = [run for run in retrainings if run.parent_run_id is None]
    assert [run.status for run in retrainings].count(dg.DagsterRunStatus.SUCCESS) == 1
    assert [event.metadata["version"].value for event in world.made("registered_model")] == ["1", "2"]
    endpoint = json.loads((world.lake / "endpoints/credit-card-default-be.json").read_text())
    assert (endpoint["default"], endpoint["previous"]) == ("2", "1")
    assert [(entry["action"], entry["to_version"]) for entry in entries(world)] == [("promote", "1"), ("promote", "2")]
    assert entries(world)[1]["run_id"] == asked.run_id
    assert entries(world)[1]["reason"] == asked.tags["credit_default/why"]
    for asset in ("batch_predictions", "drift_metrics"):
        assert [event.partition for event in world.made(asset)].count(DAYS[-1]) == 1
    assert set(world.predictions(DAYS[-1])["model_version"].to_pylist()) == {"1"}
    assert set(world.predictions(AFTERWARDS)["model_version"].to_pylist()) == {"2"}
    assert [world.drift(day)["overall"]["violation"] for day in (DAYS[-1], AFTERWARDS)] == [True, False]
    assert world.unpublished() == []


def kill_process_of(world: World, run: dg.DagsterRun) -> None:
    """SIGKILL to the process of a run and to nothing else: what it started goes on, nobody listens."""

    def announced() -> int | None:
        entries_of_it = world.instance.all_logs(run.run_id)
        events = [entry.get_dagster_event() for entry in entries_of_it if entry.is_dagster_event]
        told = [event.engine_event_data.metadata for event in events if event.is_engine_event]
        return next((int(metadata["pid"].value) for metadata in told if "pid" in metadata), None)

    os.kill(until(announced, seconds=60, what=f"the process of run {run.run_id}", every=0.02), signal.SIGKILL)


def see_the_end(world: World) -> None:
    """Wait for the promotion and for quiet."""
    until(lambda: len(entries(world)) == 2, seconds=300, what="a promotion")
    until(lambda: all(run.is_finished for run in world.runs()), seconds=120, what="the end of every run")
