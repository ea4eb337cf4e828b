"""Which rows two models are compared on: the newest of those that neither was trained on."""

from __future__ import annotations

from datetime import date, timedelta

import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.core.data.prepared import RECENT, prepare
from credit_default.core.data.sample import arrivals, development_clients
from credit_default.core.data.splits import part_of
from credit_default.core.promotion.holdout_rows import holdout_rows
from credit_default.core.schema import AS_OF, CLIENT_ID

FIRST = date(2026, 3, 1)
A_DAY = 200


def curated(days: int) -> pa.Table:
    """A base without days, and so many days of arrivals."""
    base = development_clients().slice(0, 3_000)
    parts = [base.append_column(AS_OF, pa.nulls(base.num_rows, pa.date32()))]
    for day in range(days):
        rows = arrivals().slice(day * A_DAY, A_DAY)
        moment = pa.array([FIRST + timedelta(days=day)] * A_DAY, pa.date32())
        parts.append(rows.append_column(AS_OF, moment))
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


@pytest.fixture
def prepared(tmp_path):
    """Write a version of prepared data; returns its folder."""

    def make(days: int, recent_rows: int = 400):
        made = prepare(curated(days), curated_data_version=str(days), recent_rows=recent_rows)
        folder = tmp_path / made.version
        made.write(folder)
        return folder

    return make


def clients(table: pa.Table) -> set[str]:
    return set(table[CLIENT_ID].to_pylist())


def trained_on(folder) -> set[str]:
    return set.union(*(clients(tables.read(folder / f"{name}.parquet")) for name in ("development", "calibration")))


def test_neither_model_was_trained_on_any_of_them(prepared):
    champion, challenger = prepared(10), prepared(20)
    rows = holdout_rows(challenger, champion)
    assert rows.num_rows > 500
    assert not clients(rows) & (trained_on(champion) | trained_on(challenger))


def test_the_newest_come_first_and_the_recent_days_are_among_them_whatever_their_hash(prepared):
    champion, challenger = prepared(0), prepared(20)
    rows = holdout_rows(challenger, champion, rows=500)
    recent = tables.read(challenger / f"{RECENT}.parquet")
    assert rows.num_rows == 500
    assert clients(recent) < clients(rows)
    assert len(set(part_of(recent[CLIENT_ID].to_pylist()))) == 3
    days = rows[AS_OF].to_pylist()
    assert None not in days
    assert min(days) < min(recent[AS_OF].to_pylist())


def test_a_client_of_the_recent_days_whom_the_champion_knew_already_is_left_out(prepared, tmp_path):
    # The champion was trained on all days, the newest among them.
    champion, challenger = prepared(20, recent_rows=0), prepared(20)
    rows = holdout_rows(challenger, champion)
    assert not clients(rows) & trained_on(champion)
    assert clients(rows) & clients(tables.read(challenger / f"{RECENT}.parquet"))


def test_of_a_champion_that_was_trained_elsewhere_only_the_test_part_is_sure_to_be_unknown(prepared):
    challenger = prepared(20)
    rows = holdout_rows(challenger, None, rows=100_000)
    assert clients(rows) <= clients(tables.read(challenger / "test.parquet"))


def test_the_same_rows_come_in_the_same_order(prepared):
    champion, challenger = prepared(5), prepared(20)
    assert holdout_rows(challenger, champion).equals(holdout_rows(challenger, champion))


def test_the_newest_days_are_kept_apart_whole_and_no_more_than_a_fifth(prepared):
    def kept(days, recent_rows):
        parts = prepare(curated(days), curated_data_version="v", recent_rows=recent_rows).parts
        return parts[RECENT].num_rows if RECENT in parts else 0

    assert kept(20, 0) == 0
    assert kept(20, 1) == A_DAY
    assert kept(20, A_DAY + 1) == 2 * A_DAY
    assert kept(20, 100_000) == 4 * A_DAY
    assert kept(4, 400) == 0
    assert kept(0, 400) == 0


def test_a_row_that_is_kept_apart_goes_to_the_part_of_its_hash_later(prepared):
    now = prepare(curated(20), curated_data_version="v", recent_rows=400).parts
    later = prepare(curated(30), curated_data_version="v", recent_rows=400).parts
    for name in ("development", "calibration", "test"):
        assert clients(now[name]) <= clients(later[name])
    dealt = dict(zip(now[RECENT][CLIENT_ID].to_pylist(), part_of(now[RECENT][CLIENT_ID].to_pylist()), strict=True))
    for client, part in dealt.items():
        assert client in clients(later[part])
