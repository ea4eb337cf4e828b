"""Our tables: their Arrow types, their hash, and how they are kept as Parquet."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from credit_default.core.defects import concerning
from credit_default.core.plurals import verb
from credit_default.core.schema import (
    AS_OF,
    BY_NAME,
    CATEGORIES,
    CLIENT_ID,
    FEATURES,
    SOURCE_FILE,
    SOURCE_ROW,
    TARGET,
)
from credit_default.core.system_errors import explained
from credit_default.errors import ContractError, NotThere, UnreadableFile

CATEGORY_TYPE = pa.dictionary(pa.int8(), pa.string())
DATA_VERSION_KEY = b"credit_default.data_version"


def schema(*, target: bool = False, as_of: bool = False, source: bool = False) -> pa.Schema:
    """Arrow schema of a table of clients: ``client_id`` and the 23 features, and what else is asked for.

    Order: ``client_id``, ``as_of`` (date32), features, target (int8: 0 or 1), ``source_file``, ``source_row``
    (1-based data row of that file).
    """
    fields = [pa.field(CLIENT_ID, pa.string(), nullable=False)]
    if as_of:
        fields.append(pa.field(AS_OF, pa.date32()))
    fields += [
        pa.field(feature.name, CATEGORY_TYPE if feature.kind == "category" else pa.float64()) for feature in FEATURES
    ]
    if target:
        fields.append(pa.field(TARGET, pa.int8()))
    if source:
        fields += [pa.field(SOURCE_FILE, pa.string()), pa.field(SOURCE_ROW, pa.int64())]
    return pa.schema(fields)


def outcomes_schema() -> pa.Schema:
    """Arrow schema of a day's outcomes: ``client_id``, the target, and the row of the file it came from."""
    return pa.schema(
        [
            pa.field(CLIENT_ID, pa.string(), nullable=False),
            pa.field(TARGET, pa.int8(), nullable=False),
            pa.field(SOURCE_FILE, pa.string()),
            pa.field(SOURCE_ROW, pa.int64()),
        ]
    )


def categorical(values: pa.Array | pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Give a category column its one dictionary: the schema's categories, in the schema's order.

    The indices are then the ordinal codes that models see, the same in every file. A value that the schema
    does not know becomes null; the contract rejects such rows before they get here.
    """
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    categories = pa.array(BY_NAME[name].categories, pa.string())
    chunks = []
    for chunk in column.chunks:
        if isinstance(chunk, pa.DictionaryArray):
            recoded = pc.index_in(chunk.dictionary.cast(pa.string()), value_set=categories)
            codes = recoded.take(chunk.indices)
        else:
            codes = pc.index_in(chunk.cast(pa.string()), value_set=categories)
        chunks.append(pa.DictionaryArray.from_arrays(codes.cast(pa.int8()), categories))
    return pa.chunked_array(chunks, type=CATEGORY_TYPE)


def read(path: str | Path) -> pa.Table:
    """Read one of our own Parquet files, category columns with the schema's dictionaries.

    Raises
    ------
    NotThere
        There is no such file.
    UnreadableFile
        The file is not Parquet, or not all of it.
    """
    if not Path(path).is_file():
        raise NotThere(f"{path} is not there; expected a Parquet file that an earlier step made")
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{path}: expected a complete Parquet file; make it again") from error
    return with_categories(table)


def with_categories(table: pa.Table) -> pa.Table:
    """Give the category columns that a table has the schema's dictionaries."""
    for name in CATEGORIES:
        position = table.schema.get_field_index(name)
        if position >= 0:
            with concerning(name):
                table = table.set_column(position, pa.field(name, CATEGORY_TYPE), categorical(table[name], name))
    return table


def refuse_older(path: str | Path, columns: Sequence[str], needed: Iterable[str]) -> None:
    """Refuse a day's table that was made before the schema had one of the columns that are needed now.

    Raises
    ------
    ContractError
        Naming the columns.
    """
    missing = [name for name in needed if name not in columns]
    if missing:
        raise ContractError(
            f"{path} lacks the {verb(len(missing), 'column', 'columns')} {', '.join(missing)}: this day was ingested "
            f"before {verb(len(missing), 'it', 'they')} existed; materialise inference_data of the day again."
        )


def write(table: pa.Table, path: str | Path, *, data_version: str | None = None) -> None:
    """Write a table as Parquet (zstd), complete or not at all; ``data_version`` goes into its metadata."""
    target = Path(path)
    with explained(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    if data_version is not None:
        metadata = {**(table.schema.metadata or {}), DATA_VERSION_KEY: data_version.encode()}
        table = table.replace_schema_metadata(metadata)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.unfinished")
    try:
        with explained(target):
            pq.write_table(table, unfinished, compression="zstd")
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def data_version_of(path: str | Path) -> str:
    """Read the data version that `write` kept in a file's metadata, without reading its rows.

    Raises
    ------
    NotThere
        There is no such file.
    UnreadableFile
        The file is not Parquet.
    ContractError
        The file was written without a data version.
    """
    if not Path(path).is_file():
        raise NotThere(f"{path} is not there; expected a Parquet file that an earlier step made")
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{path}: expected a complete Parquet file; make it again") from error
    if DATA_VERSION_KEY not in metadata:
        raise ContractError(f"{path} holds no data version; expected a table that one of our steps wrote")
    return str(metadata[DATA_VERSION_KEY].decode(errors="replace"))


def content_hash(table: pa.Table) -> str:
    """Hash names, types, rows and their order: 32 hex digits.

    Chunks, dictionary coding, the width of string offsets and schema metadata make no difference; -0.0 counts
    as 0.0, and every NaN as the same NaN.
    """
    digest = hashlib.sha256(f"{table.num_rows}".encode())
    for name in table.column_names:
        column = _plain(table[name])
        digest.update(f"\n{name}:{column.type}\n".encode())
        digest.update(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).data)
        for part in _buffers(column):
            digest.update(part.data)
    return digest.hexdigest()[:32]


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """One array without dictionary coding."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _buffers(array: pa.Array) -> list[NDArray[Any]]:
    """Values as contiguous numpy arrays, nulls as zeros or empty strings."""
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        filled = pc.fill_null(array, "" if pa.types.is_string(array.type) else b"").cast(pa.large_binary())
        lengths = np.ascontiguousarray(pc.binary_length(filled).to_numpy(zero_copy_only=False))
        _, offsets, data = filled.buffers()
        bounds = np.frombuffer(offsets, np.int64)[filled.offset : filled.offset + len(filled) + 1]
        content = np.frombuffer(data or b"", np.uint8)
        return [lengths, content[bounds[0] : bounds[-1]]] if len(filled) else []
    if pa.types.is_floating(array.type):
        values = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False)
        return [np.where(np.isnan(values), np.nan, values) + 0.0]
    if pa.types.is_temporal(array.type):
        return _buffers(array.cast(pa.int32() if pa.types.is_date32(array.type) else pa.int64()))
    if pa.types.is_boolean(array.type) or pa.types.is_integer(array.type):
        filled = pc.fill_null(array, pa.scalar(0).cast(array.type))
        return [np.ascontiguousarray(filled.to_numpy(zero_copy_only=False))]
    return _buffers(array.cast(pa.string()))
