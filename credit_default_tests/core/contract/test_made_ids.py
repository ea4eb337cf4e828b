"""Rows without an id: one client each, on days that were scored before their ids held the day, too."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from credit_default.core import tables
from credit_default.core.contract import made_ids
from credit_default.core.data.curated import curate
from credit_default.core.data.prepared import prepare
from credit_default.core.data.sample import arrivals, development_clients
from credit_default.core.monitoring.performance import measure_performance
from credit_default.core.promotion.holdout_rows import holdout_rows
from credit_default.core.schema import AS_OF, CLIENT_ID, SOURCE_FILE, SOURCE_ROW, TARGET

DAYS = [date(2026, 1, 1) + timedelta(days=number) for number in range(20)]
A_DAY = 100
arriving = cache(arrivals)


def scored(number: int, *, with_day: bool) -> pa.Table:
    """`inference_data` and target of a day, of a file without ids."""
    rows = arriving().slice(number * A_DAY, A_DAY)
    row_numbers = pa.array(range(1, A_DAY + 1), pa.int64())
    ids = made_ids.make("clients.csv", row_numbers.to_numpy(), str(DAYS[number]) if with_day else None)
    columns = {CLIENT_ID: ids, SOURCE_FILE: pa.array(["clients.csv"] * A_DAY), SOURCE_ROW: row_numbers}
    for name, column in columns.items():
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
    return rows


def curated(*, rows_with_day: bool, outcomes_with_day: bool) -> pa.Table:
    labelled = []
    for number, day in enumerate(DAYS):
        outcomes = scored(number, with_day=outcomes_with_day).select(tables.outcomes_schema().names)
        labelled.append((day, scored(number, with_day=rows_with_day).drop_columns([TARGET]), outcomes))
    return curate([], labelled)[0]


@cache
def newest() -> pa.Table:
    return curated(rows_with_day=True, outcomes_with_day=True)


@pytest.mark.parametrize(("rows_with_day", "outcomes_with_day"), [(True, False), (False, True), (False, False)])
def test_training_data_is_the_same_before_a_rerun_between_and_after(rows_with_day, outcomes_with_day):
    expected = newest()
    assert pc.count_distinct(expected[CLIENT_ID]).as_py() == development_clients().num_rows + len(DAYS) * A_DAY

    table = curated(rows_with_day=rows_with_day, outcomes_with_day=outcomes_with_day)

    assert tables.content_hash(table) == tables.content_hash(expected)


@pytest.mark.parametrize("predicted_with_day", [True, False])
@pytest.mark.parametrize("outcomes_with_day", [True, False])
def test_outcomes_join_the_predictions_of_their_day_and_of_no_other(predicted_with_day, outcomes_with_day):
    table = scored(3, with_day=predicted_with_day)
    score = pa.array([0.2] * A_DAY)
    decision = pa.array([False] * A_DAY)
    predictions = table.select([CLIENT_ID]).append_column("probability_of_default", score)
    predictions = predictions.append_column("predicted_default", decision)

    result = measure_performance(predictions, scored(3, with_day=outcomes_with_day), day=str(DAYS[3]))
    assert (result["n_joined"], result["n_outcomes_without_prediction"]) == (A_DAY, 0)
    other = measure_performance(predictions, scored(4, with_day=True), day=str(DAYS[3]))
    assert (other["n_joined"], other["n_outcomes_without_prediction"]) == (0, A_DAY)


def test_an_id_that_a_file_gave_is_nobody_elses():
    given = pa.chunked_array([["2026-01-01/clients.csv:x", "2026-01-02/a.csv:1", "a:1", "2026-01-01/a:1"]])
    assert made_ids.join_keys(given, "2026-01-01").to_pylist() == [*given.to_pylist()[:3], "a:1"]
    rows = scored(0, with_day=False).append_column(AS_OF, pa.array([None] * A_DAY, pa.date32()))
    assert made_ids.lasting_ids(rows).equals(rows[CLIENT_ID])


def test_ids_that_were_written_in_other_ways_before_are_the_clients_that_they_are_now():
    before = pa.array(["1001.0", "1002", "1.003e3", "NaN", "1004", "1004.0"])
    arrived = scored(0, with_day=True).slice(0, 6).drop_columns([TARGET]).set_column(0, CLIENT_ID, before)
    known = pa.table({CLIENT_ID: ["1001", "1002", "1003", "1004"], TARGET: pa.array([0, 1, 1, 0], pa.int8())})

    table, _, counts = curate([], [(DAYS[0], arrived, known)])

    labelled = table.filter(pc.is_valid(table[AS_OF])).select([CLIENT_ID, TARGET]).to_pylist()
    # Client 1004 has two rows that may differ: none is taken, as if they had landed now.
    assert [tuple(row.values()) for row in labelled] == [("1001", 0), ("1002", 1), ("1003", 1)]
    assert counts["outcomes_without_row"] == 1
    predictions = pa.table({
        CLIENT_ID: before,
        "probability_of_default": [0.2] * 6,
        "predicted_default": [False] * 6,
    })  # fmt: skip
    assert measure_performance(predictions, known, day=str(DAYS[0]))["n_outcomes_without_prediction"] == 0


def test_a_challenger_is_not_judged_by_rows_that_the_champion_learned_under_the_old_id(tmp_path):
    now = newest()
    old_ids = pc.if_else(
        pc.is_null(now[AS_OF]),
        now[CLIENT_ID],
        pc.binary_join_element_wise(now[SOURCE_FILE], now[SOURCE_ROW].cast(pa.string()), ":"),
    )
    before = now.set_column(0, now.schema.field(CLIENT_ID), old_ids)
    champion = prepare(before, curated_data_version="1")
    challenger = prepare(now, curated_data_version="2", recent_rows=400)
    for made in (champion, challenger):
        made.write(tmp_path / made.version)

    def rows_of(*parts: pa.Table) -> set[tuple]:
        return {(row[AS_OF], row[SOURCE_ROW]) for part in parts for row in part.to_pylist() if row[AS_OF] is not None}

    judged = holdout_rows(tmp_path / challenger.version, tmp_path / champion.version)

    assert len(rows_of(judged)) > 50
    assert not rows_of(judged) & rows_of(champion.parts["development"], champion.parts["calibration"])
