"""Files that arrive from outside: which ones there are, and what each holds, as it came.

A file is read whole or not at all. What makes a *file* unusable (not there, empty, truncated, not UTF-8, a
quote that is never closed) is an error that names file and line; what makes a *row* unusable (too few or too
many fields) leaves the other rows alone. Nothing here guesses types: CSV fields stay text until the contract
judges them. Arrow's own messages quote cells, so none of them is passed on.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from credit_default.errors import ContractError, NotThere, UnreadableFile

SUFFIXES = (".csv", ".parquet")
TOO_FEW_FIELDS = "row: fewer fields than the header"
TOO_MANY_FIELDS = "row: more fields than the header"
_BLOCK_BYTES = 8 << 20
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class MalformedRow:
    """A line of a CSV file that is no row of its table."""

    row: int
    line: int
    rule: str
    text: str


@dataclass(frozen=True)
class RawFile:
    """What a file holds, before any rule was applied.

    ``rows`` (1-based, malformed ones counted) and ``lines`` (of the file; None for Parquet) have one entry per
    row of ``table``.
    """

    name: str
    table: pa.Table
    rows: NDArray[np.int64]
    lines: NDArray[np.int64] | None
    malformed: tuple[MalformedRow, ...] = ()


def landing_files(folder: Path) -> list[Path]:
    """List what landed in a folder, by name; empty when there is no such folder.

    Names that begin with ``.`` or ``_`` are left out: tools put their markers and unfinished uploads there.
    Everything else counts, so that a file which cannot be read is told of and never overlooked.

    Raises
    ------
    UnreadableFile
        There is something else than a folder in its place.
    """
    if not folder.exists() and not folder.is_symlink():
        return []
    try:
        found = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError:
        raise UnreadableFile(f"{folder}: expected a folder with CSV or Parquet files") from None
    return [path for path in found if not path.name.startswith((".", "_"))]


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, by which a file that was edited is found."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_file(path: Path) -> RawFile:
    """Read a CSV or Parquet file.

    Raises
    ------
    UnreadableFile
        The file cannot be read at all.
    ContractError
        Two of its columns have one name.
    NotThere
        There is no such file.
    """
    name, suffix = path.name, path.suffix.lower()
    if path.is_symlink() and not path.exists():
        raise UnreadableFile(f"{name}: the link leads nowhere; put the file itself here")
    if not path.exists():
        raise NotThere(f"{name} is not in {path.parent}; expected a CSV or Parquet file")
    if path.is_dir():
        raise UnreadableFile(f"{name}: is a folder; expected a CSV or Parquet file")
    if suffix not in SUFFIXES:
        got = f"the suffix {suffix}" if suffix else "no suffix"
        raise UnreadableFile(f"{name}: has {got}; expected {' or '.join(SUFFIXES)}")
    try:
        return _read_csv(name, path.read_bytes()) if suffix == ".csv" else _read_parquet(path)
    except OSError as error:
        raise UnreadableFile(f"{name}: cannot be read ({type(error).__name__})") from None


def _read_parquet(path: Path) -> RawFile:
    if path.stat().st_size == 0:
        raise UnreadableFile(f"{path.name}: is empty (0 bytes); expected a Parquet file")
    try:
        with pq.ParquetFile(path) as file:
            _refuse_repeated(path.name, file.schema_arrow.names)
            table = file.read()
        table.validate(full=True)  # finds text that is not UTF-8, which Arrow's functions choke on
    except (pa.ArrowException, OSError):
        raise UnreadableFile(
            f"{path.name}: is no sound Parquet file; it may have been cut short or damaged: copy it here again"
        ) from None
    return RawFile(path.name, table, np.arange(1, table.num_rows + 1), None)


def _read_csv(name: str, data: bytes) -> RawFile:
    data = data.removeprefix(b"\xef\xbb\xbf")
    _refuse_other_encodings(name, data)
    reader = csv.reader(_text(data))
    try:
        header = next((fields for fields in reader if fields), None)
        header_lines = reader.line_num
        first = next((fields for fields in reader if fields), None)
    except csv.Error:
        # The reader gives up on a field of more than 128 KiB, which is a quote that is never closed.
        raise UnreadableFile(
            f"{name}: a quote that is opened near line {reader.line_num} is never closed; close it or remove it"
        ) from None
    if header is None:
        raise UnreadableFile(f"{name}: is empty; expected a line with the names of the columns, then rows")
    header = [field.strip() for field in header]
    _refuse_repeated(name, header)
    columns = [field or f"column {position}" for position, field in enumerate(header, start=1)]
    if first is None:
        nothing = pa.table({column: pa.array([], pa.string()) for column in columns})
        return RawFile(name, nothing, np.arange(0), np.arange(0))
    return _read_by_line(name, data, columns, header_lines) or _read_by_record(name, data, columns)


def _text(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")


def _refuse_other_encodings(name: str, data: bytes) -> None:
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableFile(f"{name}, line {line}: is not UTF-8; save the file as UTF-8") from None


def _refuse_repeated(name: str, header: Sequence[str]) -> None:
    """Two columns of one name leave it open which of them holds the values.

    Columns are named by position: where a header is missing, its "names" are the values of a row.
    """
    repeated = {column for column, times in Counter(header).items() if column and times > 1}
    if repeated:
        positions = [str(place) for place, column in enumerate(header, start=1) if column in repeated]
        raise ContractError(f"{name}, header: columns {', '.join(positions)} repeat a name; expected every column once")


def _read_by_line(name: str, data: bytes, columns: Sequence[str], header_lines: int) -> RawFile | None:
    """Read a file in which every line is a row or blank, by Arrow's threads; None when it is not such a file.

    Line breaks inside quotes and quotes that are never closed make Arrow find fewer rows than there are lines.
    """
    if data.count(b"\r") != data.count(b"\r\n"):
        return None
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    begins = np.concatenate([[0], ends + 1])
    lengths = np.append(ends, len(data)) - begins
    is_blank = (lengths == 0) | ((lengths == 1) & (characters[np.minimum(begins, len(data) - 1)] == ord("\r")))
    lines = header_lines + 1 + np.flatnonzero(~is_blank[header_lines:])
    quotes = b'"' in data
    rows_below = pa.py_buffer(memoryview(data)[begins[header_lines] :])
    try:
        table, invalid = _parse(rows_below, columns, threads=True, quotes=quotes)
        if invalid:  # only a single thread tells which rows they are
            table, invalid = _parse(rows_below, columns, threads=False, quotes=quotes)
    except pa.ArrowException:
        return None
    if table.num_rows + len(invalid) != len(lines):
        return None
    malformed = tuple(
        MalformedRow(row.number, int(lines[row.number - 1]), _rule(row.actual_columns, columns), row.text)
        for row in invalid
    )
    is_row = np.ones(len(lines), bool)
    is_row[[row.row - 1 for row in malformed]] = False
    return RawFile(name, table, np.flatnonzero(is_row) + 1, lines[is_row], malformed)


def _parse(
    rows: pa.Buffer, columns: Sequence[str], *, threads: bool, quotes: bool
) -> tuple[pa.Table, list[arrow_csv.InvalidRow]]:
    invalid: list[arrow_csv.InvalidRow] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    table = arrow_csv.read_csv(
        pa.BufferReader(rows),
        read_options=arrow_csv.ReadOptions(column_names=columns, use_threads=threads, block_size=_BLOCK_BYTES),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=quotes, invalid_row_handler=skip),
        convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )
    return table, invalid


def _rule(fields: int, columns: Sequence[str]) -> str:
    return TOO_FEW_FIELDS if fields < len(columns) else TOO_MANY_FIELDS


def _read_by_record(name: str, data: bytes, columns: Sequence[str]) -> RawFile:
    """Read any CSV file, with the line of every row, several times slower than `_read_by_line`."""
    tables, rows, lines, malformed = [], [], [], []
    records = _records(name, data)
    next(records)  # the header
    numbered = enumerate(records, start=1)
    while batch := list(islice(numbered, _ROWS_AT_ONCE)):
        good = []
        for row, (line, fields, text) in batch:
            if len(fields) == len(columns):
                good.append(fields)
                rows.append(row)
                lines.append(line)
            else:
                malformed.append(MalformedRow(row, line, _rule(len(fields), columns), text))
        by_column = zip(*good, strict=True) if good else ([] for _ in columns)
        tables.append(pa.table([pa.array(values, pa.string()) for values in by_column], names=list(columns)))
    return RawFile(name, pa.concat_tables(tables), np.array(rows, int), np.array(lines, int), tuple(malformed))


def _records(name: str, data: bytes) -> Iterator[tuple[int, list[str], str]]:
    """Line where it begins, fields and text of every record that is not blank."""
    seen: list[str] = []

    def remembered() -> Iterator[str]:
        for line in _text(data):
            seen.append(line)
            yield line

    reader = csv.reader(remembered(), strict=True)
    first_line = 1
    try:
        for fields in reader:
            if fields:
                yield first_line, fields, "".join(seen).rstrip("\r\n")
            first_line = reader.line_num + 1
            seen.clear()
    except csv.Error:
        raise UnreadableFile(
            f"{name}, line {first_line}: a quoted field that begins in this row is not closed as it should be; "
            'expected "..." with quotes inside written twice, and fields below 128 KiB'
        ) from None
