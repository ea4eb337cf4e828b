"""A job on local compute: a process in a session of its own, and a folder that outlives whoever started it.

::

    jobs/<name>-<attempt>/
        lock            held by the process as long as it, or a child of it, lives
        pid             of the process, which is also its process group
        messages.jsonl  what the step reported
        stdout, stderr  what it printed
        output/         what it made
        settled         present once everything it made was published and recorded

Because the kernel drops the lock with the process, nobody has to guess from process ids whether it still runs.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path

from credit_default.pipes.messages import MEMORY_HINT

#: Writes its own process id, before it becomes the step, so that no crash can come in between.
_LAUNCH = 'echo $$ > "$0" && exec "$@"'
#: How a shell tells that a program was killed by SIGKILL.
_KILLED_IN_A_SHELL = 128 + signal.SIGKILL
#: Signals by which somebody asks a process to end.
_REQUESTS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})


class JobState(Enum):
    """Where a job is in its life."""

    RUNNING = "running"
    COMPLETED = "completed, and not yet dealt with"
    FAILED = "failed"
    SETTLED = "settled"


class Job:
    """One attempt to run a step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._offsets: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The job's name, attempt included."""
        return self.folder.name

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1."""
        return int(self.name.rpartition("-")[2])

    @property
    def output(self) -> Path:
        """Where the step writes."""
        return self.folder / "output"

    @property
    def messages(self) -> Path:
        """Where the step reports."""
        return self.folder / "messages.jsonl"

    @classmethod
    def attempts(cls, jobs: Path, name: str) -> list[Job]:
        """Return every attempt at a job, oldest first."""
        found = [path for path in jobs.glob(f"{name}-*") if path.name.removeprefix(f"{name}-").isdecimal()]
        return sorted((cls(path) for path in found), key=lambda job: job.attempt)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the process in its own session, with the lock in its hands."""
        self.output.mkdir(parents=True)
        self.messages.touch()
        lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with (self.folder / "stdout").open("wb") as stdout, (self.folder / "stderr").open("wb") as stderr:
                self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                    ["/bin/sh", "-c", _LAUNCH, str(self.folder / "pid"), *command],
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    pass_fds=(lock,),
                    start_new_session=True,
                )
        finally:
            os.close(lock)

    def alive(self) -> bool:
        """Whether the process, or a child of it, still lives."""
        if self._process is not None:
            self._process.poll()  # a dead child stays a zombie until it is asked for
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def state(self, *, closed_well: bool) -> JobState:
        """Return the state; ``closed_well`` says whether its messages end with a good close."""
        if (self.folder / "settled").exists():
            return JobState.SETTLED
        if self.alive():
            return JobState.RUNNING
        return JobState.COMPLETED if closed_well else JobState.FAILED

    def settle(self) -> None:
        """Record that everything this job made was dealt with; what it made is no longer needed."""
        (self.folder / "settled").touch()
        shutil.rmtree(self.output, ignore_errors=True)

    def new_lines(self, name: str) -> Iterator[str]:
        """Yield the whole lines that were added to a file since the last call."""
        try:
            stream = (self.folder / name).open("rb")
        except FileNotFoundError:
            return
        with stream:
            stream.seek(self._offsets.get(name, 0))
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offsets[name] = self._offsets.get(name, 0) + len(line)
                yield line.decode("utf-8", "replace")

    def cancel(self, grace_seconds: float) -> None:
        """Stop the whole process group: ask first, then insist, and come back when it is gone."""
        for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 30.0)):
            deadline = time.monotonic() + patience
            self._signal(number)
            while self.alive():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            else:
                return

    def _signal(self, number: signal.Signals) -> None:
        try:
            group = int((self.folder / "pid").read_text())
            os.killpg(group, number)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            pass  # not yet begun, or already gone: `alive` decides

    def seconds_since_start(self) -> float:
        """Return how long ago its process was started, by whichever run."""
        return max(time.time() - (self.folder / "lock").stat().st_mtime, 0.0)

    def was_killed(self) -> bool:
        """Whether something else than the step itself ended a process that did not say how it ended.

        Nobody knows the exit code of a process that another run started: a Python program that ends by itself, or is
        asked to end, says so.
        """
        code = self._exit_code()
        return code is None or code == _KILLED_IN_A_SHELL or (code < 0 and -code not in _REQUESTS)

    def how_it_ended(self) -> str:
        """Tell the end of a process that did not tell it itself."""
        code = self._exit_code()
        if code is None:
            return f"its process ended without saying so, as one does that is killed; {MEMORY_HINT}"
        if code == _KILLED_IN_A_SHELL:
            return f"its process ended with exit code {code}, which stands for SIGKILL; {MEMORY_HINT}"
        if code < 0:
            hint = f"; {MEMORY_HINT}" if -code == signal.SIGKILL else ""
            return f"its process was killed by {signal.Signals(-code).name}{hint}"
        return f"its process ended with exit code {code}"

    def _exit_code(self) -> int | None:
        return self._process.poll() if self._process is not None else None

    def last_words(self, lines: int = 15) -> str:
        """Return the end of what it printed on stderr."""
        try:
            text = (self.folder / "stderr").read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
