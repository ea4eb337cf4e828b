"""Processes that `credit-default dev` starts end with it, however stubborn, and however one of the two dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from credit_default_tests.end_to_end.world import processes_with, until

#: The real thing, with less patience.
SUPERVISOR = """
import sys
from credit_default.cli import dev_server
dev_server.GRACE_PERIOD, dev_server._PAUSE = 1.0, 0.1
sys.exit(dev_server.run([sys.executable, "-c", *sys.argv[1:]]))
"""
#: Starts one that is in its group, and one that is in none of ours, heeds no signal, and whose parent has left it.
SERVER = """
import os, signal, subprocess, sys, time
from pathlib import Path
stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
subprocess.run(["sh", "-c", 'setsid "$0" "$@" & exit', sys.executable, "-c", stubborn])
time.sleep(0.3)
Path(sys.argv[1]).write_text(str(os.getpid()))
try:
    time.sleep(600)
except KeyboardInterrupt:
    Path(sys.argv[1]).write_text("interrupted")
"""


class Started:
    """A running server with its supervisor."""

    def __init__(self, folder: Path, trap: str) -> None:
        self.mark = uuid.uuid4().hex
        self.told = folder / "told"
        command = ["sh", "-c", f'{trap} exec "$0" "$@"', sys.executable, "-c", SUPERVISOR, SERVER, str(self.told)]
        self.supervisor = subprocess.Popen(command, env={**os.environ, "MARK_OF_A_TEST": self.mark})
        until(
            lambda: self.told.exists() and self.told.read_text(), seconds=30, what="the server has started", every=0.05
        )
        assert len(processes_with(self.mark)) == 4


@pytest.fixture(params=[""])
def started(tmp_path, request) -> Iterator[Started]:
    made = Started(tmp_path, request.param)
    yield made
    for pid in processes_with(made.mark):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    made.supervisor.wait()


@pytest.mark.parametrize("started", ['trap "" INT;'], indirect=True)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_of_it_also_one_that_the_shell_has_ignored(started, how):
    started.supervisor.send_signal(how)
    assert started.supervisor.wait(10) == 128 + how
    assert processes_with(started.mark) == {}
    assert started.told.read_text() == "interrupted"


@pytest.mark.parametrize("started", ['trap "" HUP;'], indirect=True)
def test_nohup_is_respected(started):
    started.supervisor.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert started.supervisor.poll() is None


def test_the_rest_ends_with_the_server_and_its_end_is_passed_on(started):
    os.kill(int(started.told.read_text()), signal.SIGKILL)
    assert started.supervisor.wait(10) == 128 + signal.SIGKILL
    assert processes_with(started.mark) == {}


def test_a_server_whose_supervisor_is_killed_is_interrupted(started):
    started.supervisor.kill()
    until(lambda: started.told.read_text() == "interrupted", seconds=10, what="the server hears of it", every=0.05)
