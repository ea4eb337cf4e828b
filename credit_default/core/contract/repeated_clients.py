"""Clients that occur more than once in what landed together: taken once when their rows are equal, else not at all."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from credit_default.core.contract.rules import Broken, Mask
from credit_default.core.schema import BY_NAME, CLIENT_ID, TARGET

DUPLICATE = f"{CLIENT_ID}: duplicate of an earlier row"
CONTRADICTION = f"{CLIENT_ID}: occurs more than once with different values"


def find(table: pa.Table, refused: Mask) -> Broken:
    """Find rows of clients that occur more than once, among those that keep every other rule."""
    valid = np.flatnonzero(~refused)
    clients = table[CLIENT_ID].combine_chunks().dictionary_encode().indices.to_numpy()[valid]
    repeated = np.bincount(clients)[clients] > 1
    if not repeated.any():
        return []
    places, clients = valid[repeated], clients[repeated]
    rows = table.select([name for name in table.column_names if name in BY_NAME or name == TARGET])
    rows = pa.table({name: _codes(rows[name]) for name in rows.column_names}).take(pa.array(places))
    rows = rows.append_column("client", pa.array(clients))
    variants = rows.group_by(rows.column_names).aggregate([])["client"].to_numpy()
    differs = np.bincount(variants)[clients] > 1
    _, first = np.unique(clients, return_index=True)
    later = np.ones(len(places), bool)
    later[first] = False
    broken: Broken = []
    for reason, mask in ((CONTRADICTION, differs), (DUPLICATE, later & ~differs)):
        everywhere = np.zeros(table.num_rows, bool)
        everywhere[places[mask]] = True
        broken.append((reason, everywhere))
    return broken


def _codes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories by their codes, which are the same in every file and cheaper to compare than words."""
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([chunk.indices for chunk in column.chunks], column.type.index_type)
