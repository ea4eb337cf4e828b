"""Ids of rows that came without one, and ids of days that were taken in before ids were written as they are now.

``2026-01-31/clients.csv:7`` is made for row 7 of that day's ``clients.csv``, so that no two rows share an id. Days that
were taken in before have ``clients.csv:7``, and ids such as ``1001.0``, until they are taken in again. Within a day
the old id and the new one are the same client; training data knows clients by the new one only.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from credit_default.core.contract import client_ids
from credit_default.core.schema import AS_OF, CLIENT_ID, SOURCE_FILE, SOURCE_ROW


def make(file: str, rows: NDArray[np.int64], day: str | None) -> pa.Array:
    """Make ids for rows of a file; a file of no day (training data of one's own) leaves it out."""
    place = file if day is None else f"{day}/{file}"
    return pa.array([f"{place}:{row}" for row in rows], pa.string())


def join_keys(ids: pa.ChunkedArray, day: str) -> pa.ChunkedArray:
    """Return the keys by which rows of one day are joined, whenever each of the tables was made."""
    return pc.replace_substring_regex(client_ids.rewrite(ids), rf"^{re.escape(day)}/(.+:\d+)$", r"\1")


def lasting_ids(table: pa.Table) -> pa.ChunkedArray:
    """Return the ids that tell clients of any day apart, whenever their day was ingested.

    Made ids are known by the columns that say where a row came from; those of rows without a day stay as they are.
    """
    ids = client_ids.rewrite(table[CLIENT_ID])
    if not {AS_OF, SOURCE_FILE, SOURCE_ROW} <= set(table.column_names):
        return ids
    made = pc.binary_join_element_wise(table[SOURCE_FILE], table[SOURCE_ROW].cast(pa.string()), ":")
    old = pc.fill_null(pc.and_(pc.equal(ids, made), pc.is_valid(table[AS_OF])), False)
    if not pc.any(old).as_py():
        return ids
    return pc.if_else(old, pc.binary_join_element_wise(table[AS_OF].cast(pa.string()), ids, "/"), ids)
