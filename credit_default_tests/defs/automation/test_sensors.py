"""What happens when files land: one request for each new or changed stretch of days, or words that say why none."""

from __future__ import annotations

import os
import shutil

import dagster as dg
import pytest

from credit_default.definitions import defs
from credit_default.defs.assets import monitoring, scoring
from credit_default.defs.automation.sensors import inference_landing, outcomes_landing
from credit_default.defs.landing import refusals
from credit_default_tests.defs.conftest import day, ranges

Status = dg.DagsterRunStatus


@pytest.fixture
def tick(instance, storage):
    """Evaluate a sensor as the daemon does, against the real definitions."""

    def evaluate(sensor=inference_landing, cursor=None, log=None):
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            resources={"storage": storage},
            repository_def=defs.get_repository_def(),
            sensor_name=sensor.name,
        )
        if log is not None:
            context.log.addHandler(log)
        return sensor.evaluate_tick(context)

    return evaluate


def test_new_days_become_one_run_each_unbroken_stretch(tick, landing, recorded):
    recorded.deployed()
    for ago in (2, 3, 4, 8):
        landing.put(day(ago))
    done = tick()
    assert ranges(done.run_requests) == [(day(8), day(8)), (day(4), day(2))]
    assert done.skip_message is None
    for request in done.run_requests:
        assert request.tags["credit_default/tables"] == "daily"
        assert request.tags["credit_default/why"] == "inference_landing"
        assert request.tags["dagster/sensor_name"] == "inference_landing"


def test_a_second_tick_asks_for_nothing_and_says_so(tick, landing, recorded):
    recorded.deployed()
    landing.put(day(2))
    done = tick(cursor=tick().cursor)
    assert done.run_requests == []
    assert done.skip_message == "Nothing new has landed."


def test_a_changed_day_is_asked_for_again_with_another_run_key(tick, landing, recorded):
    recorded.deployed()
    landing.put(day(2))
    landing.put(day(5))
    first = tick()
    landing.put(day(2), file="late.csv")
    second = tick(cursor=first.cursor)
    assert ranges(second.run_requests) == [(day(2), day(2))]
    assert second.run_requests[0].run_key not in [request.run_key for request in first.run_requests]
    assert tick(cursor=second.cursor).run_requests == []


def test_a_withdrawn_file_and_one_that_comes_back_are_changes_of_their_own(tick, landing, recorded, storage):
    recorded.deployed()
    folder, keys, cursor = f"{scoring.LANDING}/{day(2)}", [], None
    landing.put(day(2))
    late = storage.path(f"{folder}/late.csv")
    for content in (None, "b", None, "b", None):
        late.write_text(content) if content else late.unlink(missing_ok=True)
        os.utime(late.parent, (1_700_000_000, 1_700_000_000))
        if content:
            os.utime(late, (1_700_000_000, 1_700_000_000))
        done = tick(cursor=cursor)
        assert ranges(done.run_requests) == [(day(2), day(2))], content
        # The same change at a tick whose cursor was lost, or evaluated twice, is the same request.
        assert [request.run_key for request in tick(cursor=cursor).run_requests] == [done.run_requests[0].run_key]
        assert [request.run_key for request in tick().run_requests] == [done.run_requests[0].run_key]
        keys.append(done.run_requests[0].run_key)
        cursor = done.cursor
        recorded.scored(day(2), storage.fingerprint(folder))
        assert tick(cursor=cursor).run_requests == []
        assert tick().run_requests == []
    assert len(set(keys)) == len(keys)


def test_a_run_that_found_other_files_than_it_was_asked_for_is_seen(tick, landing, recorded, storage):
    recorded.deployed()
    folder = f"{scoring.LANDING}/{day(2)}"
    landing.put(day(2))
    asked = tick()
    late = landing.put(day(2), file="late.csv")
    recorded.scored(day(2), storage.fingerprint(folder))  # the run began a moment after the second file came
    late.unlink()
    os.utime(late.parent, (1_700_000_000, 1_700_000_000))
    again = tick(cursor=asked.cursor)
    assert ranges(again.run_requests) == [(day(2), day(2))]
    assert again.run_requests[0].run_key != asked.run_requests[0].run_key
    assert tick(cursor=again.cursor).run_requests == []


