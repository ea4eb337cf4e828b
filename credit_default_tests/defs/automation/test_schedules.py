"""What the clock asks for: what the sensor has not, and the drift of days that lack it."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from credit_default.definitions import defs
from credit_default.defs.assets import monitoring, scoring
from credit_default.defs.automation.schedules import (
    SCHEDULES,
    daily_check,
    daily_judging,
    daily_scoring,
    monthly_retraining,
    weekly_drift,
    weekly_online_export,
)
from credit_default.defs.automation.sensors import inference_landing
from credit_default.defs.landing import refusals
from credit_default_tests.defs.conftest import day, ranges

Status = dg.DagsterRunStatus


@pytest.fixture(scope="module")
def new_instance(tmp_path_factory):
    """The folder of an instance that nothing has happened in."""
    home = tmp_path_factory.mktemp("dagster")
    with dg.DagsterInstance.local_temp(str(home)):
        return home


@pytest.fixture
def instance(new_instance, tmp_path):
    """A schedule's context opens the instance for itself, so it has to be on disk."""
    home = shutil.copytree(new_instance, tmp_path / "dagster")
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


@pytest.fixture
def tick(instance, storage):
    def evaluate(schedule=daily_scoring, moment=None):
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=moment or datetime.now(UTC),
            resources={"storage": storage},
            repository_def=defs.get_repository_def(),
        )
        return schedule.evaluate_tick(context)

    return evaluate


@pytest.fixture
def sensor_tick(instance, storage):
    def evaluate(cursor=None):
        return inference_landing.evaluate_tick(
            dg.build_sensor_context(
                instance=instance,
                cursor=cursor,
                resources={"storage": storage},
                repository_def=defs.get_repository_def(),
            )
        )

    return evaluate


def test_the_daily_schedule_asks_for_days_that_were_never_made(tick, landing, recorded):
    recorded.deployed()
    for ago in (1, 2, 5):
        landing.put(day(ago))
    assert ranges(tick().run_requests) == [(day(5), day(5)), (day(2), day(1))]


def test_the_daily_schedule_rests_when_every_day_is_scored(tick, landing, recorded, storage):
    recorded.deployed()
    landing.put(day(1))
    fingerprint = storage.fingerprint(f"{scoring.LANDING}/{day(1)}")
    recorded.scored(day(1), fingerprint)
    done = tick()
    assert not done.run_requests
    assert done.skip_message == "Every landing day is scored or being scored."


def test_the_daily_schedule_asks_again_for_a_day_whose_run_failed_and_the_sensor_does_not(
    tick, sensor_tick, landing, recorded, instance
):
    recorded.deployed()
    landing.put(day(1))
    asked = sensor_tick()
    recorded.run(day(1), day(1), Status.STARTED)
    (run,) = instance.get_runs()
    instance.report_run_failed(run)
    assert sensor_tick(asked.cursor).run_requests == []
    assert ranges(tick().run_requests) == [(day(1), day(1))]


def test_a_stretch_that_is_asked_for_at_two_ticks_becomes_two_runs(tick, landing, recorded):
    recorded.deployed()
    landing.put(day(1))
    moment = datetime.now(UTC)
    (first,), (again,), (later,) = (tick(moment=moment + timedelta(days=days)).run_requests for days in (0, 0, 1))
    assert first.run_key == again.run_key != later.run_key


def test_the_daily_schedule_asks_for_a_day_that_was_taken_in_and_never_scored(tick, landing, recorded, storage):
    recorded.deployed()
    for ago in (1, 2):
        landing.put(day(ago))
        recorded.materialised("inference_data", day(ago), landing_fingerprint="of files that are gone")
    recorded.materialised("batch_predictions", day(1))
    for ago in (1, 2):
        shutil.rmtree(storage.path(f"{scoring.LANDING}/{day(ago)}"))
    (request,) = tick().run_requests
    assert ranges([request]) == [(day(2), day(2))]
    # What was made of them is scored.
    assert {key.to_user_string() for key in request.asset_selection} == {"batch_predictions", "drift_metrics"}


