"""Runs a development server as a child, and ends with everything that it started.

`dg dev` ends its web server, daemon and code servers on SIGINT only: SIGTERM leaves them behind, and a shell starts it
in the background with SIGINT ignored. Here both signals end all of it, within `GRACE_PERIOD` and a few seconds. Runs in
progress are interrupted and their steps stopped, as by Ctrl-C in a terminal; the daemon retries such runs when it is
started again. All of it also ends when the server itself does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from credit_default.errors import InputError

#: Seconds for everything to end by itself; what is left then is killed.
GRACE_PERIOD = 8.0
#: Seconds between a server that ended by itself and the end of the rest. What kills all of this does so in less, and
#: then steps are to live on: the next server finds them.
_PAUSE = 1.0
_POLL_INTERVAL = 0.2
_KILL_TIMEOUT = 3.0
_ON_LINUX = sys.platform == "linux"
#: Options of prctl(2).
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def must_be_free(port: int) -> None:
    """Refuse a port that is taken: daemon and schedules would run without their UI.

    Raises
    ------
    InputError
        Another program listens on it, or this user may not.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that has just ended holds nothing
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(
                f"Port {port} of 127.0.0.1 cannot be used ({os.strerror(error.errno or errno.EADDRINUSE)}); end what "
                "listens there, or name another one with --port"
            ) from None


def run(command: Sequence[str], *, folder: Path | None = None) -> int:
    """Run a server until it ends or SIGINT, SIGTERM or SIGHUP comes; returns the exit code for this process.

    Parameters
    ----------
    folder
        Folder that it runs in; the current one by default.
    """
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Who starts this with SIGHUP ignored (nohup) wants it to outlive a terminal. SIGINT is ignored in the
        # background of a shell, which asks for nothing of the kind.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda got, _: received.append(got))
    if _ON_LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # In a group of its own: Ctrl-C in a terminal comes to this process only, which passes it on once.
    server = subprocess.Popen(  # noqa: S603 - our own command
        command,
        cwd=folder,
        start_new_session=True,
        preexec_fn=_end_with_parent if _ON_LINUX else None,  # noqa: PLW1509 - there is one thread
    )
    while not received and server.poll() is None:
        _reap_orphans(server.pid)
        time.sleep(_POLL_INTERVAL)
    if not received:
        time.sleep(_PAUSE)
    _end(server)
    return 128 + received[0] if received else _exit_code(server.returncode)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Interrupt the server and all that is in its group, as a terminal does; after a while kill what is left.

    Steps have groups of their own and are stopped by their runs.
    """
    started = set(_descendants())  # where orphans are not adopted, they are known from here
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGINT)
    deadline = time.monotonic() + GRACE_PERIOD
    while (left := _alive({*started, *_descendants()})) and time.monotonic() < deadline + _KILL_TIMEOUT:
        if time.monotonic() > deadline:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        server.poll()
        _reap_orphans(server.pid)
        time.sleep(_POLL_INTERVAL)
    server.poll()


def _descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _reap_orphans(server: int) -> None:
    """Reap adopted processes that ended, which would stay zombies."""
    if not _ON_LINUX:
        return
    with suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != server:
            os.waitpid(ended.si_pid, 0)


def _exit_code(returncode: int | None) -> int:
    if returncode is None:
        return 1
    return returncode if returncode >= 0 else 128 - returncode


def _end_with_parent() -> None:
    """Have the server interrupted when this process is killed."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _prctl(option: int, value: int) -> None:
    """Set a property of this process. A kernel that lacks it changes only how orphans are found."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
