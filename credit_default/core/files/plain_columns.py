"""Columns of Parquet files, which have many types for the same values, in the few types that the contract knows."""

from __future__ import annotations

import pyarrow as pa

#: Stands where bytes were no UTF-8 (https://www.unicode.org/glossary/#replacement_character).
LOST_CHARACTER = "\ufffd"


def unwrapped(column: pa.Array) -> pa.Array:
    """Return a column without dictionary or extension type."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.storage if isinstance(column.type, pa.BaseExtensionType) else column


def plain(column: pa.Array) -> pa.Array:
    """Return a column `unwrapped`, and text of any type as `string`; nulls throughout are text too.

    Bytes are text, as Spark, Hive and Impala write it; where they are no UTF-8 they hold `LOST_CHARACTER`.
    """
    column = unwrapped(column)
    if pa.types.is_string(column.type):
        return column
    if is_text(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.string())
    if is_binary(column.type):
        return _decoded(column)
    return column


def is_text(got: pa.DataType) -> bool:
    """Tell whether a type holds text, however it is laid out."""
    return bool(pa.types.is_string(got) or pa.types.is_large_string(got) or pa.types.is_string_view(got))


def is_binary(got: pa.DataType) -> bool:
    """Tell whether a type holds bytes, however they are laid out."""
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(kind(got) for kind in kinds)


def _decoded(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        values = [None if value is None else value.decode(errors="replace") for value in column.to_pylist()]
        return pa.array(values, pa.string())
