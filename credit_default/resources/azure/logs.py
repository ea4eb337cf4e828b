"""What a job printed, passed on as it is written."""

from __future__ import annotations

import codecs
import sys
from collections import deque
from collections.abc import Mapping

from credit_default.resources.azure.history import RunHistory

#: Azure keeps what the program printed apart from what its own machinery logs.
_PRINTED = "user_logs/"
_LAST_LINES = 15


class UserLogs:
    """Reads on where it stopped, and writes to this process's own output, which Dagster shows with the run."""

    def __init__(self, history: RunHistory) -> None:
        self._history = history
        self._read_to: dict[str, int] = {}
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._unended: dict[str, str] = {}
        self._last: deque[str] = deque(maxlen=_LAST_LINES)

    def forward(self, logs: Mapping[str, str]) -> None:
        """Write what was added to the logs, each by its signed address, since the last time; whole lines."""
        for name in sorted(logs):
            if name.startswith(_PRINTED):
                content = self._history.read(logs[name], self._read_to.get(name, 0))
                self._read_to[name] = self._read_to.get(name, 0) + len(content)
                self._write(name, content)

    def finish(self) -> None:
        """Write lines that never got an end."""
        for name in list(self._unended):
            self._write(name, b"\n" if self._unended[name] else b"")

    def last_words(self) -> str:
        """Return the last lines."""
        return "\n".join(self._last)

    def _write(self, name: str, content: bytes) -> None:
        decoder = self._decoders.setdefault(name, codecs.getincrementaldecoder("utf-8")("replace"))
        *lines, rest = (self._unended.get(name, "") + decoder.decode(content)).split("\n")
        self._unended[name] = rest
        for line in lines:
            self._last.append(line)
            sys.stdout.write(f"{line}\n")