@pytest.mark.parametrize("while_busy", [False, True])
def test_a_day_whose_run_failed_on_a_file_that_is_withdrawn_is_asked_for_again(
    tick, landing, recorded, instance, storage, *, while_busy
):
    recorded.deployed()
    first = landing.put(day(2))
    asked = tick()
    recorded.run(day(2), day(2), Status.QUEUED)  # it will find the bad file and fail
    (run,) = instance.get_runs()
    bad = landing.put(day(2), file="bad.csv")
    cursor = tick(cursor=asked.cursor).cursor
    if while_busy:
        bad.unlink()
    instance.report_run_failed(run)
    if not while_busy:
        second = tick(cursor=cursor)
        assert ranges(second.run_requests) == [(day(2), day(2))]
        cursor = second.cursor
        bad.unlink()
    os.utime(first.parent, (1_700_000_000, 1_700_000_000))
    again = tick(cursor=cursor)
    assert ranges(again.run_requests) == [(day(2), day(2))]
    # Dagster starts no second run of a key.
    assert again.run_requests[0].run_key != asked.run_requests[0].run_key
    assert tick(cursor=again.cursor).run_requests == []


def test_a_day_whose_folder_was_away_while_its_run_failed_is_asked_for_again(tick, landing, recorded, storage):
    recorded.deployed()
    landing.put(day(2))
    folder = storage.path(f"{scoring.LANDING}/{day(2)}")
    asked = tick()
    folder.rename(folder.with_name(".away"))
    cursor = tick(cursor=asked.cursor).cursor
    folder.with_name(".away").rename(folder)
    again = tick(cursor=cursor)
    assert ranges(again.run_requests) == [(day(2), day(2))]
    assert again.run_requests[0].run_key != asked.run_requests[0].run_key


def test_a_run_that_failed_half_way_is_left_to_the_schedule(tick, landing, recorded, storage):
    recorded.deployed()
    landing.put(day(2))
    asked = tick()
    fingerprint = storage.fingerprint(f"{scoring.LANDING}/{day(2)}")
    recorded.materialised("inference_data", day(2), landing_fingerprint=fingerprint)
    assert tick(cursor=asked.cursor).run_requests == []


def test_a_day_that_an_earlier_version_scored_is_not_scored_again(tick, landing, recorded, storage):
    recorded.deployed()
    landing.put(day(2))
    recorded.scored(day(2), storage.fingerprint(f"{scoring.LANDING}/{day(2)}")[:16])
    assert tick().run_requests == []


def test_an_emptied_day_is_asked_for_once_and_one_that_never_held_anything_never(tick, landing, recorded, storage):
    recorded.deployed()
    path = landing.put(day(2))
    storage.path(f"{scoring.LANDING}/{day(4)}").mkdir()
    os.utime(storage.path(f"{scoring.LANDING}/{day(4)}"), (1_700_000_000, 1_700_000_000))
    recorded.scored(day(2), storage.fingerprint(f"{scoring.LANDING}/{day(2)}"))
    before = tick()
    assert before.run_requests == []
    path.unlink()
    landing.put(day(2), file="clients.csv.done")
    emptied = tick(cursor=before.cursor)
    assert ranges(emptied.run_requests) == [(day(2), day(2))]
    recorded.scored(day(2), "")
    assert tick(cursor=emptied.cursor).run_requests == []
    assert tick().run_requests == []
    landing.put(day(2))
    assert ranges(tick(cursor=emptied.cursor).run_requests) == [(day(2), day(2))]


def test_a_day_folder_that_is_gone_is_left_alone(tick, landing, recorded, storage):
    recorded.deployed()
    path = landing.put(day(2))
    recorded.scored(day(2), storage.fingerprint(f"{scoring.LANDING}/{day(2)}"))
    shutil.rmtree(path.parent)
    assert tick().run_requests == []


