"""The program of a job: ``bash -c command`` in a process group of its own, which ends as a whole."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Program:
    """A running command. What it prints, on either stream, goes to one file in the order in which it came.

    Unless ``errors`` is another file, which then gets what it prints on its standard error.
    """

    def __init__(
        self, command: str, *, folder: Path, environment: Mapping[str, str], log: Path, errors: Path | None = None
    ) -> None:
        self.status: int | None = None
        with log.open("ab") as stream, (errors or log).open("ab") as error_stream:
            self._process = subprocess.Popen(
                ["/bin/bash", "-c", command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=error_stream,
                start_new_session=True,
            )

    def wait(self, seconds: float) -> int | None:
        """Wait that long at most; return the exit status as a shell tells it, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            self._end()
        return self.status

    def kill(self) -> None:
        """Kill the whole group at once, as a node that goes away does."""
        if self.status is None:
            self._kill_group()
            self._process.wait()
            self._end()

    def stop(self, seconds: float) -> None:
        """Ask the program to end, as a container is asked, and kill the group when it takes longer than this."""
        if self.status is None:
            self._process.terminate()
            self.wait(seconds)
            self.kill()

    def _end(self) -> None:
        if self.status is None:
            self._kill_group()  # a child that it left behind goes with it
            code = self._process.returncode
            self.status = 128 - code if code < 0 else code

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