def test_outcomes_that_were_not_judged_or_whose_day_was_scored_again_are_asked_for(tick, landing, recorded, storage):
    for ago in (1, 2, 3):
        landing.put(day(ago), folder=monitoring.LANDING)
        fingerprint = storage.fingerprint(f"{monitoring.LANDING}/{day(ago)}")
        if ago != 3:
            recorded.materialised("batch_predictions", day(ago))
            recorded.materialised("outcomes", day(ago), landing_fingerprint=fingerprint)
    recorded.materialised("model_performance", day(1))
    assert ranges(tick(daily_judging).run_requests) == [(day(2), day(2))]  # the third is not scored yet
    recorded.materialised("model_performance", day(2))
    assert not tick(daily_judging).run_requests
    recorded.materialised("batch_predictions", day(1))
    assert ranges(tick(daily_judging).run_requests) == [(day(1), day(1))]


def given_up(storage, instance, asset: str, ago: int, fingerprint: str) -> None:
    inputs = refusals.inputs_of(instance, "inference_data", scoring.CHAIN, day(ago), fingerprint)
    refusals.keep(storage, "inference_data", day(ago), refusals.Refusal(asset, "it was killed", inputs))


def test_no_schedule_asks_for_a_day_that_was_given_up(tick, landing, recorded, storage, instance):
    recorded.deployed()
    for ago in (1, 2, 3):
        landing.put(day(ago))
    taken_in = storage.fingerprint(f"{scoring.LANDING}/{day(2)}")
    given_up(storage, instance, "inference_data", 1, storage.fingerprint(f"{scoring.LANDING}/{day(1)}"))
    for ago in (2, 4, 5):  # the last two were archived since
        recorded.materialised("inference_data", day(ago), landing_fingerprint=taken_in)
        given_up(storage, instance, "batch_predictions", ago, taken_in if ago != 5 else "of other files")
    done = tick()
    assert ranges(done.run_requests) == [(day(3), day(3)), (day(5), day(5))]
    recorded.materialised("batch_predictions", day(4))
    recorded.materialised("batch_predictions", day(5))
    assert ranges(tick(weekly_drift).run_requests) == [(day(5), day(5))]


def test_days_that_cannot_be_used_are_told_by_the_schedule_and_stop_nothing(tick, landing, recorded, storage):
    recorded.deployed()
    landing.put(os.fsdecode(b"caf\xe9"))
    storage.path(f"{scoring.LANDING}/{day(4)}").symlink_to(storage.path(f"{scoring.LANDING}/{day(4)}"))
    idle = tick().skip_message
    assert f"{day(4)}: a link, and links are not followed" in idle
    assert "caf\\xe9: not a day" in idle
    landing.put(day(2), file=os.fsdecode(b"kund\xe9n.csv"))
    assert ranges(tick().run_requests) == [(day(2), day(2))]


def test_the_daily_schedule_waits_for_a_model(tick, landing):
    landing.put(day(1))
    done = tick()
    assert not done.run_requests
    assert "No model is live yet" in done.skip_message


def test_malformed_landing_folders_do_not_stop_the_daily_schedule(tick, landing, recorded, storage):
    recorded.deployed()
    landing.put("latest")
    landing.put("2026-13-01")
    storage.path(f"{scoring.LANDING}/{day(3)}").write_text("a file\n")
    landing.put(day(1))
    assert ranges(tick().run_requests) == [(day(1), day(1))]


def queue(recorded, evaluation):
    """Put what was asked for into the queue, as the daemon does."""
    for first, last in ranges(evaluation.run_requests):
        recorded.run(first, last, Status.QUEUED)


def test_the_sensor_and_the_schedule_never_ask_for_the_same_day(tick, sensor_tick, landing, recorded):
    recorded.deployed()
    for ago in (1, 2, 4):
        landing.put(day(ago))
    first = sensor_tick()
    queue(recorded, first)
    assert not tick().run_requests

    landing.put(day(6))
    daily = tick()
    assert ranges(daily.run_requests) == [(day(6), day(6))]
    queue(recorded, daily)
    assert sensor_tick(first.cursor).run_requests == []


