"""The local stand-in for Application Insights: a file with a line of JSON for each row of a table."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from credit_default.core.system_errors import explained
from credit_default.telemetry.records import EVENT_KEY, Record

_DIMENSIONS = b'"customDimensions": '


def _line(record: Record, timestamp: str) -> bytes:
    row = {
        "timestamp": timestamp,
        **record.row(),
        # Last, so that a key can be read back without reading the message.
        "customDimensions": {**record.custom_dimensions, EVENT_KEY: record.key},
    }
    return json.dumps(row).encode() + b"\n"


def _key(line: bytes) -> str | None:
    """Return the key of a whole line, None for one that a crash tore.

    A quotation mark inside a JSON string is escaped, so what `rpartition` finds is the column itself.
    """
    try:
        return str(json.loads(line.rpartition(_DIMENSIONS)[2][:-1])[EVENT_KEY])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


class TraceLog:
    """Appends records, each once by its key, however many processes write and whenever one of them dies.

    Keys are read from the file itself, from where the last reading ended: there is no index that could differ
    from it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(f"{path.name}.lock"))
        self._keys: set[str] = set()
        self._read_to = 0
        self._inode = 0

    def append(self, records: Sequence[Record]) -> int:
        """Write the records that are not there yet; return how many those were.

        The batch is written at once and is on the disk when this returns. A process that dies in between
        leaves at most one torn line; the next writer ends that line, and readers leave it out.
        """
        with explained(self.path):
            return self._append(records)

    def _append(self, records: Sequence[Record]) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                torn = self._catch_up(file)
                new = {record.key: record for record in reversed(records) if record.key not in self._keys}
                if not new:
                    return 0
                now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
                lines = b"".join(_line(record, now) for record in reversed(new.values()))
                _write(file, b"\n" + lines if torn else lines)
                os.fsync(file)
            finally:
                os.close(file)
        return len(new)

    def missing(self, records: Sequence[Record]) -> list[Record]:
        """Return the records that are not in the file yet: those still to be sent elsewhere."""
        if not self.path.exists():
            return list(records)
        with self._lock:
            file = os.open(self.path, os.O_RDONLY)
            try:
                self._catch_up(file)
            finally:
                os.close(file)
            return [record for record in records if record.key not in self._keys]

    def _catch_up(self, file: int) -> bool:
        """Read the keys that were appended since the last time; say whether the last line has no end."""
        status = os.fstat(file)
        if status.st_ino != self._inode or status.st_size < self._read_to:  # somebody put another file here
            self._keys.clear()
            self._read_to, self._inode = 0, status.st_ino
        unended = b""
        with os.fdopen(os.dup(file), "rb") as lines:
            lines.seek(self._read_to)
            for line in lines:
                unended = line if not line.endswith(b"\n") else b""
                if (key := _key(line.rstrip(b"\n"))) is not None:
                    self._keys.add(key)
                if not unended:
                    self._read_to += len(line)
        return bool(unended)


def _write(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]
