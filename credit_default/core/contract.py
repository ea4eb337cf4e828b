"""The contract of files from outside: which rows are taken, which are not, and why.

A *file* that is no table of ours (a column is missing, or of a type that cannot hold it) is a `ContractError`.
A *row* that breaks a rule is rejected with every rule it breaks and kept as it came; the others go on. Nothing
is guessed: categories are spelled as in the schema, and of clients that occur twice with different values no
row is taken. What does not change a value is forgiven: order of columns, columns of no use to us, white space
round a value, ``1000`` for ``1000.0``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from credit_default.core import tables
from credit_default.core.columns import Broken, Mask, client_ids, typed
from credit_default.core.files import RawFile, read_file
from credit_default.core.rejected import REJECTED_SCHEMA, rejected_rows
from credit_default.core.schema import (
    BY_NAME,
    CLIENT_ID,
    FEATURE_NAMES,
    ID_COLUMNS,
    SOURCE_FILE,
    SOURCE_ROW,
    TARGET,
)
from credit_default.core.system_errors import explained
from credit_default.errors import ContractError, InputError

Dataset = Literal["inference", "curated", "outcomes"]
DUPLICATE = f"{CLIENT_ID}: duplicate of an earlier row"
CONTRADICTION = f"{CLIENT_ID}: occurs more than once with different values"
NO_CLIENT_ID = f"{CLIENT_ID}: is missing"
NO_FEATURE = "row: every feature is missing"
_SEPARATOR = "; "


@dataclass(frozen=True)
class Accepted:
    """What became of some files.

    ``table``: accepted rows, typed (see `tables.schema`), in the order of files and rows. ``rejected``: the
    rows that were not taken: ``source_file``, ``source_row`` (1-based data row), ``line`` (null for Parquet),
    ``reasons`` (``column: rule``, joined by "; ") and ``row`` (as it came, as JSON). ``counts``: figures and
    names only, fit for metadata.
    """

    table: pa.Table
    rejected: pa.Table
    counts: Mapping[str, Any]


@dataclass(frozen=True)
class _Judged:
    """A file with its rows typed and the rules they broke; ``reasons`` is null for rows that keep them all."""

    raw: RawFile
    table: pa.Table
    reasons: pa.Array
    made_ids: Mask
    extra_columns: tuple[str, ...]


def accept(paths: Sequence[Path], *, dataset: Dataset) -> Accepted:
    """Read files that arrived together and judge every row by the contract.

    ``inference`` needs the features, ``curated`` the features and the target, ``outcomes`` an id column and the
    target. In the first two a client id is made from file name and row number where there is none. A client
    that occurs more than once among the files is taken once when the rows are equal, and not at all otherwise.

    Raises
    ------
    UnreadableFile
        A file cannot be read at all.
    ContractError
        A file lacks a column, has one twice, or has one of a type that cannot hold the values.
    """
    judged: list[_Judged] = []
    errors: list[InputError] = []
    for path in paths:
        try:
            judged.append(_judge(read_file(path), dataset))
        except InputError as error:
            errors.append(error)
    if errors:
        raise type(errors[0])("\n".join(str(error) for error in errors))

    whole = pa.concat_tables([_schema(dataset).empty_table(), *(file.table for file in judged)])
    reasons = pa.chunked_array([file.reasons for file in judged], pa.string()).combine_chunks()
    reasons = _joined([reasons, *_repeated(whole, reasons)])
    taken = pc.is_null(reasons)
    table = whole.filter(taken)
    made_ids = np.concatenate([np.zeros(0, bool), *(file.made_ids for file in judged)])
    rejected = [REJECTED_SCHEMA.empty_table()]
    start = 0
    for file in judged:
        rejected.append(rejected_rows(file.raw, reasons.slice(start, file.table.num_rows)))
        start += file.table.num_rows
    kept = pa.concat_tables(rejected)
    counts = _counts(judged, table, kept)
    counts["rows_without_client_id"] = int((made_ids & taken.to_numpy(zero_copy_only=False)).sum())
    return Accepted(table, kept, counts)


def write_rejected(rejected: pa.Table, path: Path) -> None:
    """Write rejected rows as CSV, for a person to mend and send again."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        arrow_csv.write_csv(rejected, path)


def _schema(dataset: Dataset) -> pa.Schema:
    if dataset == "outcomes":
        return tables.outcomes_schema()
    return tables.schema(target=dataset == "curated", source=True)


