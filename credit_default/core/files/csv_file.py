"""CSV files: UTF-8, separated by commas, one header. Fields stay text until the contract judges them.

What makes a *file* unusable (empty, not UTF-8, a quote that is never closed) is an error that names file and line; what
makes a *row* unusable (too few or too many fields) leaves the other rows alone. Commas at the end of a row that the
header does not have are forgiven, as long as nothing stands between or behind them. A field that goes on behind its
closing quote makes its row unusable when that is one line, else the file: where it should have ended is not known. A
last line without its end is a row like any other: sensors and schedules wait until a folder has been quiet
(`defs.landing`), so that it is whole, and a file that grows afterwards makes its day anew.
"""

from __future__ import annotations

import csv
import io
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
from numpy.typing import NDArray

from credit_default.core.files.csv_format import count_columns, line_at, refuse_other_formats, refuse_other_layouts
from credit_default.core.files.csv_records import Record, Records
from credit_default.core.files.limits import Limits
from credit_default.core.files.raw_file import (
    MalformedRow,
    RawFile,
    name_columns,
    refuse_columns,
    refuse_repeated,
    refuse_row,
)
from credit_default.errors import ContractError, UnreadableFile

TOO_FEW_FIELDS = "row: fewer fields than the header"
TOO_MANY_FIELDS = "row: more fields than the header"
STRAY_QUOTE = "row: a quoted field goes on behind its closing quote"
#: More of them are no bad rows, but a table with another header; each is kept with its text.
MAX_MALFORMED_ROWS = 1_000_000
_BLOCK_BYTES = 8 << 20
#: As Python objects, of which a field is one.
_FIELDS_AT_ONCE = 1_000_000
#: Where the header and the lines above it are looked for.
_BEGINNING = 1 << 16
_BEFORE_FIELD, _BEHIND_FIELD = (np.frombuffer(text, np.uint8) for text in (b",\n", b",\r\n"))
#: What is kept for a line and for a field, besides their text.
_BYTES_OF_LINE, _BYTES_OF_FIELD = 32, 4
#: Byte order mark, which stands between the parts of a file that was put together of several.
_MARK = b"\xef\xbb\xbf"
_MARKS = re.compile(rb"(^|[\r\n])(?:\xef\xbb\xbf)+")


def size_in_memory(data: bytes) -> int:
    """Estimate what a CSV file takes once it is read: its bytes, its fields as text, and where they are."""
    lines = data.count(b"\n") + data.count(b"\r")
    return 2 * len(data) + _BYTES_OF_LINE * lines + _BYTES_OF_FIELD * (lines + data.count(b","))


def read_csv(name: str, data: bytes, limits: Limits) -> RawFile:
    """Read a CSV file.

    Raises
    ------
    UnreadableFile
        It is no UTF-8 text, or cannot be split into rows.
    ContractError
        Its header is not one that a table of ours could have.
    """
    if _MARK in data:
        data = _MARKS.sub(rb"\1", data)
    refuse_other_formats(name, data)
    _refuse_long_lines(name, data, limits)
    with _long_fields(limits):
        return _read(name, data, limits)


def _read(name: str, data: bytes, limits: Limits) -> RawFile:
    header, header_lines, first = _beginning(name, data, limits)
    if header is None:
        raise UnreadableFile(f"{name}: is empty; expected a line with the names of the columns, then rows.")
    refuse_other_layouts(name, _first_lines(data), header, first or ())
    header = [field.strip() for field in header]
    refuse_repeated(name, header)
    if first is not None and not any(header[len(first) :]):
        header = header[: len(first)]  # commas at the end of the header alone
    columns = name_columns(header)
    if first is None:
        nothing = pa.table({column: pa.array([], pa.string()) for column in columns})
        return RawFile(name, nothing, np.arange(0), np.arange(0))
    more = len(first) - len(columns) if _is_row(first, columns) else 0
    if more > limits.max_columns:
        more = 0
    return _read_by_line(name, data, columns, header_lines, more) or _read_by_record(name, data, columns, limits)


def _beginning(name: str, data: bytes, limits: Limits) -> tuple[list[str] | None, int, list[str] | None]:
    """Fields of the header, the number of its last line, and the fields of the first row; None for what is not there.

    No column is made before it is known that there are not too many.
    """
    header: Record | None = None

    def lines() -> Iterator[str]:
        for line in _text(data):
            if header is None:
                refuse_columns(name, count_columns(line), limits)
            yield line

    records = Records(name, lines(), limits)
    header = next(records, None)
    header_lines = records.last_line
    first = next(records, None) if header is not None else None
    names = _fields(header)
    refuse_columns(name, len(names or ()), limits)
    return names, header_lines, _fields(first)


def _fields(record: Record | None) -> list[str] | None:
    """Give the fields of the header or the first row, as they may be meant where quotes are not as they should be."""
    if record is None:
        return None
    return next(csv.reader([record.text])) if record.fields is None else record.fields


def _first_lines(data: bytes) -> list[str]:
    return re.split(r"\r\n|\r|\n", data[:_BEGINNING].decode(errors="ignore"))


