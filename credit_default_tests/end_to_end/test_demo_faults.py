"""The demo among the faults of a real home: bad days that have landed, another demo beside it, one that was killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from credit_default_tests.end_to_end.world import SMALL_DEMO, World, ago, new_clients, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def held(world: World) -> bool:
    """Whether a demo is playing."""
    try:
        with FileLock(world.home / "demo.lock", timeout=0):
            return False
    except Timeout:
        return True


def test_bad_days_are_named_and_left_out_and_a_second_demo_waits_for_its_turn(small):
    bad, good = ago(40), ago(41)
    small.land(bad, "clients.csv", "no,columns,of,ours\n1,2,3,4\n")
    small.land(good, "clients.csv", csv_text(new_clients(120)))
    for name in (b"[red]2026-02-30", b"2026-02-caf\xe9"):
        (small.landing / "inference/batch" / os.fsdecode(name)).mkdir()
    program = Path(sys.executable).with_name("credit-default")
    with small.started([program, *SMALL_DEMO], "first.log") as first:
        until(lambda: held(small), seconds=120, what="the first demo at work")
        second = small.command(*SMALL_DEMO)
        assert second.returncode == 1
        assert second.stderr.startswith(f"Error: A demo is playing in {small.home}; wait for its end, ")
        assert "Traceback" not in second.stderr
        assert first.wait(300) == 1
    told = (small.home / "first.log").read_text()
    assert "Traceback" not in told
    assert "\x1b" not in told, "no colours where there is no terminal"
    assert f"{bad}: inference_data: " in told
    assert "inference/batch/[red]2026-02-30 is left out: not a day; " in told
    assert r"inference/batch/2026-02-caf\xe9 is left out: " in told
    left_out = next(line for line in told.splitlines() if line.startswith("Left out, for the reasons above: "))
    assert f"landing/inference/batch/{bad}" in left_out
    assert good not in left_out
    assert len(small.predictions(good)) == 120, "the days beside it go on"
    assert f"\n  {good} " in told.partition("\nDays")[2], "the summary is shown all the same"
    assert "\nDone in " in told
    assert " s, but for what was left out. What to open next" in told
    # The last words open this home from this folder, which is not the one that is opened without them.
    assert f"  CREDIT_DEFAULT_HOME={small.home} make dev\n" in told


def test_a_demo_that_was_killed_is_not_playing_any_more(small):
    small.land(ago(40), "clients.csv", csv_text(new_clients(120)))
    program = Path(sys.executable).with_name("credit-default")
    before = len(small.runs())
    with small.started([program, *SMALL_DEMO], "killed.log") as demo:
        until(lambda: len(small.runs()) > before, seconds=120, what="a run of the demo")
        assert held(small)
        os.kill(demo.pid, signal.SIGKILL)
        demo.wait()
        assert not held(small)
        # The run has a process of its own, which goes on.
        until(lambda: all(run.is_finished for run in small.runs()), seconds=240, what="the end of its run")
