"""Parquet files: types as they are stored, text in one layout, within the memory that files may take.

The size is known before anything is read, from the metadata: what the pages take without compression, and what so many
values of each type take, since a value that is repeated a billion times is a few bytes. Text is read as it is coded,
each different text once, and written out only when it is known how long it gets; where Arrow cannot read it so, it is
read as it is. Metadata may lie: meanwhile, the process cannot take more memory than files may.

Arrow's own messages quote cells, so none of them is passed on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from credit_default.core.files.limits import MAX_MEMORY_SHARE_VARIABLE, Limits
from credit_default.core.files.plain_columns import is_text
from credit_default.core.files.raw_file import (
    RawFile,
    name_columns,
    refuse_columns,
    refuse_repeated,
    refuse_row,
    refuse_size,
)
from credit_default.core.files.row_sizes import row_sizes
from credit_default.core.memory import at_most
from credit_default.errors import ContractError, UnreadableFile

_UNSOUND = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)
#: "Not" or "not", by which Arrow tells codings and compressions that it does not know, in errors of several classes.
_NOT_KNOWN = "ot yet implemented"
#: Bytes of a value, by how it is stored; a text takes its place in the table of texts.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
#: A footer ends with its length and the magic number.
_END = 8
_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
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
        raise UnreadableFile(f"{name}: is empty (0 bytes); expected a Parquet file.")
    beginning = data[: len(_MAGIC)]
    if beginning == _ENCRYPTED:
        raise UnreadableFile(f"{name}: is an encrypted Parquet file; write it without encryption.")
    if not _MAGIC.startswith(beginning):
        raise UnreadableFile(
            f"{name}: is no Parquet file by its first bytes; write it as Parquet, or give it its own suffix."
        )
    footer = int.from_bytes(data[-_END : -_END // 2], "little")
    if footer <= len(data):
        refuse_size(name, len(data) + _METADATA_FACTOR * footer, left, limits)
    try:
        with at_most(limits.max_bytes):
            table = _read(name, data, left, limits)
            return RawFile(name, table, np.arange(1, table.num_rows + 1), None)
    except MemoryError:
        raise UnreadableFile(
            f"{name}: takes more memory than the {limits.max_bytes >> 20:,} MB that files may take, although its "
            f"metadata says less; write the file again, or raise {MAX_MEMORY_SHARE_VARIABLE}."
        ) from None
    except UnicodeDecodeError:
        # Values are not decoded, and Arrow does not tell which name it is.
        raise ContractError(f"{name}: the name of a column is not UTF-8; write the file with other names.") from None
    except _UNSOUND as error:
        if isinstance(error, NotImplementedError) or _NOT_KNOWN in str(error):
            raise UnreadableFile(
                f"{name}: is written in a way of Parquet that cannot be read here; write it with other settings, or "
                "as CSV."
            ) from None
        raise UnreadableFile(
            f"{name}: is no sound Parquet file; it may have been cut short or damaged: copy it here again."
        ) from None


def _read(name: str, data: bytes, left: int, limits: Limits) -> pa.Table:
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        metadata = file.metadata
        refuse_columns(name, metadata.num_columns, limits)
        refuse_size(name, len(data) + _decoded(metadata), left, limits)
        schema = file.schema_arrow
    names = [column.strip() for column in schema.names]
    refuse_repeated(name, names)
    table = _read_columns(data, metadata, [column.name for column in schema if _is_bytes(column.type)])
    table.validate(full=True)  # what is damaged, and text that is not UTF-8, which Arrow's functions choke on
    texts = [column for column in table.columns if _is_bytes(column.type)]
    lengths = [_lengths(column) for column in texts]
    coded = sum(column.nbytes for column in texts if pa.types.is_dictionary(column.type))
    size = sum(pc.sum(each).as_py() or 0 for each in lengths)
    refuse_size(name, len(data) + table.nbytes - coded + size, left, limits)
    _refuse_large_rows(name, table, limits)
    columns = [_as_text(name, column) if _is_bytes(column.type) else column for column in table.columns]
    return pa.table(columns, names=name_columns(names))


def _read_columns(data: bytes, metadata: pq.FileMetaData, texts: Sequence[str]) -> pa.Table:
    """Read a file with the texts as they are coded, if Arrow can read their coding so (DELTA_BYTE_ARRAY it cannot)."""
    try:
        return _read_with(data, metadata, texts)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError):
        return _read_with(data, metadata, ())  # what is damaged is found again


def _read_with(data: bytes, metadata: pq.FileMetaData, texts: Sequence[str]) -> pa.Table:
    # A name is a path to Arrow: `a.b` is the field of a struct too. So types are asked of what was read.
    # No threads, whose stacks would count as memory of the process; two cores were no faster.
    with pq.ParquetFile(pa.BufferReader(data), metadata=metadata, read_dictionary=texts, pre_buffer=False) as file:
        return file.read(use_threads=False)


def _decoded(metadata: pq.FileMetaData) -> int:
    """Estimate what the columns take in memory, by what the pages hold and by how many values there are."""
    # Metadata may hold any number; that of single columns ends the process where it is damaged, so it is not asked for.
    size = sum(max(metadata.row_group(number).total_byte_size, 0) for number in range(metadata.num_row_groups))
    for place in range(metadata.num_columns):
        column = metadata.schema.column(place)
        size += (_WIDTHS.get(column.physical_type) or column.length) * max(metadata.num_rows, 0)
    return int(size)


def _is_bytes(kind: pa.DataType) -> bool:
    """Whether a column holds text or bytes of any length, in whichever of Arrow's layouts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    layouts = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view())
    return kind in layouts


def _lengths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Length of each value, in bytes, without writing the values out."""
    if not pa.types.is_dictionary(column.type):
        return pc.binary_length(_without_view(column)).cast(pa.int64())
    chunks = [pc.binary_length(_without_view(chunk.dictionary)).take(chunk.indices) for chunk in column.chunks]
    return pa.chunked_array([chunk.cast(pa.int64()) for chunk in chunks], pa.int64())


def _without_view(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Give text in a layout that Arrow's functions know."""
    layouts = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return values.cast(layouts.get(values.type, values.type))


def _refuse_large_rows(name: str, table: pa.Table, limits: Limits) -> None:
    sizes = row_sizes(table.columns, table.num_rows)
    if len(sizes) and sizes.max() > limits.max_row_bytes:
        refuse_row(f"{name}, row {int(sizes.argmax()) + 1}", limits)


def _as_text(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give text as plain text, whichever layout it came in, and bytes that are UTF-8 too; other bytes stay bytes."""
    if (pc.sum(_lengths(column)).as_py() or 0) > _MAX_TEXT:
        raise UnreadableFile(f"{name}: a column holds more than 2 GB of text; send fewer rows a day.")
    coded = pa.types.is_dictionary(column.type)
    kind = column.type.value_type if coded else column.type
    for target in (pa.string(), pa.binary()):
        try:
            if not coded:
                return column.cast(target)
            chunks = [
                pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary.cast(target)).dictionary_decode()
                for chunk in column.chunks
            ]
            return pa.chunked_array(chunks, target)
        except pa.ArrowInvalid:
            if is_text(kind):
                raise
    raise AssertionError
