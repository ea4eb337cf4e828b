"""What a job printed, passed on as it is written."""

from __future__ import annotations

import codecs
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from credit_default.resources.azure.jobs.history import CHUNK_BYTES, ENDED, RunHistory

#: Azure keeps what the program printed apart from what its own machinery logs. In the order in which it is read.
_PRINTED = ("user_logs/",)
#: The same for the parallel run of a batch deployment: how many files were done, what the scoring script printed, where
#: it raised, and in the end the errors in short. Source:
#: https://learn.microsoft.com/azure/machine-learning/how-to-troubleshoot-batch-endpoints
_PRINTED_BY_PARALLEL_RUN = (
    "logs/job_progress_overview",
    "logs/user/stdout/",
    "logs/user/stderr/",
    "logs/user/error/",
    "logs/user/error.txt",
)
_LAST_LINES = 15


class UserLogs:
    """Reads on where it stopped, and writes to this process's own output, which Dagster shows with the run."""

    def __init__(self, history: RunHistory, label: str = "", printed: Sequence[str] = _PRINTED) -> None:
        self._history = history
        self._printed = printed
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
        for folder in self._printed:
            for name in sorted(name for name in logs if name.startswith(folder)):
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


class ChildLogs:
    """The same for a job whose own logs are empty: the jobs below it are what prints."""

    def __init__(self, history: RunHistory, logs_of: Callable[[str], UserLogs]) -> None:
        self._history = history
        self._logs_of = logs_of
        self._children: dict[str, UserLogs] = {}
        self._read: set[str] = set()
        self._failed: str | None = None

    def forward(self, job: str) -> bool:
        """Write what the children added."""
        more = False
        for child in self._history.children(job):
            if child.name in self._read:
                continue
            if child.name not in self._children:
                self._children[child.name] = self._logs_of(child.name)
            logs = self._children[child.name]
            if logs.forward(child.name):
                more = True
            elif child.status in ENDED:
                self._read.add(child.name)
                logs.finish()
            if child.status == "Failed" and self._failed is None:
                self._failed = child.name
        return more

    def finish(self) -> None:
        """Write lines that never got an end."""
        for logs in self._children.values():
            logs.finish()

    def last_words(self) -> str:
        """Return the last lines of the first child that failed."""
        return self._children[self._failed].last_words() if self._failed else ""


def trial_logs(history: RunHistory) -> ChildLogs:
    """Return the logs of a search: each line with the number that Azure gave the trial."""
    return ChildLogs(history, lambda trial: UserLogs(history, f"trial {trial.rpartition('_')[2]}: "))


def invocation_logs(history: RunHistory) -> ChildLogs:
    """Return the logs of an invocation of a batch endpoint, which is a pipeline of one step: the parallel run."""
    return ChildLogs(history, lambda _: UserLogs(history, printed=_PRINTED_BY_PARALLEL_RUN))
