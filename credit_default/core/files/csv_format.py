"""Recognises text that is no comma-separated UTF-8 with one header, and says what it is and what to do.

What is seen is named (an encoding, a delimiter, a line), never what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from credit_default.core.schema import FEATURE_NAMES, ID_COLUMNS, TARGET
from credit_default.errors import ContractError, UnreadableFile

#: How many lines are looked through for the header.
_LINES = 20
#: Enough of a file to see how its characters are written.
_SAMPLE = 1024
_MOSTLY = 0.9
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_KNOWN = {name.lower() for name in (*FEATURE_NAMES, *ID_COLUMNS, TARGET)}
_QUOTED = re.compile(r'"[^"]*"')
_SEPARATOR_LINE = re.compile(r"\"?sep=(.?)\"?", re.IGNORECASE | re.DOTALL)
#: Longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_KINDS = {
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\0": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by Zstandard",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF",
}
_AS_UTF8 = 'save it as UTF-8 (in Excel: "CSV UTF-8 (comma delimited)").'


def refuse_other_formats(name: str, data: bytes) -> None:
    """Raise `UnreadableFile` for bytes that are no UTF-8 text."""
    for magic, kind in _KINDS.items():
        if data.startswith(magic):
            raise UnreadableFile(f"{name}: is {kind} by its first bytes; save it as CSV, or give it its own suffix.")
    encoding = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    encoding = encoding or _without_mark(data[:_SAMPLE])
    if encoding:
        raise UnreadableFile(f"{name}: is {encoding}, expected UTF-8; {_AS_UTF8}")
    if b"\0" in data[:_SAMPLE] or data.endswith(b"\0"):
        raise UnreadableFile(f"{name}: holds zero bytes, so it is no text, or was not sent whole; send it again.")
    if data.isascii():
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{name}, line {line_at(data, error.start)}: is not UTF-8; {_AS_UTF8}") from None


def line_at(data: bytes, position: int) -> int:
    """Return the number of the line that a position is in, whatever ends the lines."""
    return (data.count(b"\n", 0, position) or data.count(b"\r", 0, position)) + 1


def _without_mark(sample: bytes) -> str | None:
    """Tell an encoding whose characters have several bytes by where the zeros are, in text that is mostly Latin."""
    for width, encoding in ((4, "UTF-32"), (2, "UTF-16")):
        characters = len(sample) // width
        zeros = [sample[place : characters * width : width].count(0) for place in range(width)]
        for low, high in ((zeros[0], zeros[1:]), (zeros[-1], zeros[:-1])):
            if characters > 1 and low == 0 and min(high) >= _MOSTLY * characters:
                return encoding
    return None


def refuse_other_layouts(name: str, lines: Sequence[str], header: Sequence[str], first: Sequence[str]) -> None:
    """Raise `ContractError` for a table with another delimiter, or with another line in the place of the header.

    Parameters
    ----------
    lines
        The first lines of the file, without what ends them.
    header, first
        Fields of the header and of the first row.
    """
    place = next((number for number, line in enumerate(lines) if line.strip()), 0)
    separator = _SEPARATOR_LINE.fullmatch(lines[place])
    if separator:
        seen = _DELIMITERS.get(separator[1])
        then = f", and columns separated by {seen}; separate them by commas and" if seen != "commas" and seen else ";"
        raise ContractError(f"{name}: begins with a line sep= that only Excel understands{then} remove that line.")
    if _known(header):
        if _known(first) > 1:
            raise ContractError(f"{name}: has a second header below the first; remove one of the two lines.")
        return
    number, delimiter = _find_header(lines[place : place + _LINES])
    other = f"columns are separated by {_DELIMITERS[delimiter]}, expected commas"
    if number:
        seen = f" and {other}" if delimiter != "," else ""
        mend = "remove what is above it" + (" and separate columns by commas" if delimiter != "," else "")
        raise ContractError(f"{name}: the names of the columns are in line {place + number + 1}{seen}; {mend}.")
    if delimiter != ",":
        raise ContractError(f'{name}: {other}; save it as "CSV (comma delimited)", with a point in decimal numbers.')


def _find_header(lines: Sequence[str]) -> tuple[int, str]:
    """Return the number of the line that looks like our header, from 0, and its delimiter.

    Where none does it is the first, with the delimiter that it has most of.
    """
    for number, line in enumerate(lines):
        counts = {delimiter: _known(line.split(delimiter)) for delimiter in _DELIMITERS}
        delimiter = max(counts, key=counts.__getitem__)
        if counts[delimiter] > 1:
            return number, delimiter
    return 0, max(_DELIMITERS, key=_QUOTED.sub("", lines[0]).count)


def _known(fields: Sequence[str]) -> int:
    """Count the fields that are names of columns of ours, however they are written."""
    return sum(field.strip().strip("\"'").lower() in _KNOWN for field in fields)


def count_columns(line: str) -> int:
    """Count the columns of a line of text without making them; those inside quotes are none."""
    return _QUOTED.sub("", line).count(",") + 1