def _is_row(fields: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether there is a field for each column, and at most empty ones behind them."""
    return len(fields) >= len(columns) and not any(field.strip() for field in fields[len(columns) :])


def _text(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), "utf-8", newline="")


@contextmanager
def _long_fields(limits: Limits) -> Iterator[None]:
    """Let a field be as long as a row may be, instead of 128 KiB."""
    before = csv.field_size_limit(limits.max_row_bytes)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _refuse_long_lines(name: str, data: bytes, limits: Limits) -> None:
    """Refuse a line that is longer than a row may be, in jumps from one line end to the last that is in reach."""
    start = 0
    while len(data) - start > limits.max_row_bytes:
        reach = start + limits.max_row_bytes + 1
        end = max(data.rfind(b"\n", start, reach), data.rfind(b"\r", start, reach))
        if end < 0:
            refuse_row(f"{name}, line {line_at(data, start)}", limits)
        start = end + 1


def _read_by_line(name: str, data: bytes, columns: Sequence[str], header_lines: int, more: int) -> RawFile | None:
    """Read a file in which every line is a row or blank, by Arrow's threads; None when it is not such a file.

    Every quote has to open a field, close one in the same line, or be written twice inside: what else may be done with
    quotes Arrow reads in its own way. With `more`, each row has so many empty fields behind those of the header.
    """
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    if data.count(b"\r") != data.count(b"\r\n") or not _quotes_fields_of_lines(characters, ends):
        return None
    begins = np.concatenate([[0], ends + 1])
    lengths = np.append(ends, len(data)) - begins
    is_blank = (lengths == 0) | ((lengths == 1) & (characters[np.minimum(begins, len(data) - 1)] == ord("\r")))
    lines = header_lines + 1 + np.flatnonzero(~is_blank[header_lines:])
    rows_below = pa.py_buffer(memoryview(data)[begins[header_lines] :])
    fields = [*columns, *(f"\0{number}" for number in range(more))]
    try:
        table, invalid = _parse(rows_below, fields, threads=True)
        if invalid and not more:  # only a single thread tells which rows they are
            table, invalid = _parse(rows_below, fields, threads=False)
    except pa.ArrowException:
        return None
    if table.num_rows + len(invalid) != len(lines):
        return None
    if (more and invalid) or any(_may_be_row(row, columns) for row in invalid):
        return None
    if not all(pc.all(pc.equal(column, "")).as_py() for column in table.columns[len(columns) :]):
        return None
    malformed = tuple(
        MalformedRow(row.number, int(lines[row.number - 1]), _rule(row.actual_columns, columns), row.text)
        for row in invalid
    )
    is_row = np.ones(len(lines), bool)
    is_row[[row.row - 1 for row in malformed]] = False
    return RawFile(name, table.select(columns), np.flatnonzero(is_row) + 1, lines[is_row], malformed)


def _may_be_row(row: arrow_csv.InvalidRow, columns: Sequence[str]) -> bool:
    """Whether a row may have nothing but empty fields behind those of the header."""
    return bool(row.actual_columns > len(columns)) and row.text.rstrip(' "\t\r\n').endswith(",")


def _quotes_fields_of_lines(characters: NDArray[np.uint8], ends: NDArray[np.int64]) -> bool:
    """Whether quotes stand round whole fields only, each within its line, or twice for one inside."""
    quotes = np.flatnonzero(characters == ord('"'))
    if not len(quotes):
        return True
    if len(quotes) % 2 or (np.searchsorted(quotes, ends) % 2).any():
        return False
    opening, closing = quotes[::2], quotes[1::2]
    twice = closing[:-1] + 1 == opening[1:]
    before = characters[np.maximum(opening - 1, 0)]
    after = characters[np.minimum(closing + 1, len(characters) - 1)]
    opens = (opening == 0) | np.isin(before, _BEFORE_FIELD)
    closes = (closing == len(characters) - 1) | np.isin(after, _BEHIND_FIELD)
    return bool((opens | np.append(False, twice)).all() and (closes | np.append(twice, False)).all())


def _parse(rows: pa.Buffer, columns: Sequence[str], *, threads: bool) -> tuple[pa.Table, list[arrow_csv.InvalidRow]]:
    invalid: list[arrow_csv.InvalidRow] = []

    def skip(row: arrow_csv.InvalidRow) -> str:
        if len(invalid) >= MAX_MALFORMED_ROWS:
            return "error"
        invalid.append(row)
        return "skip"

    table = arrow_csv.read_csv(
        pa.BufferReader(rows),
        read_options=arrow_csv.ReadOptions(column_names=columns, use_threads=threads, block_size=_BLOCK_BYTES),
        parse_options=arrow_csv.ParseOptions(invalid_row_handler=skip),
        convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )
    return table, invalid


def _rule(fields: int, columns: Sequence[str]) -> str:
    return TOO_FEW_FIELDS if fields < len(columns) else TOO_MANY_FIELDS


def _read_by_record(name: str, data: bytes, columns: Sequence[str], limits: Limits) -> RawFile:
    """Read any CSV file, with the line of every row, several times slower than `_read_by_line`."""
    tables, rows, lines, malformed = [], array("q"), array("q"), []
    records = Records(name, _text(data), limits)
    next(records)  # the header
    numbered = enumerate(records, start=1)
    while batch := list(islice(numbered, max(_FIELDS_AT_ONCE // len(columns), 1))):
        good = []
        for row, record in batch:
            fields = record.fields
            if fields is not None and _is_row(fields, columns):
                good.append(fields[: len(columns)])
                rows.append(row)
                lines.append(record.line)
            else:
                rule = STRAY_QUOTE if fields is None else _rule(len(fields), columns)
                malformed.append(MalformedRow(row, record.line, rule, record.text))
        if len(malformed) > MAX_MALFORMED_ROWS:
            raise ContractError(
                f"{name}: more than {MAX_MALFORMED_ROWS:,} rows have another number of fields than the header; "
                "send rows and header of one table."
            )
        by_column = zip(*good, strict=True) if good else ([] for _ in columns)
        tables.append(pa.table([pa.array(values, pa.string()) for values in by_column], names=list(columns)))
    return RawFile(
        name, pa.concat_tables(tables), np.array(rows, np.int64), np.array(lines, np.int64), tuple(malformed)
    )
