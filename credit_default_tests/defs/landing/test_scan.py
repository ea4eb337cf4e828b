"""Which landed days have to be made: new ones and changed ones, and nothing else."""

from __future__ import annotations

import os
from datetime import date
from itertools import pairwise

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_default.defs.assets import scoring
from credit_default.defs.landing import scan as landed
from credit_default.defs.landing.scan import busy_days, requests, scan_landing, stretches
from credit_default.steps import inference_data
from credit_default_tests.defs.conftest import day, ranges
from credit_default_tests.strategies import clients, csv_text

START = date(2025, 1, 1)
Status = dg.DagsterRunStatus


@pytest.fixture
def found(instance, storage):
    """Take a look; `seen`, `busy` and the like as a sensor would give them."""

    def take(seen=None, busy=frozenset(), **options):
        return scan_landing(
            instance,
            storage,
            folder=scoring.LANDING,
            asset="inference_data",
            chain=scoring.CHAIN,
            start=START,
            seen=seen or {},
            busy=set(busy),
            **options,
        )

    return take


def test_an_empty_or_missing_landing_folder_holds_nothing(found, storage):
    assert found() == landed.LandingScan()
    storage.path(scoring.LANDING).mkdir(parents=True)
    assert found() == landed.LandingScan()


def test_a_day_with_files_is_pending_and_an_empty_one_is_not(found, landing, storage):
    landing.put(day(2))
    storage.path(f"{scoring.LANDING}/{day(3)}").mkdir()
    assert list(found().pending) == [day(2)]


def test_today_and_the_first_day_are_days(found, landing):
    landing.put(day(0))
    landing.put("2025-01-01")
    assert set(found().pending) == {day(0), "2025-01-01"}


def test_a_day_that_was_seen_is_not_pending_until_its_files_change(found, landing):
    landing.put(day(2))
    first = found()
    again = found(seen=first.pending)
    assert again.pending == {}
    assert again.seen == first.pending
    landing.put(day(2), file="late.csv")
    changed = found(seen=first.pending)
    assert list(changed.pending) == [day(2)]
    assert changed.pending != first.pending


@pytest.mark.parametrize("change", ["content", "touch", "removal"])
def test_each_kind_of_change_makes_a_day_pending_again(found, landing, change):
    path = landing.put(day(2))
    landing.put(day(2), file="other.csv")
    seen = found().pending
    if change == "content":
        landing.put(day(2), "client_id\nB,C\n")
    elif change == "touch":
        os.utime(path, (1_700_000_000, 1_700_000_000))
    else:
        path.unlink()
        os.utime(path.parent, (1_700_000_000, 1_700_000_000))
    assert list(found(seen=seen).pending) == [day(2)]


def test_a_day_that_was_made_from_these_files_is_dealt_with_even_if_nobody_remembers(found, landing, recorded):
    landing.put(day(2))
    fingerprint = found().pending[day(2)]
    recorded.scored(day(2), "of other files")
    assert list(found().pending) == [day(2)]
    recorded.scored(day(2), fingerprint)
    assert found().pending == {}
    assert found().seen == {day(2): fingerprint}


@pytest.mark.parametrize("reached", ["inference_data", "batch_predictions"])
def test_a_day_that_failed_half_way_is_pending_also_when_it_was_whole_before(found, landing, recorded, reached):
    landing.put(day(2))
    fingerprint = found().pending[day(2)]
    recorded.scored(day(2), fingerprint)
    assert found().pending == {}
    recorded.materialised("inference_data", day(2), landing_fingerprint=fingerprint)
    if reached == "batch_predictions":
        recorded.materialised("batch_predictions", day(2))
    assert list(found().pending) == [day(2)]


def test_a_day_that_was_made_by_hand_without_a_fingerprint_is_pending(found, landing, recorded):
    landing.put(day(2))
    recorded.materialised("inference_data", day(2))
    assert list(found().pending) == [day(2)]


def test_a_busy_day_is_neither_pending_nor_dealt_with(found, landing):
    landing.put(day(2))
    taken = found(busy={day(2)})
    assert taken.pending == {}
    assert taken.seen == {}


def test_files_that_are_still_being_written_are_left_until_they_settle(found, landing):
    landing.put(day(2), seconds_ago=0.0)
    landing.put(day(3))
    assert found().settling == [day(2)]
    assert list(found().pending) == [day(3)]
    assert list(found(quiet_period=0.0).pending) == [day(3), day(2)]


def test_a_last_line_without_its_end_counts_once_the_file_has_been_quiet(found, landing, tmp_path, capsys):
    text = csv_text(clients(3))
    half, whole = text[:-40], text[:-1]
    landing.put(day(2), half, seconds_ago=0.0)
    assert found().settling == [day(2)], "it may still grow"
    landing.put(day(2), whole, seconds_ago=0.0)
    assert found().settling == [day(2)]
    path = landing.put(day(2), whole)
    quiet = found().pending
    assert list(quiet) == [day(2)]

    step = ["--landing", str(path.parents[1]), "--days", day(2), "--output", str(tmp_path / "out")]
    inference_data.main(step)
    assert '"rows": 3, "accepted": 3' in capsys.readouterr().out

    landing.put(day(2), text + whole.splitlines()[-1].replace("3,", "4,", 1))
    assert found(seen=quiet).pending.keys() == {day(2)}, "what comes later makes the day again"


def test_a_file_whose_clock_runs_ahead_is_not_waited_for_until_that_moment_comes(found, landing):
    landing.put(day(2), seconds_ago=-86_400)
    assert list(found().pending) == [day(2)]


