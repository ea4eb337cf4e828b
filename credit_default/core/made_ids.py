"""Ids of rows that came without one: made of the day, the file and the row, so that no two rows share one.

``2026-01-31/clients.csv:7`` is row 7 of that day's ``clients.csv``. Days that were scored before ids held the day have
``clients.csv:7``, until they are scored again. Within a day the two are the same client, and training data knows the
longer one only.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from credit_default.core.schema import AS_OF, CLIENT_ID, SOURCE_FILE, SOURCE_ROW


def make(file: str, rows: NDArray[np.int64], day: str | None) -> pa.Array:
    """Make ids for rows of a file; a file of no day (training data of one's own) leaves it out."""
    place = file if day is None else f"{day}/{file}"
    return pa.array([f"{place}:{row}" for row in rows], pa.string())


def without_day(ids: pa.ChunkedArray, day: str) -> pa.ChunkedArray:
    """Write made ids of a day without it, which tells them from each other within that day."""
    return pc.replace_substring_regex(ids, rf"^{re.escape(day)}/(.+:\d+)$", r"\1")


def with_day(table: pa.Table) -> pa.ChunkedArray:
    """Return the ids of a table, with the day in those that were made without it.

    They are known by the columns that say where a row came from; rows of no day keep their ids.
    """
    ids = table[CLIENT_ID]
    if not {AS_OF, SOURCE_FILE, SOURCE_ROW} <= set(table.column_names):
        return ids
    made = pc.binary_join_element_wise(table[SOURCE_FILE], table[SOURCE_ROW].cast(pa.string()), ":")
    old = pc.fill_null(pc.and_(pc.equal(ids, made), pc.is_valid(table[AS_OF])), False)
    if not pc.any(old).as_py():
        return ids
    return pc.if_else(old, pc.binary_join_element_wise(table[AS_OF].cast(pa.string()), ids, "/"), ids)
