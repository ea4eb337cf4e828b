"""Records of a CSV file one by one, by the grammar of RFC 4180, with the line where each begins."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from credit_default.core.files.limits import Limits
from credit_default.core.files.raw_file import refuse_row
from credit_default.errors import UnreadableFile


@dataclass(frozen=True)
class Record:
    """What stands between two ends of rows; ``fields`` is None where a field goes on behind its closing quote."""

    line: int
    fields: list[str] | None
    text: str


class Records:
    """Iterates over the records that are not blank.

    A field that goes on behind its closing quote makes a record without fields when it is of one line. Else the file is
    refused, since the quote may be the first of a field further down.

    Parameters
    ----------
    lines
        Of the file, with what ends them.
    """

    def __init__(self, name: str, lines: Iterable[str], limits: Limits) -> None:
        self._name = name
        self._limits = limits
        self._begin = 1
        self._seen: list[str] = []
        self._ended = False
        self._reader = csv.reader(self._remembered(lines), strict=True)

    @property
    def last_line(self) -> int:
        """Return the number of the last line that was read."""
        return self._reader.line_num

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        fields: list[str] | None = []
        while fields == []:
            self._begin = self.last_line + 1
            self._seen.clear()
            try:
                fields = next(self._reader)
            except csv.Error:
                if self._ended or len(self._seen) > 1:
                    self._refuse()
                fields = None
        return Record(self._begin, fields, "".join(self._seen).rstrip("\r\n"))

    def _remembered(self, lines: Iterable[str]) -> Iterator[str]:
        size = 0
        for line in lines:
            size = size + len(line) if self._seen else len(line)
            if size > self._limits.max_row_bytes:
                refuse_row(f"{self._name}, line {self._begin}", self._limits)
            self._seen.append(line)
            yield line
        self._ended = True  # which nobody asks for but the reader, inside a field that is never closed

    def _refuse(self) -> None:
        raise UnreadableFile(
            f"{self._name}, line {self._begin}: a quoted field that begins in this row is not closed as it should be; "
            'expected "..." with quotes inside written twice.'
        ) from None
