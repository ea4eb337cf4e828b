"""Rows that were not taken, kept as they came: what quarantine holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from credit_default.core.plain_columns import is_text
from credit_default.core.raw_file import RawFile
from credit_default.core.schema import SOURCE_FILE, SOURCE_ROW

REJECTED_SCHEMA = pa.schema(
    [
        (SOURCE_FILE, pa.string()),
        (SOURCE_ROW, pa.int64()),
        ("line", pa.int64()),
        ("reasons", pa.string()),
        ("row", pa.string()),
    ]
)
Rows = NDArray[np.int64]
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'


def rejected_rows(raw: RawFile, reasons: pa.Array) -> pa.Table:
    """Give the rows of a file that have reasons, and its malformed ones, in their order (`REJECTED_SCHEMA`)."""
    places = np.flatnonzero(reasons.is_valid().to_numpy(zero_copy_only=False))
    lines = None if raw.lines is None else raw.lines[places]
    texts = _as_json(raw.table.take(pa.array(places)))
    judged = _part(raw.name, raw.rows[places], lines, reasons.take(pa.array(places)), texts)
    bad = raw.malformed
    if not bad:
        return judged
    texts = pa.array([json.dumps({"text": row.text}, ensure_ascii=False) for row in bad], pa.string())
    rules = pa.array([row.rule for row in bad], pa.string())
    malformed = _part(raw.name, [row.row for row in bad], [row.line for row in bad], rules, texts)
    return pa.concat_tables([judged, malformed]).sort_by(SOURCE_ROW)


def _part(
    name: str, rows: Sequence[int] | Rows, lines: Sequence[int] | Rows | None, reasons: pa.Array, texts: pa.Array
) -> pa.Table:
    file = pa.repeat(pa.scalar(name), len(reasons))
    known = pa.nulls(len(reasons), pa.int64()) if lines is None else pa.array(lines, pa.int64())
    return pa.table([file, pa.array(rows, pa.int64()), known, reasons, texts], schema=REJECTED_SCHEMA)


def _as_json(rows: pa.Table) -> pa.Array:
    """Each row as a JSON object, column by column: a million rows may be rejected at once."""
    if rows.num_rows == 0:
        return pa.array([], pa.string())
    members = [
        pc.binary_join_element_wise(json.dumps(name, ensure_ascii=False), _json_values(rows[name]), ": ")
        for name in rows.column_names
    ]
    text = pc.binary_join_element_wise("{", pc.binary_join_element_wise(*members, ", "), "}", "")
    return pa.concat_arrays(text.chunks)


def _json_values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type) and not pc.any(pc.match_substring_regex(column, _NEEDS_ESCAPE)).as_py():
        quoted = pc.binary_join_element_wise('"', column.cast(pa.string()), '"', "")
        return pc.fill_null(quoted, "null")
    if pa.types.is_integer(column.type):
        return pc.fill_null(column.cast(pa.string()), "null")
    if pa.types.is_floating(column.type):
        numbers = column.cast(pa.float64())
        text = numbers.cast(pa.string())
        # JSON knows no NaN and no infinity.
        quoted = pc.binary_join_element_wise('"', text, '"', "")
        return pc.fill_null(pc.if_else(pc.is_finite(numbers), text, quoted), "null")
    texts = [json.dumps(_plain(value), ensure_ascii=False, default=str) for value in column]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _plain(value: pa.Scalar[Any]) -> Any:
    """Return a value as Python has it; Parquet's dates and times reach further, and are kept as their numbers then."""
    try:
        return value.as_py()
    except (OverflowError, ValueError, pa.ArrowException):
        return getattr(value, "value", f"a {value.type} out of range")
