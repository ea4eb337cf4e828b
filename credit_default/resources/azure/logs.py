"""What a job printed, passed on as it is written."""

from __future__ import annotations

import codecs
import sys
from collections import deque
from collections.abc import Mapping

from credit_default.resources.azure.history import CHUNK_BYTES, RunHistory

#: Azure keeps what the program printed apart from what its own machinery logs.
_PRINTED = "user_logs/"
_LAST_LINES = 15
_ENDED = frozenset({"Completed", "Failed", "Canceled"})


class UserLogs:
    """Reads on where it stopped, and writes to this process's own output, which Dagster shows with the run."""

    def __init__(self, history: RunHistory, label: str = "") -> None:
        self._history = history
        #: Comes before each line, to tell apart what prints at the same time.
        self._label = label
        self._read_to: dict[str, int] = {}
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._unended: dict[str, str] = {}
        self._last: deque[str] = deque(maxlen=_LAST_LINES)

    def forward(self, job: str) -> bool:
        """Write what a job added to its logs since the last time, whole lines; say whether there is more to read."""
        return self._forward(self._history.details(job).logs)

    def finish(self) -> None:
        """Write lines that never got an end."""
        for name in list(self._unended):
            self._write(name, b"\n" if self._unended[name] else b"")

    def last_words(self) -> str:
        """Return the last lines."""
        return "\n".join(self._last)

    def _forward(self, logs: Mapping[str, str]) -> bool:
        more = False
        for name in sorted(logs):
            if name.startswith(_PRINTED):
                content = self._history.read(logs[name], self._read_to.get(name, 0))
                self._read_to[name] = self._read_to.get(name, 0) + len(content)
                self._write(name, content)
                more = more or len(content) == CHUNK_BYTES
        return more

    def _write(self, name: str, content: bytes) -> None:
        decoder = self._decoders.setdefault(name, codecs.getincrementaldecoder("utf-8")("replace"))
        *lines, rest = (self._unended.get(name, "") + decoder.decode(content)).split("\n")
        self._unended[name] = rest
        for line in lines:
            self._last.append(line)
            sys.stdout.write(f"{self._label}{line}\n")


class TrialLogs:
    """The same for a search, whose own logs are empty: its trials are what prints."""

    def __init__(self, history: RunHistory) -> None:
        self._history = history
        self._trials: dict[str, UserLogs] = {}
        self._read: set[str] = set()
        self._failed: str | None = None

    def forward(self, job: str) -> bool:
        """Write what the trials added, each line with the number that Azure gave the trial."""
        more = False
        for trial in self._history.children(job):
            if trial.name in self._read:
                continue
            number = trial.name.rpartition("_")[2]
            logs = self._trials.setdefault(trial.name, UserLogs(self._history, f"trial {number}: "))
            if logs.forward(trial.name):
                more = True
            elif trial.status in _ENDED:
                self._read.add(trial.name)
                logs.finish()
            if trial.status == "Failed" and self._failed is None:
                self._failed = trial.name
        return more

    def finish(self) -> None:
        """Write lines that never got an end."""
        for logs in self._trials.values():
            logs.finish()

    def last_words(self) -> str:
        """Return the last lines of the first trial that failed."""
        return self._trials[self._failed].last_words() if self._failed else ""
