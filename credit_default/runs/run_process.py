"""A run in a process of its own that is always waited for: stopped by a signal, it may have jobs on Azure to cancel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import dagster as dg

#: By which a process finds the run that it started.
_TAG = ".credit_default/launched"
#: What ends this process, and what the run's process is told then: Dagster knows the first two only.
_PASSED_ON = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGHUP: signal.SIGTERM,
}
_STOPPING = b"Stopping. What the run has started is cancelled first, which may take some minutes.\n"
_STDERR = 2


class RunProcess:
    """A process that runs one job.

    It has a session of its own: Ctrl-C in a terminal reaches this process only, which passes it on, once.
    """

    def __init__(self, instance: dg.DagsterInstance, command: Sequence[str], mark: str) -> None:
        self._instance = instance
        self._command = [*command, "--tag", f"{_TAG}={mark}"]
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None
        self._told = False
        self.stopped_by: signal.Signals | None = None

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than well."""
        return self._process is None or self._process.returncode != 0

    def start(self, log: Path, environment: Mapping[str, str] | None) -> None:
        """Start the process; what it prints is added to the log."""
        with log.open("ab") as stream:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._command, env=environment, stdout=stream, stderr=stream, start_new_session=True
            )

    def run(self) -> dg.DagsterRun | None:
        """Return the run as it is now; None when there is none yet."""
        found = self._instance.get_runs(dg.RunsFilter(tags={_TAG: self._mark}), limit=1)
        return next(iter(found), None)

    def ended(self, *, within: float) -> bool:
        """Wait for the end, but no longer than so many seconds; whether it has come."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        if self._process.returncode is not None:
            return True
        if self.stopped_by is not None and not self._told:
            self._told = True
            self._stop(self._process, self.stopped_by)
        return False

    def hear(self, number: int, _: FrameType | None) -> None:
        """Take a signal; a second one changes nothing, since the job on Azure would run on."""
        if self.stopped_by is None:
            self.stopped_by = signal.Signals(number)
            with suppress(OSError):
                os.write(_STDERR, _STOPPING)  # print() may be at work where the signal came

    def _stop(self, process: subprocess.Popen[bytes], by: signal.Signals) -> None:
        """Cancel the run: unless that was requested, Dagster takes a signal for a failure, which the daemon retries."""
        try:
            run = self.run()
            if run is not None and not run.is_finished:
                self._instance.report_run_canceling(run, f"Stopped by {by.name}.")
        finally:
            process.send_signal(_PASSED_ON[by])

    def settle(self) -> None:
        """Say that the run was cancelled, if its process had no time to say so itself."""
        run = self.run()
        if run is not None and run.status is dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceled(run)


@contextmanager
def running(
    instance: dg.DagsterInstance,
    job: str,
    arguments: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunProcess]:
    """Run a job by `credit_default.runs.run_job` in a process of its own, and wait for its end.

    Parameters
    ----------
    arguments
        Of `run_job`.
    log
        File that everything which the process prints is added to.
    environment
        This process's by default.

    Raises
    ------
    SystemExit
        This process was told to end, and the run has ended: 130 after SIGINT, 143 after SIGTERM.
    """
    command = [sys.executable, "-m", "credit_default.runs.run_job", job, *arguments]
    process = RunProcess(instance, command, uuid.uuid4().hex)
    with _heard_by(process):
        process.start(log, environment)
        try:
            yield process
        finally:
            while not process.ended(within=0.5):
                pass
    if process.stopped_by is not None:
        process.settle()
        raise SystemExit(128 + process.stopped_by)


@contextmanager
def _heard_by(process: RunProcess) -> Iterator[None]:
    """Let signals be heard, but for those that whoever started us has switched off, as `nohup` does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python hears signals in the main thread only
        return
    before = {number: signal.getsignal(number) for number in _PASSED_ON}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for number in heard:
            signal.signal(number, process.hear)
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
