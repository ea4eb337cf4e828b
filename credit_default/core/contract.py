"""The contract of files from outside: which rows are taken, which are not, and why.

A *file* that is no table of ours (a column is missing, or of a type that cannot hold it) is a `ContractError`.
A *row* that breaks a rule is rejected with every rule it breaks and kept as it came; the others go on. Nothing
is guessed: categories are spelled as in the schema, and of clients that occur twice with different values no
row is taken. What does not change a value is forgiven: order of columns, columns of no use to us, white space
round a value, ``1000`` for ``1000.0``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from credit_default.core import tables
from credit_default.core.files import RawFile, read_file
from credit_default.core.schema import (
    BY_NAME,
    CLIENT_ID,
    FEATURE_NAMES,
    ID_COLUMNS,
    SOURCE_FILE,
    SOURCE_ROW,
    TARGET,
    Feature,
)
from credit_default.errors import ContractError, InputError

Dataset = Literal["inference", "curated", "outcomes"]
Mask = NDArray[np.bool_]
#: Rules that a column's values broke, and the rows in which they did.
Broken = list[tuple[str, Mask]]

#: Spellings of a missing value in text files; an empty field is the usual one.
MISSING_WORDS = ("", "NaN", "nan", "NA", "null")
DUPLICATE = f"{CLIENT_ID}: duplicate of an earlier row"
CONTRADICTION = f"{CLIENT_ID}: occurs more than once with different values"
NO_CLIENT_ID = f"{CLIENT_ID}: is missing"
NO_FEATURE = "row: every feature is missing"
REJECTED_SCHEMA = pa.schema(
    [
        (SOURCE_FILE, pa.string()),
        (SOURCE_ROW, pa.int64()),
        ("line", pa.int64()),
        ("reasons", pa.string()),
        ("row", pa.string()),
    ]
)
_SEPARATOR = "; "
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?$|^-?(?i:inf|infinity)$"
_TARGETS = {"true": 1, "false": 0}


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
    rejected = _rejected(judged, reasons)
    counts = _counts(judged, table, rejected)
    counts["rows_without_client_id"] = int((made_ids & taken.to_numpy(zero_copy_only=False)).sum())
    return Accepted(table, rejected, counts)


def write_rejected(rejected: pa.Table, path: Path) -> None:
    """Write rejected rows as CSV, for a person to mend and send again."""
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
    ids = _identifiers(raw, id_column)
    made_ids = pc.is_null(ids).to_numpy(zero_copy_only=False)
    if dataset == "outcomes":
        broken.append((NO_CLIENT_ID, made_ids))
    made = pa.array([f"{raw.name}:{row}" for row in raw.rows[made_ids]], pa.string())
    columns[CLIENT_ID] = pc.replace_with_mask(ids, pa.array(made_ids), made)
    for name in needed:
        column, rules = _typed(raw, name)
        columns[name] = column
        broken += rules
    columns[SOURCE_FILE] = pa.repeat(pa.scalar(raw.name), raw.table.num_rows)
    columns[SOURCE_ROW] = pa.array(raw.rows, pa.int64())
    table = pa.table([columns[field.name] for field in schema], schema=schema)
    if dataset != "outcomes":
        broken.append((NO_FEATURE, _all_missing(table, broken)))
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


def _refuse_type(file: str, column: str, got: pa.DataType, expected: str) -> ContractError:
    return ContractError(f"{file}, column {column}: has type {got}; expected {expected}")


def _where(reason: str, mask: Mask) -> pa.Array:
    return pc.if_else(pa.array(mask), pa.scalar(reason), pa.scalar(None, pa.string()))


def _joined(reasons: Sequence[pa.Array]) -> pa.Array:
    """Reasons of each row in one text; null where there is none."""
    text, *others = reasons
    for other in others:
        if other.null_count < len(other):
            text = pc.coalesce(pc.binary_join_element_wise(text, other, _SEPARATOR), text, other)
    return text


def _all_missing(table: pa.Table, broken: Broken) -> Mask:
    """Rows in which no feature has a value; a value that broke a rule is one."""
    empty = np.ones(table.num_rows, bool)
    for name in FEATURE_NAMES:
        if table[name].null_count == 0:
            return np.zeros(table.num_rows, bool)
        empty &= pc.is_null(table[name]).to_numpy()
    for _, mask in broken:
        empty &= ~mask
    return empty


def _identifiers(raw: RawFile, column: str | None) -> pa.Array:
    """Client ids as text, null where there is none; whole numbers are written without a point."""
    if column is None:
        return pa.nulls(raw.table.num_rows, pa.string())
    ids = raw.table[column].combine_chunks()
    if pa.types.is_dictionary(ids.type):
        ids = ids.cast(ids.type.value_type)
    if pa.types.is_floating(ids.type):
        numbers = ids.to_numpy(zero_copy_only=False)
        ids = pa.array(numbers, mask=np.isnan(numbers))
        if bool((np.nan_to_num(numbers) % 1 == 0).all()) and bool((np.abs(np.nan_to_num(numbers)) < 2**63).all()):
            ids = ids.cast(pa.int64())
    elif not (_is_text(ids.type) or pa.types.is_integer(ids.type) or pa.types.is_null(ids.type)):
        raise _refuse_type(raw.name, column, ids.type, "text or whole numbers")
    text = pc.utf8_trim_whitespace(ids.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _typed(raw: RawFile, name: str) -> tuple[pa.Array, Broken]:
    column = raw.table[name].combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if name == TARGET:
        return _target(raw.name, column)
    feature = BY_NAME[name]
    return (_category if feature.kind == "category" else _number)(raw.name, column, feature)


def _is_text(got: pa.DataType) -> bool:
    return bool(pa.types.is_string(got) or pa.types.is_large_string(got) or pa.types.is_string_view(got))


def _is_number(got: pa.DataType) -> bool:
    return bool(pa.types.is_integer(got) or pa.types.is_floating(got) or pa.types.is_decimal(got))


def _number(file: str, column: pa.Array, feature: Feature) -> tuple[pa.Array, Broken]:
    broken: Broken = []
    if _is_text(column.type):
        column, wrong = _parsed(column)
        broken.append((f"{feature.name}: not a number", wrong))
    elif not _is_number(column.type):
        raise _refuse_type(file, feature.name, column.type, "a number")
    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    infinite = np.isinf(numbers)
    broken.append((f"{feature.name}: infinite", infinite))
    if feature.minimum is not None:
        low = (numbers < feature.minimum) & ~infinite
        broken.append((f"{feature.name}: below the minimum {feature.minimum:g}", low))
    if feature.maximum is not None:
        high = (numbers > feature.maximum) & ~infinite
        broken.append((f"{feature.name}: above the maximum {feature.maximum:g}", high))
    return pa.array(numbers, pa.float64(), mask=np.isnan(numbers)), [rule for rule in broken if rule[1].any()]


def _parsed(text: pa.Array) -> tuple[pa.Array, Mask]:
    """Text as float64, and where it is neither a number nor missing."""
    try:
        return text.cast(pa.float64()), np.zeros(len(text), bool)
    except pa.ArrowInvalid:  # blanks, missing values, or what is no number
        trimmed = pc.utf8_trim_whitespace(text)
        number = pc.fill_null(pc.match_substring_regex(trimmed, _NUMBER), False)
        missing = pc.is_in(trimmed, value_set=pa.array([None, *MISSING_WORDS], trimmed.type))
        wrong = pc.invert(pc.or_(number, missing)).to_numpy(zero_copy_only=False)
        return pc.if_else(number, trimmed, pa.scalar(None, trimmed.type)).cast(pa.float64()), wrong


def _category(file: str, column: pa.Array, feature: Feature) -> tuple[pa.Array, Broken]:
    if not _is_text(column.type):
        raise _refuse_type(file, feature.name, column.type, f"text: {', '.join(feature.categories)}")
    encoded = column.cast(pa.string()).dictionary_encode()
    spelled = pc.utf8_trim_whitespace(encoded.dictionary)
    codes = pc.index_in(spelled, value_set=pa.array(feature.categories)).take(encoded.indices)
    missing = pc.is_in(spelled, value_set=pa.array(MISSING_WORDS)).take(encoded.indices)
    unknown = pc.and_(pc.is_null(codes), pc.invert(pc.fill_null(missing, True)))
    mask = unknown.to_numpy(zero_copy_only=False)
    typed = pa.DictionaryArray.from_arrays(codes.cast(pa.int8()), pa.array(feature.categories))
    return typed, [(f"{feature.name}: unknown category", mask)] if mask.any() else []


def _target(file: str, column: pa.Array) -> tuple[pa.Array, Broken]:
    """0 and 1 however they are written: ``1``, ``1.0``, ``True``, ``true``."""
    if not (_is_text(column.type) or _is_number(column.type) or pa.types.is_boolean(column.type)):
        raise _refuse_type(file, TARGET, column.type, "0 and 1, or True and False")
    encoded = column.cast(pa.string()).dictionary_encode()
    # -1 means missing and -2 something else
    codes = np.array([*map(_target_of, encoded.dictionary.to_pylist()), -1], np.int8)
    values = codes[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
    broken = [(f"{TARGET}: is missing", values == -1), (f"{TARGET}: must be 0 or 1", values == -2)]  # noqa: PLR2004 - see above
    # Rejected rows hold a 0 until they are taken out, since the column has no nulls.
    return pa.array(np.maximum(values, 0), pa.int8()), [rule for rule in broken if rule[1].any()]


def _target_of(text: str) -> int:
    word = text.strip()
    if word in MISSING_WORDS:
        return -1
    if word.lower() in _TARGETS:
        return _TARGETS[word.lower()]
    try:
        return {0.0: 0, 1.0: 1}.get(float(word), -2)
    except ValueError:
        return -2


def _repeated(table: pa.Table, reasons: pa.Array) -> Iterator[pa.Array]:
    """Judge clients that occur more than once, among the rows that keep every other rule."""
    valid = np.flatnonzero(pc.is_null(reasons).to_numpy(zero_copy_only=False))
    _, client, times = np.unique(
        pc.index_in(table[CLIENT_ID], value_set=pc.unique(table[CLIENT_ID])).to_numpy()[valid],
        return_inverse=True,
        return_counts=True,
    )
    places = valid[times[client] > 1]
    if len(places) == 0:
        return
    values = [name for name in table.column_names if name not in {SOURCE_FILE, SOURCE_ROW}]
    rows = table.select(values).take(pa.array(places))
    rows = pa.table({name: _comparable(rows[name]) for name in values})
    spellings = rows.group_by(values).aggregate([]).group_by(CLIENT_ID).aggregate([([], "count_all")])
    contradicting = spellings.filter(pc.greater(spellings["count_all"], 1))[CLIENT_ID].combine_chunks()
    differs = pc.is_in(rows[CLIENT_ID], value_set=contradicting).to_numpy()
    _, first = np.unique(client[times[client] > 1], return_index=True)
    later = np.ones(len(places), bool)
    later[first] = False
    for reason, mask in ((CONTRADICTION, differs), (DUPLICATE, later & ~differs)):
        everywhere = np.zeros(table.num_rows, bool)
        everywhere[places[mask]] = True
        yield _where(reason, everywhere)


def _comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _rejected(judged: Sequence[_Judged], reasons: pa.Array) -> pa.Table:
    """Rejected and malformed rows, in the order of files and rows."""
    parts, start = [REJECTED_SCHEMA.empty_table()], 0
    for file in judged:
        raw, end = file.raw, start + file.raw.table.num_rows
        own, start = reasons.slice(start, end - start), end
        places = np.flatnonzero(own.is_valid().to_numpy(zero_copy_only=False))
        rows = raw.table.take(pa.array(places)).to_pylist()
        records = [
            (
                raw.name,
                int(raw.rows[place]),
                None if raw.lines is None else int(raw.lines[place]),
                reason,
                _json(row),
            )
            for place, reason, row in zip(places, own.take(pa.array(places)).to_pylist(), rows, strict=True)
        ]
        records += [(raw.name, bad.row, bad.line, bad.rule, _json({"text": bad.text})) for bad in raw.malformed]
        records.sort(key=lambda record: record[1])
        columns = list(zip(*records, strict=True)) or [()] * len(REJECTED_SCHEMA)
        parts.append(
            pa.table(
                [pa.array(c, f.type) for c, f in zip(columns, REJECTED_SCHEMA, strict=True)],
                schema=REJECTED_SCHEMA,
            )
        )
    return pa.concat_tables(parts)


def _json(row: Mapping[str, Any]) -> str:
    plain = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
    return json.dumps(plain, ensure_ascii=False, default=str)


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
