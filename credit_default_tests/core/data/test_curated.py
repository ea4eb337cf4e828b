from __future__ import annotations

import random
from datetime import date

import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.core.data.curated import SCHEMA, curate
from credit_default.core.data.sample import bundled_clients, development_clients
from credit_default.core.schema import AS_OF, CLIENT_ID, TARGET
from credit_default.errors import ContractError
from credit_default_tests.strategies import client, clients, write_csv

DAY, NEXT_DAY = date(2026, 1, 1), date(2026, 1, 2)


def arrived(*positions):
    """Rows of `inference_data`."""
    rows = bundled_clients().take(pa.array(positions, pa.int64()))
    return rows.select(tables.schema(source=True).names)


def known(**targets):
    """Rows of `outcomes`; the keys are ``c<client id>``."""
    ids = [name.removeprefix("c") for name in targets]
    columns = [ids, list(targets.values()), ["outcomes.csv"] * len(ids), list(range(1, len(ids) + 1))]
    schema = tables.outcomes_schema()
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


@pytest.fixture
def own(tmp_path):
    return [write_csv(tmp_path / "own.csv", [{**row, TARGET: "True"} for row in clients(3, target=True)])]


def test_without_own_files_the_base_is_the_bundled_development_half():
    table, rejected, counts = curate([], [])

    assert table.schema.equals(SCHEMA)
    assert sorted(table[CLIENT_ID].to_pylist()) == sorted(development_clients()[CLIENT_ID].to_pylist())
    assert table[AS_OF].null_count == 15_000
    assert rejected.num_rows == 0
    assert counts["origins"] == {"bundled": 15_000, "own": 0, "labelled_arrivals": 0}
    assert counts["target_rate"] == pytest.approx(0.22, abs=0.01)
    assert counts["missing_share"] == 0


def test_own_files_take_the_place_of_the_bundled_table_with_true_and_false_as_targets(tmp_path):
    rows = [
        client(0, age=None, **{TARGET: "True"}),
        client(1, **{TARGET: "False"}),
        client(2, sex="?", **{TARGET: "1"}),
    ]

    table, rejected, counts = curate([write_csv(tmp_path / "own.csv", rows)], [])

    assert table.select([CLIENT_ID, TARGET]).to_pylist() == [{CLIENT_ID: "1", TARGET: 1}, {CLIENT_ID: "2", TARGET: 0}]
    assert rejected.table()["reasons"].to_pylist() == ["sex: unknown category"]
    assert counts["origins"] == {"bundled": 0, "own": 2, "labelled_arrivals": 0}
    assert (counts["rejected"], counts["by_reason"]) == (1, {"sex: unknown category": 1})
    assert counts["missing_share"] == pytest.approx(1 / (2 * 23))


def test_arrivals_join_once_their_outcome_is_known_and_not_before(own):
    labelled = [(DAY, arrived(10, 11, 12), known(c11=1, c13=0)), (NEXT_DAY, arrived(20), known())]

    table, _, counts = curate(own, labelled)

    added = table.slice(3).select([CLIENT_ID, AS_OF, TARGET]).to_pylist()
    assert added == [
        {CLIENT_ID: "11", AS_OF: DAY, TARGET: 1},
        {CLIENT_ID: "13", AS_OF: DAY, TARGET: 0},
    ]
    assert counts["origins"]["labelled_arrivals"] == 2
    assert (counts["labelled_days"], counts["outcomes_without_row"]) == (2, 0)


def test_an_outcome_counts_for_its_own_day_only(own):
    labelled = [(DAY, arrived(10), known(c11=1)), (NEXT_DAY, arrived(10), known(c11=0, c99=1))]

    table, _, counts = curate(own, labelled)

    assert table.slice(3).select([CLIENT_ID, AS_OF, TARGET]).to_pylist() == [
        {CLIENT_ID: "11", AS_OF: DAY, TARGET: 1},
        {CLIENT_ID: "11", AS_OF: NEXT_DAY, TARGET: 0},
    ]
    assert counts["outcomes_without_row"] == 1


def test_a_row_keeps_its_own_values_and_tells_where_they_came_from(own):
    table, _, _ = curate(own, [(DAY, arrived(12, 10), known(c11=0, c13=1))])

    (expected,) = arrived(12).to_pylist()
    (row,) = [row for row in table.to_pylist() if row[CLIENT_ID] == "13"]
    assert row == {**expected, AS_OF: DAY, TARGET: 1}


def test_the_same_rows_in_another_order_are_the_same_data_version(own):
    days = [(DAY, arrived(10, 11, 12), known(c11=1, c12=1, c13=0)), (NEXT_DAY, arrived(20, 21), known(c21=0, c22=1))]
    expected, _, _ = curate(own, days)
    shuffled = [(day, rows.take(pa.array(range(rows.num_rows))[::-1]), outcomes) for day, rows, outcomes in days]
    random.Random(2).shuffle(shuffled)

    table, _, _ = curate(own, shuffled[::-1])

    assert tables.content_hash(table) == tables.content_hash(expected)


def test_a_client_is_there_once_a_day(own):
    table, _, _ = curate(own, [(DAY, arrived(0, 10), known(c1=1, c11=0))])

    keys = [(row[CLIENT_ID], row[AS_OF]) for row in table.to_pylist()]
    assert ("1", None) in keys
    assert ("1", DAY) in keys
    assert len(set(keys)) == len(keys)


def test_an_own_file_without_a_target_is_refused(tmp_path):
    with pytest.raises(ContractError, match=f"own.csv: missing column {TARGET}"):
        curate([write_csv(tmp_path / "own.csv", clients(2))], [])
