"""Landed values mean the same in every format and beside every other row, through the step itself."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from credit_default.core import tables
from credit_default.core.schema import CATEGORIES, CLIENT_ID, FEATURE_NAMES, NUMBERS, TARGET
from credit_default.steps import inference_data, outcomes
from credit_default_tests.strategies import client, clients, write_csv, write_parquet

DAY, NEXT_DAY = "2026-01-01", "2026-01-02"


@pytest.fixture
def landing(tmp_path):
    return tmp_path / "landing"


@pytest.fixture
def take_in(landing, tmp_path, capsys):
    """Take in a day; returns its table and its counts."""

    def take_in(day=DAY, step=inference_data):
        step.main(["--landing", str(landing), "--days", day, "--output", str(tmp_path / "out")])
        told = json.loads(capsys.readouterr().out)
        return tables.read(tmp_path / "out" / told["files"]["table"]), told["result"]

    return take_in


def rows_with_fractions():
    """Clients whose amounts are no whole numbers, as they are nearly everywhere."""
    return [
        {name: round(row[name] + 0.1, 1) if name in NUMBERS else row[name] for name in row}
        for row in ({**row, "bill_amount_1": -0.1, "payment_amount_2": 1e-7} for row in clients(4))
    ]


def as_float32(column):
    return column.cast(pa.float32(), safe=False)


def as_decimal(column):
    return pa.array([Decimal(str(value)) for value in column.to_pylist()], pa.decimal128(30, 9))


def as_text(column):
    return pa.array([repr(value) for value in column.to_pylist()], pa.string_view())


def as_bytes(column):
    return pa.array([f" {value!r}".encode() for value in column.to_pylist()])


@pytest.mark.parametrize("how", [as_float32, as_decimal, as_text, as_bytes])
def test_a_day_that_came_as_csv_and_as_parquet_of_any_type_is_one_day(landing, take_in, how):
    rows = rows_with_fractions()
    write_csv(landing / DAY / "a.csv", rows)
    table = pa.Table.from_pylist(rows)
    for place, name in enumerate(table.column_names):
        if name in NUMBERS:
            table = table.set_column(place, name, how(table[name]))
        elif name in CATEGORIES and how is as_bytes:
            table = table.set_column(place, name, table[name].cast(pa.binary()))
    write_parquet(landing / NEXT_DAY / "a.parquet", table)

    (first, _), (second, _) = take_in(DAY), take_in(NEXT_DAY)

    values = [CLIENT_ID, *FEATURE_NAMES]
    assert first.num_rows == 4
    assert tables.content_hash(first.select(values)) == tables.content_hash(second.select(values))
    # Both in one folder are the same clients twice, and no contradiction.
    write_parquet(landing / DAY / "b.parquet", table)
    both, counts = take_in(DAY)
    assert both.select(values).equals(first.select(values))
    assert counts["by_reason"] == {"client_id: duplicate of an earlier row": 4}


def test_zero_and_minus_zero_are_no_contradiction(landing, take_in):
    write_csv(landing / DAY / "a.csv", [client(0, bill_amount_1="0"), client(0, bill_amount_1="-0.0")])

    table, counts = take_in()

    assert counts["by_reason"] == {"client_id: duplicate of an earlier row": 1}
    assert str(table["bill_amount_1"].to_pylist()) == "[0.0]"


@pytest.mark.parametrize(
    ("kind", "bits"), [("float64", 0x7FF0000000000001), ("float32", 0x7F800001), ("float16", 0x7C01)]
)
def test_a_signalling_nan_is_missing_like_any_other(landing, take_in, kind, bits):
    table = pa.Table.from_pylist(clients(2))
    for name in ("age", CLIENT_ID):
        values = np.array([30, 40], kind)
        values.view(f"uint{8 * values.itemsize}")[0] = bits
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    (landing / DAY).mkdir(parents=True)
    pq.write_table(table, landing / DAY / "a.parquet")

    taken, counts = take_in()

    assert taken["age"].to_pylist() == [None, 40]
    assert counts["rows_without_client_id"] == 1


@pytest.mark.parametrize("text", ["+4000", "1e0005", "NAN", "nan(1)", "1_000", "-INF", " 5. "])
def test_whether_a_number_is_taken_does_not_depend_on_the_other_rows(landing, take_in, text):
    others = ["1", "", "NULL", "1.5"]
    for number, other in enumerate(others):
        rows = [client(0, bill_amount_1=text), client(1, bill_amount_1=other)]
        write_csv(landing / f"2026-01-1{number}" / "a.csv", rows)

    found = [take_in(f"2026-01-1{number}") for number in range(len(others))]

    assert (
        len({str(table.filter(pc.equal(table[CLIENT_ID], "1"))["bill_amount_1"].to_pylist()) for table, _ in found})
        == 1
    )
    assert len({str(counts["by_reason"]) for _, counts in found}) == 1


@pytest.mark.parametrize("word", ["NULL", "None", "N/A", "#N/A", r"\N", "<NA>", "NaN", "(null)", "nan", "."])
def test_words_that_exporters_write_are_missing_in_every_kind_of_column(landing, take_in, word):
    write_csv(landing / DAY / "a.csv", [client(0, bill_amount_1=word, education=word), client(1)])
    write_csv(landing / NEXT_DAY / "a.csv", [{CLIENT_ID: "1", TARGET: word}, {CLIENT_ID: word, TARGET: "1"}])

    table, counts = take_in()
    assert (counts["missing"], counts["rejected"]) == ({"education": 1, "bill_amount_1": 1}, 0)
    assert table["education"].to_pylist()[0] is table["bill_amount_1"].to_pylist()[0] is None
    _, counts = take_in(NEXT_DAY, outcomes)
    assert counts["by_reason"] == {"client_id: is missing": 1, f"{TARGET}: is missing": 1}