@pytest.mark.parametrize(
    "name", ["2026-13-01", "latest", "20260101", "2026-1-1", "2026-02-30", "2026-W01-1", "\uff12026-01-01"]
)
def test_a_folder_whose_name_is_no_day_is_reported_with_what_was_expected(found, landing, name):
    landing.put(name)
    landing.put(day(2))
    seen = found()
    assert seen.unusable == {name: "not a day; expected a folder named YYYY-MM-DD"}
    assert list(seen.pending) == [day(2)]


def test_a_day_out_of_range_is_reported_with_the_range(found, landing):
    landing.put("2024-12-31")
    landing.put(day(-5))
    told = found().unusable
    assert "before the first day, 2025-01-01 (CREDIT_DEFAULT_START)" in told["2024-12-31"]
    assert "after today" in told[day(-5)]
    assert found().pending == {}


def test_a_file_and_links_in_place_of_a_folder_are_reported(found, storage, tmp_path):
    folder = storage.path(scoring.LANDING)
    folder.mkdir(parents=True)
    (folder / day(2)).write_text("client_id\n")
    os.mkfifo(folder / day(3))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "clients.csv").write_text("client_id\nA\n")
    for ago, target in {4: folder / "nowhere", 5: folder / day(5), 6: tmp_path / "elsewhere"}.items():
        (folder / day(ago)).symlink_to(target)
    told = found()
    assert told.pending == {}
    assert {name: problem for name, problem in told.unusable.items() if problem.startswith("not a folder;")}.keys() == {
        day(2),
        day(3),
    }
    links = {
        name for name, problem in told.unusable.items() if problem.startswith("a link, and links are not followed")
    }
    assert links == {day(4), day(5), day(6)}


def test_hidden_entries_are_not_worth_a_word(found, landing):
    landing.put(".ipynb_checkpoints")
    landing.put("_tmp")
    assert found() == landed.LandingScan()


def test_a_long_history_is_looked_at_part_by_part_the_newest_days_always(found, landing, monkeypatch):
    monkeypatch.setattr(landed, "DAYS_A_LOOK", 10)
    days = [day(ago) for ago in range(1, 31)]
    for name in days:
        landing.put(name)
    looked = []
    original = type(landing.storage).fingerprint
    monkeypatch.setattr(
        type(landing.storage), "fingerprint", lambda self, key: looked.append(key) or original(self, key)
    )
    seen = found()
    assert len(looked) <= 10
    assert set(days[:5]) <= set(seen.pending)

    # A clock that stands still: schedules look at the same time of each day, and of any day they must see some others.
    class Clock(landed.datetime):
        @classmethod
        def now(cls, tz=None):
            return moment

    moment = landed.datetime.now(landed.UTC)
    monkeypatch.setattr(landed, "datetime", Clock)
    covered: set[str] = set()
    for _ in range(200):
        covered |= set(found().pending)
        if covered == set(days):
            break
    assert covered == set(days)


def test_a_folder_that_vanishes_during_the_look_is_no_error(found, landing, monkeypatch):
    landing.put(day(2))
    path = landing.put(day(3))
    original = type(landing.storage).entries

    def entries(self, key):
        listed = original(self, key)
        if path.exists():
            path.unlink()
            path.parent.rmdir()
        return listed

    monkeypatch.setattr(type(landing.storage), "entries", entries)
    assert list(found().pending) == [day(2)]


@pytest.mark.parametrize(
    ("status", "is_busy"),
    [
        (Status.QUEUED, True),
        (Status.NOT_STARTED, True),
        (Status.STARTING, True),
        (Status.STARTED, True),
        (Status.SUCCESS, False),
        (Status.FAILURE, False),
        (Status.CANCELED, False),
    ],
)
def test_the_days_of_runs_that_wait_or_work_are_busy(instance, recorded, status, is_busy):
    recorded.run("2026-02-27", "2026-03-01", status)
    expected = {"2026-02-27", "2026-02-28", "2026-03-01"} if is_busy else set()
    assert busy_days(instance, "score_batch") == expected
    assert busy_days(instance, "judge_predictions") == set()


def test_a_run_of_a_single_partition_is_busy_with_it_and_one_without_days_with_none(instance):
    for tags in ({"dagster/partition": "2026-02-27"}, {}):
        instance.add_run(dg.DagsterRun(job_name="score_batch", status=Status.STARTED, tags=tags))
    assert busy_days(instance, "score_batch") == {"2026-02-27"}


def test_a_gap_splits_a_request_and_a_month_end_does_not():
    days = {"2026-02-27": "a", "2026-02-28": "b", "2026-03-01": "c", "2026-03-03": "d"}
    asked = requests(days, why="a test", tags={"tables": "daily"})
    assert ranges(asked) == [("2026-02-27", "2026-03-01"), ("2026-03-03", "2026-03-03")]
    assert all(request.tags["credit_default/why"] == "a test" for request in asked)
    assert all(request.tags["tables"] == "daily" for request in asked)


def test_the_run_key_follows_the_days_and_their_files():
    def keys(days):
        return [request.run_key for request in requests(days, why="", tags={})]

    first = {"2026-01-01": "a", "2026-01-02": "b"}
    assert keys(first) == keys(dict(reversed(first.items())))
    assert keys(first) != keys({**first, "2026-01-02": "c"})
    assert keys(first) != keys({"2026-01-01": "a"})


DAYS = st.sets(st.dates(date(2025, 12, 1), date(2026, 3, 31)), max_size=60)


@given(DAYS)
def test_stretches_hold_each_day_once_and_never_touch(days):
    found = [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in stretches(map(str, days))]
    held = [date.fromordinal(n) for first, last in found for n in range(first.toordinal(), last.toordinal() + 1)]
    assert held == sorted(days)
    assert all((after[0] - before[1]).days > 1 for before, after in pairwise(found))
