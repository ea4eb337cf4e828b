"""The whole loop by sensors alone, with the real daemon: a shift, its outcomes, a retraining, a promotion, calm."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg
import pytest

from credit_default.core.promotion.decisions import RetrainingRule
from credit_default_tests.end_to_end.azure_world import AzureWorld
from credit_default_tests.end_to_end.server import Platform
from credit_default_tests.end_to_end.shifting_clients import ROWS_A_DAY, day_csv, outcomes_csv, training_csv
from credit_default_tests.end_to_end.world import World, ago, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

#: The first is calm, the others arrive in NT$, and so does the one after the retraining.
DAYS = [ago(number) for number in range(8, 3, -1)]
AFTERWARDS = ago(3)


@pytest.fixture(scope="module", params=["local", "azure"])
def world(request, tmp_path_factory) -> World:
    """A home with a live model, trained on clients of its own."""
    home = tmp_path_factory.mktemp("loop") / "home"
    if request.param == "local":
        made = World(home)
    else:
        emulator = request.getfixturevalue("emulator")
        made = AzureWorld(home, emulator, emulator.workspace())
    made.land("", "clients.csv", training_csv(), under="curated")
    made.make_a_model_live()
    return made


@pytest.fixture(scope="module")
def played(world) -> Iterator[World]:
    """The story: files land, and nobody does anything else."""
    platform = Platform(world)
    with platform.running():
        until(lambda: platform.ticks("drift_sensor"), seconds=120, what="the first look of the drift sensor")
        for number, day in enumerate(DAYS):
            world.land(day, "clients.csv", day_csv(number, shifted=number > 0))
        until(lambda: len(world.made_days("drift_metrics")) == len(DAYS), seconds=420, what="drift of every day")
        until(lambda: told(platform, "0 rows since"), seconds=120, what="the drift sensor waits for outcomes")
        for number, day in enumerate(DAYS):
            world.land(day, "outcomes.csv", outcomes_csv(number), under="outcomes")
        until(lambda: [run for run in world.runs("retrain") if run.is_finished], seconds=600, what="a retraining")
        world.land(AFTERWARDS, "clients.csv", day_csv(len(DAYS), shifted=True))
        until(lambda: AFTERWARDS in world.made_days("drift_metrics"), seconds=300, what="drift of the day after")
        until(lambda: all(run.is_finished for run in world.runs()), seconds=120, what="the end of every run")
        world.last_ticks = {name: platform.ticks(name) for name in ("drift_sensor", "performance_sensor")}
    if isinstance(world, AzureWorld):
        world.pull()
    return world


def told(platform: Platform, words: str) -> bool:
    return any(words in (tick["skipReason"] or "") for tick in platform.ticks("drift_sensor"))


def test_the_shift_was_seen_on_its_first_day_and_not_before(played):
    days = played.made_days("drift_metrics")
    assert [days[day].metadata["violation"].value for day in DAYS] == [False] + [True] * (len(DAYS) - 1)


def test_the_drift_sensor_waited_for_outcomes_and_then_asked_once_with_its_reason(played):
    (run,) = played.runs("retrain")
    assert run.status == dg.DagsterRunStatus.SUCCESS
    assert run.tags["dagster/sensor_name"] in {"drift_sensor", "performance_sensor"}
    evidence = json.loads(run.tags["credit_default/evidence"])
    assert evidence["drift_since"] == DAYS[1]
    # It asks once there are enough, and the outcomes of some days may come in after that.
    days, rest = divmod(evidence["labelled_rows_since"], ROWS_A_DAY)
    assert rest == 0
    assert RetrainingRule().labelled_rows <= days * ROWS_A_DAY <= (len(DAYS) - 1) * ROWS_A_DAY


def test_the_challenger_was_promoted_on_its_merit(played):
    first, second = played.made("registered_model")
    assert first.metadata["verdict"].value == second.metadata["verdict"].value == "promote"
    assert second.metadata["compared_with_version"].value == "1"
    assert second.metadata["auc_gain_low"].value > 0
    assert played.live()["version"] == "2"


def test_the_ledger_says_so_with_the_reason(played):
    entries = played.promotions()
    assert [(entry["action"], entry["to_version"]) for entry in entries] == [("promote", "1"), ("promote", "2")]
    (run,) = played.runs("retrain")
    assert entries[1]["reason"] == run.tags["credit_default/why"]
    assert entries[1]["run_id"] == run.run_id


def test_the_next_day_is_scored_by_the_new_version_and_is_calm(played):
    event = played.made_days("drift_metrics")[AFTERWARDS]
    assert event.metadata["model_version"].value == "2"
    assert event.metadata["violation"].value is False
    assert set(played.predictions(AFTERWARDS)["model_version"].to_pylist()) == {"2"}


def test_no_sensor_failed(played):
    for name, ticks in played.last_ticks.items():
        assert not [tick for tick in ticks if tick["status"] == "FAILURE"], name
