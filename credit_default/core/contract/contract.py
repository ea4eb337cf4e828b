"""The contract of files from outside: which rows are taken, which are not, and why.

A *file* that is no table of ours (a column is missing, or of a type that cannot hold it) is a `ContractError`.
A *row* that breaks a rule is rejected with every rule it breaks and kept as it came; the others go on. Nothing
is guessed: categories are spelled as in the schema, and of clients that occur twice with different values no
row is taken. What does not change a value is forgiven: order of columns, columns of no use to us, white space
round a value, and other ways to write the same thing, whatever the format of the file and the other rows:

- numbers: an optional sign, digits, an optional fraction and an optional exponent (see `numbers`);
- missing values: an empty field and the words that programs export for one (see `missing`);
- client ids: ``1001``, ``1001.0`` and ``1.001e3`` are one client (see `client_ids`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from credit_default.core import tables
from credit_default.core.contract import client_ids, made_ids, repeated_clients
from credit_default.core.contract.columns import typed
from credit_default.core.contract.rejected import REJECTED_SCHEMA, Rejected
from credit_default.core.contract.rules import Broken, Mask, any_of
from credit_default.core.defects import concerning
from credit_default.core.files.raw_file import RawFile
from credit_default.core.files.reading import ReadFiles
from credit_default.core.plurals import plural, verb
from credit_default.core.printable import MAX_NAMES, shortened, shortlist
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
NO_CLIENT_ID = f"{CLIENT_ID}: is missing"
NO_FEATURE = "row: every feature is missing"


@dataclass(frozen=True)
class Accepted:
    """What became of some files.

    ``table``: accepted rows, typed (see `tables.schema`), in the order of files and rows. ``rejected``: the
    rows that were not taken: ``source_file``, ``source_row`` (1-based data row), ``line`` (null for Parquet),
    ``reasons`` (``column: rule``, joined by "; ") and ``row`` (as it came, as JSON). ``counts``: figures and
    names only, fit for metadata.
    """

    table: pa.Table
    rejected: Rejected
    counts: Mapping[str, Any]


@dataclass(frozen=True)
class _Judged:
    """A file with its rows typed and the rules they broke."""

    raw: RawFile
    table: pa.Table
    broken: Broken
    made_ids: Mask
    extra_columns: tuple[str, ...]
    id_like_columns: tuple[str, ...]


def accept(
    paths: Sequence[Path],
    *,
    dataset: Dataset,
    day: str | None = None,
    root: Path | None = None,
    follow_links: bool = False,
) -> Accepted:
    """Read files that arrived together and judge every row by the contract.

    ``inference`` needs the features, ``curated`` the features and the target, ``outcomes`` an id column and the
    target. In the first two rows without an id get one that is made of ``day`` (of files that have one), file
    name and row number. A client that occurs more than once among the files is taken once when the
    rows are equal, and not at all otherwise. Of files of the same bytes the first is read; each other one has no rows
    in ``counts["files"]``, and a ``same_as``.

    Parameters
    ----------
    root, follow_links
        How far links are followed, see `landing_folder.open_regular`.

    Raises
    ------
    UnreadableFile
        A file cannot be read at all.
    ContractError
        A file lacks a column, has one twice, or has one of a type that cannot hold the values.
    """
    judged: list[_Judged] = []
    errors: list[InputError] = []
    files = ReadFiles(root=root, follow_links=follow_links)
    for path in paths:
        try:
            raw = files.read(path)
            if raw is not None:
                judged.append(_judge(raw, dataset, day))
        except InputError as error:
            errors.append(error)
    if errors:
        messages = [*map(str, errors[:MAX_NAMES])]
        if len(errors) > MAX_NAMES:
            messages.append(f"{plural(len(errors) - MAX_NAMES, 'more file')} cannot be used either.")
        raise type(errors[0])("\n".join(messages))

    whole = pa.concat_tables([_schema(dataset).empty_table(), *(file.table for file in judged)])
    refused = np.concatenate([np.zeros(0, bool), *(any_of(file.broken, file.table.num_rows) for file in judged)])
    repeated = repeated_clients.find(whole, refused)
    taken = ~(refused | any_of(repeated, whole.num_rows))
    table = whole.filter(pa.array(taken))
    without_id = np.concatenate([np.zeros(0, bool), *(file.made_ids for file in judged)])
    rejected = Rejected()
    start = 0
    for file in judged:
        end = start + file.table.num_rows
        rejected.add(file.raw, [*file.broken, *((reason, mask[start:end]) for reason, mask in repeated)])
        start = end
    counts = _counts(judged, files, table, rejected)
    counts["rows_without_client_id"] = int((without_id & taken).sum())
    return Accepted(table, rejected, counts)


def write_rejected(rejected: Rejected, path: Path) -> None:
    """Write rejected rows as CSV, for a person to mend and send again; never all of them at once."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with arrow_csv.CSVWriter(path, REJECTED_SCHEMA) as writer:
            for batch in rejected.batches():
                writer.write_table(batch)


