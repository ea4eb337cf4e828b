"""Parquet files: types as they are stored, text in one layout, within the memory that files may take.

The size is known before anything is read, from the metadata: what the pages take without compression, and what so many
values of each type take, since a value that is repeated a billion times is a few bytes. Text is read as it is coded,
each different text once, and written out only when it is known how long it gets. Metadata may lie: meanwhile, the
process cannot take more memory than files may.

Arrow's own messages quote cells, so none of them is passed on.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from credit_default.core.limits import MAX_MEMORY_SHARE_VARIABLE, Limits
from credit_default.core.memory import at_most
from credit_default.core.raw_file import RawFile, refuse_columns, refuse_repeated, refuse_row, refuse_size
from credit_default.errors import ContractError, UnreadableFile

_UNSOUND = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)
#: Bytes of a value, by how it is stored; a text takes its place in the table of texts.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
#: A footer ends with its length and the magic number.
_END = 8
#: What the metadata takes once it is read, against what it takes in the file (300,000 columns: 15 times).
_METADATA_FACTOR = 16
#: Positions in a text column of Arrow have 31 bits.
_MAX_TEXT = 2**31 - 1


def read_parquet(name: str, data: bytes, left: int, limits: Limits) -> RawFile:
    """Read a Parquet file.

    Parameters
    ----------
    left
        Bytes that it may take once it is read.

    Raises
    ------
    UnreadableFile
        It is no sound Parquet file, or takes too much memory.
    ContractError
        It has too many columns, two of one name, or a name that is not UTF-8.
    """
    if not data:
        raise UnreadableFile(f"{name}: is empty (0 bytes); expected a Parquet file")
    footer = int.from_bytes(data[-_END : -_END // 2], "little")
    if footer <= len(data):
        refuse_size(name, len(data) + _METADATA_FACTOR * footer, left, limits)
    try:
        with at_most(limits.max_bytes):
            table = _read(name, data, left, limits)
            table.validate(full=True)  # finds text that is not UTF-8, which Arrow's functions choke on
            return RawFile(name, table, np.arange(1, table.num_rows + 1), None)
    except MemoryError:
        raise UnreadableFile(
            f"{name}: takes more memory than the {limits.max_bytes >> 20:,} MB that files may take, although its "
            f"metadata says less; write the file again, or raise {MAX_MEMORY_SHARE_VARIABLE}"
        ) from None
    except UnicodeDecodeError:
        # Values are not decoded, and Arrow does not tell which name it is.
        raise ContractError(f"{name}: the name of a column is not UTF-8; write the file with other names") from None
    except _UNSOUND:
        raise UnreadableFile(
            f"{name}: is no sound Parquet file; it may have been cut short or damaged: copy it here again"
        ) from None


def _read(name: str, data: bytes, left: int, limits: Limits) -> pa.Table:
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        metadata = file.metadata
        refuse_columns(name, metadata.num_columns, limits)
        refuse_size(name, len(data) + _decoded(metadata), left, limits)
        names, kinds = file.schema_arrow.names, file.schema_arrow.types
    refuse_repeated(name, names)
    texts = [column for column, kind in zip(names, kinds, strict=True) if _is_bytes(kind)]
    # No threads, whose stacks would count as memory of the process; two cores were no faster.
    with pq.ParquetFile(pa.BufferReader(data), metadata=metadata, read_dictionary=texts, pre_buffer=False) as file:
        table = file.read(use_threads=False)
    lengths = {column: _lengths(table[column]) for column in texts}
    size = sum(pc.sum(each).as_py() or 0 for each in lengths.values())
    refuse_size(name, len(data) + table.nbytes + size, left, limits)
    _refuse_large_rows(name, list(lengths.values()), limits)
    columns = [_as_text(name, table[column]) if column in lengths else table[column] for column in names]
    return pa.table(columns, names=names)


def _decoded(metadata: pq.FileMetaData) -> int:
    """Estimate what the columns take in memory, by what the pages hold and by how many values there are."""
    schema = metadata.schema
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # Metadata may hold any number.
    size = sum(max(group.total_byte_size, 0) for group in groups)
    for place in range(metadata.num_columns):
        column = schema.column(place)
        width = _WIDTHS.get(column.physical_type) or column.length
        nested = column.max_repetition_level > 0
        values = sum(group.column(place).num_values for group in groups) if nested else metadata.num_rows
        size += width * max(values, 0)
    return int(size)


def _is_bytes(kind: pa.DataType) -> bool:
    """Whether a column holds text or bytes of any length, in whichever of Arrow's layouts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    layouts = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view())
    return kind in layouts


def _lengths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Length of each value, in bytes, without writing the values out."""
    chunks = [pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in column.chunks]
    return pa.chunked_array([chunk.cast(pa.int64()) for chunk in chunks], pa.int64())


def _refuse_large_rows(name: str, lengths: list[pa.ChunkedArray], limits: Limits) -> None:
    if sum(pc.max(each).as_py() or 0 for each in lengths) <= limits.max_row_bytes:
        return
    row = sum(pc.fill_null(each, 0).to_numpy() for each in lengths)
    if row.max() > limits.max_row_bytes:
        refuse_row(f"{name}, row {int(row.argmax()) + 1}", limits)


def _as_text(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give text as plain text, whichever layout it came in, and bytes that are UTF-8 too; other bytes stay bytes."""
    if (pc.sum(_lengths(column)).as_py() or 0) > _MAX_TEXT:
        raise UnreadableFile(f"{name}: a column holds more than 2 GB of text; send fewer rows a day")
    is_text = not pa.types.is_binary(column.type.value_type)
    for kind in (pa.string(), pa.binary()):
        try:
            chunks = [
                pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(kind)).dictionary_decode()
                for chunk in column.chunks
            ]
        except pa.ArrowInvalid:
            if is_text:
                raise
            continue
        return pa.chunked_array(chunks, kind)
    raise AssertionError
