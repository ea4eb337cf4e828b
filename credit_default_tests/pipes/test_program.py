"""The end of a step's process: nothing is lost, and nothing is taken apart."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from credit_default.pipes.program import run
import atexit, threading, time
class Module:
    def __del__(self):
        print("taken apart")
module = Module()
atexit.register(print, "handler called")
def main():
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread done"))).start()
    print("main done")
    {end}
run(main)
"""


def execute(end: str) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(end=end)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=buffered)


def test_a_step_that_is_done_ends_once_threads_and_handlers_have_and_all_is_written():
    done = execute("pass")
    assert done.stdout.splitlines() == ["main done", "thread done", "handler called"]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("end", "status", "message"),
    [
        ("raise ValueError('broken')", 1, "ValueError: broken"),
        ("sys.exit('Error: refused')", 1, "Error: refused"),
        ("sys.exit(2)", 2, ""),
    ],
)
def test_a_step_that_fails_ends_as_python_does(end, status, message):
    done = execute(end)
    assert done.returncode == status
    assert message in done.stderr
    assert done.stdout.splitlines() == ["main done", "thread done", "handler called", "taken apart"]
