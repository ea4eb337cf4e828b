"""Counts the bytes of the values of each row, nested ones included, to find the row that is too large."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from credit_default.core.files.plain_columns import is_binary, is_text

Sizes = NDArray[np.int64]
_BITS_OF_BYTE = 8


def row_sizes(columns: Iterable[pa.ChunkedArray], rows: int) -> Sizes:
    """Count the bytes of the values of each row."""
    sizes = np.zeros(rows, np.int64)
    for column in columns:
        start = 0
        for chunk in column.chunks:
            sizes[start : start + len(chunk)] += _sizes(chunk)
            start += len(chunk)
    return sizes


def _sizes(column: pa.Array) -> Sizes:
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    kind = column.type
    if pa.types.is_dictionary(kind):
        sizes = pa.array(_sizes(column.dictionary)).take(column.indices)
        return _whole(sizes)
    if pa.types.is_map(kind):
        column = column.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
    elif pa.types.is_struct(kind):
        total = np.zeros(len(column), np.int64)
        for child in column.flatten():
            total += _sizes(child)
        return total
    if pa.types.is_nested(kind):
        counts = _whole(pc.list_value_length(column))
        sums: Sizes = np.concatenate([np.zeros(1, np.int64), np.cumsum(_sizes(column.flatten()))])
        ends: Sizes = np.cumsum(counts)
        inside: Sizes = sums[ends] - sums[ends - counts]
        return inside
    return _flat_sizes(column, kind)


def _flat_sizes(column: pa.Array, kind: pa.DataType) -> Sizes:
    if pa.types.is_null(kind):
        return np.zeros(len(column), np.int64)
    if (is_text(kind) or is_binary(kind)) and not pa.types.is_fixed_size_binary(kind):
        if kind in (pa.string_view(), pa.binary_view()):
            column = column.cast(pa.large_string() if is_text(kind) else pa.large_binary())
        return _whole(pc.binary_length(column))
    return np.full(len(column), -(-kind.bit_width // _BITS_OF_BYTE), np.int64)


def _whole(numbers: pa.Array) -> Sizes:
    """Give numbers with 0 for null."""
    return np.asarray(pc.fill_null(numbers, 0), np.int64)
