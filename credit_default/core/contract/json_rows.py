"""Clients as a request tells them in JSON, held to the contract of files.

JSON has types, so a number has to be one and a category has to be text. What a value may be is the contract's business
(`credit_default.core.contract.columns`). Here a row is not taken out: whoever asked is there to be told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from credit_default.core import tables
from credit_default.core.contract import client_ids
from credit_default.core.contract.columns import typed
from credit_default.core.contract.contract import NO_FEATURE, all_missing
from credit_default.core.contract.rules import Broken
from credit_default.core.schema import CLIENT_ID, FEATURES, ID_COLUMNS, Feature

Row = Mapping[str, Any]
#: A client's id travels in one message with the rest of its row, and that has an end.
LONGEST_CLIENT_ID = 1_000
#: As in `tables.schema`, but that a client may have no id.
SCHEMA = pa.schema([pa.field(CLIENT_ID, pa.string()), *list(tables.schema())[1:]])
_REQUEST = "request"


class RowProblem(NamedTuple):
    """Why a row, counted from 1, cannot be taken; never holds a value."""

    row: int
    reason: str


def client_id_of(row: Row) -> Any:
    """Return a client's id as it was given, or None."""
    return next((row[name] for name in ID_COLUMNS if name in row), None)


def check_rows(rows: Sequence[Row]) -> tuple[pa.Table, list[RowProblem]]:
    """Give rows their types (`SCHEMA`), and say what is wrong with them, by row; nulls stand for what is wrong."""
    broken: Broken = []
    columns = [_ids(rows, broken), *(_feature(rows, feature, broken) for feature in FEATURES)]
    table = pa.table(columns, schema=SCHEMA)
    broken.append((NO_FEATURE, all_missing(table, broken)))
    problems = [RowProblem(int(place) + 1, reason) for reason, mask in broken for place in np.flatnonzero(mask)]
    return table, sorted(problems, key=lambda problem: problem.row)


def _ids(rows: Sequence[Row], broken: Broken) -> pa.Array:
    given = [client_id_of(row) for row in rows]
    texts = [_as_text(value) for value in given]
    wrong = [value is not None and text is None for value, text in zip(given, texts, strict=True)]
    broken.append((f"{CLIENT_ID}: not text or a whole number", np.array(wrong, bool)))
    long = [text is not None and len(text) > LONGEST_CLIENT_ID for text in texts]
    broken.append((f"{CLIENT_ID}: longer than {LONGEST_CLIENT_ID} characters", np.array(long, bool)))
    ids, rules = client_ids.normalise(_REQUEST, CLIENT_ID, pa.array(texts, pa.string()))
    broken += rules
    return ids


def _feature(rows: Sequence[Row], feature: Feature, broken: Broken) -> pa.Array:
    values = [row.get(feature.name) for row in rows]
    absent = [feature.name not in row for row in rows]
    broken.append((f"{feature.name}: is absent (null is a missing value)", np.array(absent, bool)))
    given: list[Any]
    if feature.kind == "category":
        given, kind, rule = [value if _is_text(value) else None for value in values], pa.string(), "not text"
    else:
        given, kind, rule = [_number(value) for value in values], pa.float64(), "not a number"
    wrong = [value is not None and fit is None for value, fit in zip(values, given, strict=True)]
    broken.append((f"{feature.name}: {rule}", np.array(wrong, bool)))
    column, rules = typed(_REQUEST, feature.name, pa.array(given, kind))
    broken += rules
    return column


def _as_text(value: Any) -> str | None:
    """Return text and whole numbers as text, and None for anything else; ``1001.0`` is a whole number."""
    whole = _is_whole(value) or (isinstance(value, float) and value.is_integer())
    return str(value) if whole or _is_text(value) else None


def _is_text(value: Any) -> bool:
    """Whether a value is text; half of a surrogate pair, which JSON can spell, is none."""
    return isinstance(value, str) and (value.isascii() or value.encode(errors="ignore").decode() == value)


def _is_whole(value: Any) -> bool:
    """Whether a value is a whole JSON number; true and false are none, though Python says so."""
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    """Return a JSON number, or None for anything else."""
    if not (isinstance(value, float) or _is_whole(value)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