def test_the_weekly_drift_run_measures_only_scored_days_without_drift(tick, recorded):
    for ago in (1, 2, 3, 7, 9):
        recorded.materialised("batch_predictions", day(ago))
    for ago in (2, 9, 20):
        recorded.materialised("drift_metrics", day(ago))
    recorded.run(day(7), day(7), Status.QUEUED)
    done = tick(weekly_drift)
    assert ranges(done.run_requests) == [(day(3), day(3)), (day(1), day(1))]
    for request in done.run_requests:
        assert list(request.asset_selection) == [dg.AssetKey("drift_metrics")]
        assert request.tags["credit_default/tables"] == "daily"


def test_the_weekly_drift_run_rests_when_every_scored_day_is_measured(tick, recorded):
    assert tick(weekly_drift).skip_message == "Every scored day has its drift."
    recorded.materialised("batch_predictions", day(1))
    recorded.materialised("drift_metrics", day(1))
    assert tick(weekly_drift).skip_message == "Every scored day has its drift."


@pytest.mark.parametrize(
    ("schedule", "moment"),
    [
        (daily_scoring, datetime(2026, 1, 2, 6, tzinfo=UTC)),
        (weekly_drift, datetime(2026, 1, 4, 0, tzinfo=UTC)),  # a Sunday
        (monthly_retraining, datetime(2026, 2, 1, 3, tzinfo=UTC)),
        (daily_check, datetime(2026, 1, 1, 12, tzinfo=UTC)),
    ],
)
def test_schedules_tick_in_utc(schedule, moment):
    after = datetime(2026, 1, 1, 7, tzinfo=UTC).timestamp()
    times = schedule_execution_time_iterator(after, schedule.cron_schedule, schedule.execution_timezone)
    assert next(times) == moment


def test_only_retraining_waits_to_be_switched_on():
    stopped = [schedule.name for schedule in SCHEDULES if schedule.default_status.value == "STOPPED"]
    assert stopped == ["monthly_retraining"]


def test_retraining_and_the_check_ask_for_a_run_of_their_job(tick):
    for schedule, job in ((monthly_retraining, "retrain"), (daily_check, "check_days")):
        assert len(tick(schedule).run_requests) == 1
        assert schedule.job_name == job


def test_a_backlog_is_worked_off_in_bounded_ticks(tick, landing, recorded):
    recorded.deployed()
    for ago in range(1, 101):
        landing.put(day(ago))
    first = tick()
    assert ranges(first.run_requests) == [(day(100), day(39))]
    queue(recorded, first)
    assert ranges(tick().run_requests) == [(day(38), day(1))]


SUNDAY = datetime(2026, 3, 1, 1, tzinfo=UTC)


@pytest.fixture
def local(monkeypatch):
    for name in ("CREDIT_DEFAULT_ENV", "CREDIT_DEFAULT_START", "CREDIT_DEFAULT_COLLECTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_what_was_asked_online_is_exported_for_the_seven_complete_days_before_sunday(tick, local):
    (request,) = tick(weekly_online_export, SUNDAY).run_requests
    assert ranges([request]) == [("2026-02-22", "2026-02-28")]
    assert request.tags["credit_default/tables"] == "daily"


def test_no_day_before_the_first_one_is_exported(tick, local):
    local.setenv("CREDIT_DEFAULT_START", "2026-02-27")
    assert ranges(tick(weekly_online_export, SUNDAY).run_requests) == [("2026-02-27", "2026-02-28")]
    local.setenv("CREDIT_DEFAULT_START", "2026-03-01")
    assert tick(weekly_online_export, SUNDAY).skip_message == "No day since 2026-03-01 is complete."


def test_on_azure_nothing_is_exported_while_there_is_no_key_to_open_it_with(tick, local):
    local.setenv("CREDIT_DEFAULT_ENV", "production")
    done = tick(weekly_online_export, SUNDAY)
    assert not done.run_requests
    assert done.skip_message.startswith("CREDIT_DEFAULT_COLLECTION_KEY is not set")
    local.setenv("CREDIT_DEFAULT_COLLECTION_KEY", "looked at only when there is something to open")
    assert ranges(tick(weekly_online_export, SUNDAY).run_requests) == [("2026-02-22", "2026-02-28")]
