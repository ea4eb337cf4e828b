"""Clients and files that tests make: small builders for a named case, hypothesis strategies for any case."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from credit_default.core import tables
from credit_default.core.data.sample import bundled_clients
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES, FEATURES, TARGET, Feature


def client(number: int = 0, /, *, target: bool = False, **changes: Any) -> dict[str, Any]:
    """Make a client as a file would tell it: a real row of the bundled table, with ``changes``."""
    row = bundled_clients().slice(number, 1).to_pylist()[0]
    names = [CLIENT_ID, *FEATURE_NAMES, *([TARGET] if target else [])]
    return {**{name: row[name] for name in names}, **changes}


def clients(count: int, *, target: bool = False, start: int = 0) -> list[dict[str, Any]]:
    """Make several different clients."""
    return [client(number, target=target) for number in range(start, start + count)]


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    """Spell rows as CSV; None is an empty field. Columns are those of the first row unless given."""
    names = list(columns or rows[0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if row.get(name) is None else row[name] for name in names] for row in rows)
    return text.getvalue()


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> Path:
    """Write rows as a CSV file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(rows, columns), encoding="utf-8")
    return path


def write_parquet(path: Path, table: pa.Table | Sequence[Mapping[str, Any]]) -> Path:
    """Write a table or rows as a Parquet file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pylist(list(table)), path)
    return path


def typed(rows: Sequence[Mapping[str, Any]], **which: bool) -> pa.Table:
    """Make a table with the types of `tables.schema` from rows."""
    schema = tables.schema(**which)
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_dictionary(field.type):
            columns.append(tables.categorical(pa.array(values, pa.string()), field.name))
        else:
            columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=schema)


def values_of(feature: Feature) -> st.SearchStrategy[Any]:
    """Draw any value that the contract accepts for a feature, a missing one among them."""
    if feature.kind == "category":
        return st.none() | st.sampled_from(feature.categories)
    low = -1e9 if feature.minimum is None else feature.minimum
    high = 1e9 if feature.maximum is None else feature.maximum
    return st.none() | st.floats(low, high, allow_nan=False) | st.integers(int(low), int(high))


@st.composite
def client_rows(draw: st.DrawFn, *, max_size: int = 8, target: bool = False) -> list[dict[str, Any]]:
    """Draw rows of different clients that keep the contract; at least one feature of each has a value."""
    ids = draw(st.lists(st.integers(1, 10**9).map(str), min_size=1, max_size=max_size, unique=True))
    rows = []
    for client_id in ids:
        row = {feature.name: draw(values_of(feature)) for feature in FEATURES}
        row["age"] = draw(st.integers(18, 120)) if all(value is None for value in row.values()) else row["age"]
        if target:
            row[TARGET] = draw(st.integers(0, 1))
        rows.append({CLIENT_ID: client_id, **row})
    return rows


def texts_like_numbers() -> st.SearchStrategy[str]:
    """Draw text that is a number, nearly one, a word for nothing, or anything."""
    digits = st.text("0123456789", max_size=4)
    parts = [
        st.sampled_from(["", "", "+", "-", " ", "--", "+-"]),
        digits,
        st.sampled_from(["", ".", ".", ",", "_", ".."]),
        digits,
        st.sampled_from(["", "", "e", "E", "d", "e+", "E-", "e+-", "x"]),
        digits,
        st.sampled_from(["", "", " ", "\t", "\u00a0", "-", "f", "%"]),
    ]
    words = ["nan", "NAN", "-nan", "nan(1)", "inf", "-INF", "+Infinity", "NULL", "None", "N/A", "#N/A", r"\N", "<NA>"]
    words += ["na", "NaN", "null", ".", "1e999", "1e-999", "0x1F", "0b1", "1e0005", "\uff11", "\u0661", "1\n", "1\x00"]
    return st.tuples(*parts).map("".join) | st.sampled_from(words) | st.text(max_size=6)