@pytest.mark.parametrize(
    ("sensor", "folder"), [(inference_landing, scoring.LANDING), (outcomes_landing, monitoring.LANDING)]
)
def test_names_that_are_no_text_and_days_that_are_links_are_told_and_the_others_asked_for(
    tick, landing, recorded, *, storage, caplog, sensor, folder
):
    recorded.deployed()
    for ago in (2, 3, 4):
        recorded.materialised("batch_predictions", day(ago))
    landing.put(day(3), file=os.fsdecode(b"kund\xe9n.csv"), folder=folder)
    landing.put(day(2), folder=folder)
    landing.put(os.fsdecode(b"caf\xe9\n"), folder=folder)
    storage.path(f"{folder}/{day(4)}").symlink_to(storage.path(f"{folder}/{day(4)}"))
    done = tick(sensor, log=caplog.handler)
    assert ranges(done.run_requests) == [(day(3), day(2))]
    assert f"{folder}/{day(4)} is left alone: a link, and links are not followed" in caplog.text
    assert f"{folder}/caf\\xe9\\n is left alone: not a day" in caplog.text
    idle = tick(sensor, cursor=done.cursor)
    assert idle.run_requests == []
    assert f"{day(4)}: a link" in idle.skip_message
    assert idle.skip_message.isprintable()


def test_a_day_that_was_given_up_is_not_asked_for_until_its_files_change(tick, landing, recorded, instance, storage):
    recorded.deployed()
    landing.put(day(2))
    folder = f"{scoring.LANDING}/{day(2)}"
    inputs = refusals.inputs_of(instance, "inference_data", scoring.CHAIN, day(2), storage.fingerprint(folder))
    refusals.keep(storage, "inference_data", day(2), refusals.Refusal("drift_metrics", "it was killed.", inputs))
    idle = tick()  # whose cursor knows of nothing
    assert idle.run_requests == []
    assert idle.skip_message.endswith(f" {day(2)}: drift_metrics: it was killed.")
    landing.put(day(2), file="late.csv")
    assert ranges(tick(cursor=idle.cursor).run_requests) == [(day(2), day(2))]


def test_nothing_is_asked_for_before_a_model_is_live_and_everything_after(tick, landing, recorded):
    landing.put(day(2))
    waiting = tick()
    assert waiting.run_requests == []
    assert waiting.skip_message == f"No model is live yet, run train_model and deploy_model. Waiting: {day(2)}."
    recorded.deployed()
    assert ranges(tick(cursor=waiting.cursor).run_requests) == [(day(2), day(2))]


@pytest.mark.parametrize(
    "cursor", [None, "", "no JSON {", "[1, 2]", "17", '{"2026-01-01": null}', '{"days": [], "read_to": {}}']
)
def test_a_lost_or_garbled_cursor_makes_nothing_twice(tick, landing, recorded, storage, cursor):
    recorded.deployed()
    landing.put(day(2))
    landing.put(day(3))
    recorded.scored(day(2), storage.fingerprint(f"{scoring.LANDING}/{day(2)}"))
    done = tick(cursor=cursor)
    assert ranges(done.run_requests) == [(day(3), day(3))]
    assert tick(cursor=done.cursor).run_requests == []


def test_malformed_entries_are_told_in_words_and_in_the_log_and_stop_nothing(tick, landing, recorded, storage, caplog):
    recorded.deployed()
    for name in ("2026-13-01", "latest", "2026-1-1", "2019-01-01", day(-9)):
        landing.put(name)
    storage.path(f"{scoring.LANDING}/{day(4)}").write_text("a file\n")
    idle = tick(log=caplog.handler)
    assert idle.run_requests == []
    for name in ("2026-13-01", "latest", "2026-1-1", "2019-01-01", day(-9), day(4)):
        assert f"{name}: " in idle.skip_message
        assert f"{scoring.LANDING}/{name} is left alone" in caplog.text

    landing.put(day(2))
    assert ranges(tick(cursor=idle.cursor).run_requests) == [(day(2), day(2))]


def test_thousands_of_files_in_the_place_of_days_are_counted_and_hide_no_day(tick, landing, recorded, storage, caplog):
    recorded.deployed()
    landing.put("latest")
    for number in range(1_000):
        storage.path(f"{scoring.LANDING}/{number}.csv").touch()
    storage.path(f"{scoring.LANDING}/{day(4)}").touch()
    done = tick(log=caplog.handler)
    assert f"{day(4)}: not a folder" in done.skip_message
    assert done.skip_message.endswith(" 982 more entries are left alone.")
    assert done.skip_message.count("not a day") == 19
    assert len(caplog.records) == 21