def _schema(dataset: Dataset) -> pa.Schema:
    if dataset == "outcomes":
        return tables.outcomes_schema()
    return tables.schema(target=dataset == "curated", source=True)


def _judge(raw: RawFile, dataset: Dataset, day: str | None) -> _Judged:
    schema = _schema(dataset)
    names = raw.table.column_names
    id_column = next((name for name in ID_COLUMNS if name in names), None)
    needed = [name for name in schema.names if name in BY_NAME or name == TARGET]
    like_ids = () if id_column is not None else tuple(client_ids.look_like_ids(names))
    _refuse_missing(raw.name, names, needed, id_needed=dataset == "outcomes" and id_column is None, like_ids=like_ids)

    broken: Broken = []
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    ids = pa.nulls(raw.table.num_rows, pa.string())
    if id_column is not None:
        ids, broken = client_ids.normalise(raw.name, id_column, raw.table[id_column].combine_chunks())
    without_id: Mask = pc.is_null(ids).to_numpy(zero_copy_only=False)
    if dataset == "outcomes":
        broken.append((NO_CLIENT_ID, without_id))
        columns[CLIENT_ID] = pc.fill_null(ids, "")
    elif without_id.any():
        columns[CLIENT_ID] = pc.coalesce(ids, made_ids.make(raw.name, raw.rows, day))
    else:
        columns[CLIENT_ID] = ids
    for name in needed:
        with concerning(name):
            column, rules = typed(raw.name, name, raw.table[name].combine_chunks())
        columns[name] = column
        broken += rules
    columns[SOURCE_FILE] = pa.repeat(pa.scalar(raw.name), raw.table.num_rows)
    columns[SOURCE_ROW] = pa.array(raw.rows, pa.int64())
    table = pa.table([columns[field.name] for field in schema], schema=schema)
    if dataset != "outcomes":
        broken.append((NO_FEATURE, all_missing(table, broken)))
    known = {*needed, id_column}
    extra = tuple(name for name in names if name not in known)
    return _Judged(raw, table, broken, without_id, extra, like_ids)


def _refuse_missing(
    file: str, names: Sequence[str], needed: Sequence[str], *, id_needed: bool, like_ids: Sequence[str]
) -> None:
    missing = [name for name in needed if name not in names]
    if id_needed:
        missing.insert(0, CLIENT_ID)
    if missing:
        hint = " (is the first line a header, and the delimiter a comma?)" if len(missing) > 1 else ""
        spelled = {name.strip(" \"'").lower() for name in names}
        if missing == [CLIENT_ID] and like_ids:
            # All other columns are there, so these names are a header and no values of a row.
            shown = shortlist(map(shortened, like_ids), len(like_ids))
            hint = f" ({shown} {verb(len(like_ids), 'looks', 'look')} like one: name it {CLIENT_ID})"
        elif spelled.issuperset(missing):
            hint = " (there in another spelling: write names in small letters and without quotes)"
        expected = f"{CLIENT_ID} and {TARGET}" if id_needed or len(needed) == 1 else ", ".join(needed)
        raise ContractError(
            f"{file}: missing {verb(len(missing), 'column', 'columns')} {', '.join(missing)}{hint}; "
            f"expected, in any order: {expected}"
        )


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


def _counts(judged: Sequence[_Judged], files: ReadFiles, table: pa.Table, rejected: Rejected) -> dict[str, Any]:
    refused = rejected.by_file()
    rows = {file.raw.name: file.raw.table.num_rows + len(file.raw.malformed) for file in judged}
    return {
        "rows": sum(rows.values()),
        "accepted": table.num_rows,
        "rejected": rejected.num_rows,
        "by_reason": dict(sorted(rejected.by_reason().items(), key=lambda pair: (-pair[1], pair[0]))),
        "missing": {
            name: table[name].null_count
            for name in FEATURE_NAMES
            if name in table.column_names and table[name].null_count
        },
        "id_like_columns": _first_names(file.id_like_columns for file in judged),
        "id_like_columns_count": len({name for file in judged for name in file.id_like_columns}),
        "extra_columns": _first_names(file.extra_columns for file in judged),
        "extra_columns_count": len({name for file in judged for name in file.extra_columns}),
        "files": {
            name: {
                "rows": rows.get(name, 0),
                "rejected": refused.get(name, 0),
                "sha256": sha256,
                **({"same_as": files.same_as[name]} if name in files.same_as else {}),
            }
            for name, sha256 in files.sha256.items()
        },
    }


def _first_names(columns: Iterable[Sequence[str]]) -> list[str]:
    """Return the first names of columns by the alphabet, since a file may have a thousand."""
    return [shortened(name) for name in sorted({name for names in columns for name in names})[:MAX_NAMES]]