def _judge(raw: RawFile, dataset: Dataset) -> _Judged:
    schema = _schema(dataset)
    names = raw.table.column_names
    id_column = next((name for name in ID_COLUMNS if name in names), None)
    needed = [name for name in schema.names if name in BY_NAME or name == TARGET]
    _refuse_missing(raw.name, names, needed, id_needed=dataset == "outcomes" and id_column is None)

    broken: Broken = []
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    ids = pa.nulls(raw.table.num_rows, pa.string())
    if id_column is not None:
        ids = client_ids(raw.name, id_column, raw.table[id_column].combine_chunks())
    made_ids = pc.is_null(ids).to_numpy(zero_copy_only=False)
    if dataset == "outcomes":
        broken.append((NO_CLIENT_ID, made_ids))
    made = pa.array([f"{raw.name}:{row}" for row in raw.rows[made_ids]], pa.string())
    columns[CLIENT_ID] = pc.replace_with_mask(ids, pa.array(made_ids), made)
    for name in needed:
        column, rules = typed(raw.name, name, raw.table[name].combine_chunks())
        columns[name] = column
        broken += rules
    columns[SOURCE_FILE] = pa.repeat(pa.scalar(raw.name), raw.table.num_rows)
    columns[SOURCE_ROW] = pa.array(raw.rows, pa.int64())
    table = pa.table([columns[field.name] for field in schema], schema=schema)
    if dataset != "outcomes":
        broken.append((NO_FEATURE, all_missing(table, broken)))
    reasons = _joined([pa.nulls(table.num_rows, pa.string()), *(_where(*rule) for rule in broken)])
    known = {*needed, id_column}
    return _Judged(raw, table, reasons, made_ids, tuple(name for name in names if name not in known))


def _refuse_missing(file: str, names: Sequence[str], needed: Sequence[str], *, id_needed: bool) -> None:
    missing = [name for name in needed if name not in names]
    if id_needed:
        missing.insert(0, CLIENT_ID)
    if missing:
        hint = " (is the first line a header, and the delimiter a comma?)" if len(missing) > 1 else ""
        expected = f"{CLIENT_ID} and {TARGET}" if id_needed or len(needed) == 1 else ", ".join(needed)
        raise ContractError(
            f"{file}: missing column{'s'[: len(missing) > 1]} {', '.join(missing)}{hint}; "
            f"expected, in any order: {expected}"
        )


def _where(reason: str, mask: Mask) -> pa.Array:
    return pc.if_else(pa.array(mask), pa.scalar(reason), pa.scalar(None, pa.string()))


def _joined(reasons: Sequence[pa.Array]) -> pa.Array:
    """Reasons of each row in one text; null where there is none."""
    text, *others = reasons
    for other in others:
        if other.null_count < len(other):
            text = pc.coalesce(pc.binary_join_element_wise(text, other, _SEPARATOR), text, other)
    return text


def all_missing(table: pa.Table, broken: Broken) -> Mask:
    """Rows in which no feature has a value; a value that broke a rule is one."""
    empty = np.ones(table.num_rows, bool)
    for name in FEATURE_NAMES:
        if table[name].null_count == 0:
            return np.zeros(table.num_rows, bool)
        empty &= pc.is_null(table[name]).to_numpy()
    for _, mask in broken:
        empty &= ~mask
    return empty


def _repeated(table: pa.Table, reasons: pa.Array) -> Iterator[pa.Array]:
    """Judge clients that occur more than once, among the rows that keep every other rule."""
    valid = np.flatnonzero(pc.is_null(reasons).to_numpy(zero_copy_only=False))
    clients = table[CLIENT_ID].combine_chunks().dictionary_encode().indices.to_numpy()[valid]
    repeated = np.bincount(clients)[clients] > 1
    if not repeated.any():
        return
    places, clients = valid[repeated], clients[repeated]
    rows = table.select([name for name in table.column_names if name in BY_NAME or name == TARGET])
    rows = pa.table({name: _codes(rows[name]) for name in rows.column_names}).take(pa.array(places))
    rows = rows.append_column("client", pa.array(clients))
    variants = rows.group_by(rows.column_names).aggregate([])["client"].to_numpy()
    differs = np.bincount(variants)[clients] > 1
    _, first = np.unique(clients, return_index=True)
    later = np.ones(len(places), bool)
    later[first] = False
    for reason, mask in ((CONTRADICTION, differs), (DUPLICATE, later & ~differs)):
        everywhere = np.zeros(table.num_rows, bool)
        everywhere[places[mask]] = True
        yield _where(reason, everywhere)


def _codes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories by their codes, which are the same in every file and cheaper to compare than words."""
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([chunk.indices for chunk in column.chunks], column.type.index_type)


def _counts(judged: Sequence[_Judged], table: pa.Table, rejected: pa.Table) -> dict[str, Any]:
    by_reason: dict[str, int] = {}
    for reasons in pc.value_counts(rejected["reasons"]).to_pylist():
        for reason in reasons["values"].split(_SEPARATOR):
            by_reason[reason] = by_reason.get(reason, 0) + reasons["counts"]
    refused = {pair["values"]: pair["counts"] for pair in pc.value_counts(rejected[SOURCE_FILE]).to_pylist()}
    rows = {file.raw.name: file.raw.table.num_rows + len(file.raw.malformed) for file in judged}
    return {
        "rows": sum(rows.values()),
        "accepted": table.num_rows,
        "rejected": rejected.num_rows,
        "by_reason": dict(sorted(by_reason.items(), key=lambda pair: (-pair[1], pair[0]))),
        "missing": {
            name: table[name].null_count
            for name in FEATURE_NAMES
            if name in table.column_names and table[name].null_count
        },
        "extra_columns": sorted({name for file in judged for name in file.extra_columns}),
        "files": {name: {"rows": count, "rejected": refused.get(name, 0)} for name, count in rows.items()},
    }