def test_files_that_are_being_written_are_left_and_named(tick, landing, recorded):
    recorded.deployed()
    landing.put(day(2), seconds_ago=0.0)
    waiting = tick()
    assert waiting.run_requests == []
    assert waiting.skip_message == f"Still being written to: {day(2)}."
    landing.put(day(2))
    assert ranges(tick(cursor=waiting.cursor).run_requests) == [(day(2), day(2))]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.STARTED])
def test_a_day_that_a_run_works_on_is_asked_for_only_once_the_run_has_ended(tick, landing, recorded, instance, status):
    recorded.deployed()
    for ago in (2, 3, 4):
        landing.put(day(ago))
    recorded.run(day(4), day(3), status)
    done = tick()
    assert ranges(done.run_requests) == [(day(2), day(2))]
    (run,) = instance.get_runs()
    instance.report_run_failed(run)
    assert ranges(tick(cursor=done.cursor).run_requests) == [(day(4), day(3))]


def test_a_backlog_is_worked_off_in_bounded_ticks(tick, landing, recorded):
    recorded.deployed()
    for ago in range(1, 131):
        landing.put(day(ago))
    cursor, asked = None, []
    for _ in range(3):
        done = tick(cursor=cursor)
        cursor = done.cursor
        asked.append(ranges(done.run_requests))
    assert asked == [[(day(130), day(69))], [(day(68), day(7))], [(day(6), day(1))]]
    assert tick(cursor=cursor).run_requests == []


def test_outcomes_wait_until_their_day_is_scored(tick, landing, recorded):
    for ago in (2, 3):
        landing.put(day(ago), folder=monitoring.LANDING)
    waiting = tick(outcomes_landing)
    assert waiting.run_requests == []
    assert waiting.skip_message == f"Outcomes of days that are not scored yet: {day(3)} to {day(2)}."
    recorded.materialised("batch_predictions", day(3))
    first = tick(outcomes_landing, cursor=waiting.cursor)
    assert ranges(first.run_requests) == [(day(3), day(3))]
    recorded.materialised("batch_predictions", day(2))
    assert ranges(tick(outcomes_landing, cursor=first.cursor).run_requests) == [(day(2), day(2))]


def test_outcomes_that_wait_do_not_hide_what_cannot_be_read(tick, landing, recorded, storage):
    landing.put(day(3), folder=monitoring.LANDING)
    storage.path(f"{monitoring.LANDING}/{day(4)}").symlink_to(storage.path("elsewhere"))
    idle = tick(outcomes_landing)
    assert idle.skip_message.startswith(f"Outcomes of days that are not scored yet: {day(3)}. {day(4)}: a link")


def test_many_outcomes_that_wait_do_not_hold_up_those_that_can_be_judged(tick, landing, recorded):
    for ago in range(2, 102):
        landing.put(day(ago), folder=monitoring.LANDING)
    recorded.materialised("batch_predictions", day(2))
    assert ranges(tick(outcomes_landing).run_requests) == [(day(2), day(2))]


def test_corrected_outcomes_are_judged_again(tick, landing, recorded):
    recorded.materialised("batch_predictions", day(2))
    landing.put(day(2), folder=monitoring.LANDING)
    first = tick(outcomes_landing)
    landing.put(day(2), "client_id\ncorrected\n", folder=monitoring.LANDING)
    assert ranges(tick(outcomes_landing, cursor=first.cursor).run_requests) == [(day(2), day(2))]


def test_clients_and_outcomes_of_a_day_do_not_take_each_other_for_their_own(tick, landing, recorded):
    recorded.deployed()
    landing.put(day(2), folder=monitoring.LANDING)
    assert tick(inference_landing).run_requests == []
    recorded.materialised("batch_predictions", day(2))
    recorded.run(day(2), day(2), Status.STARTED, job="score_batch")
    assert ranges(tick(outcomes_landing).run_requests) == [(day(2), day(2))]
