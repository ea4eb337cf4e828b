"""The real daemon beside a landing folder in which days come, change, go and kill: every other day is scored."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest

from credit_default_tests.end_to_end.server import Daemon
from credit_default_tests.end_to_end.world import World, ago, days_from, new_clients, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROWS = 30
#: In a row, so that one run makes them all.
GOOD, CHANGING, EMPTIED, KILLER, NO_TEXT = ARRIVING = days_from(ago(20), 5)
LINK = ago(10)
#: A name as archives of Windows and SFTP leave it: no UTF-8.
LATIN = os.fsdecode(b"kund\xe9n.csv")


class Killer(threading.Thread):
    """Kills, as the system would, each process of a step that works on a day; says in how many it did."""

    def __init__(self, world: World, step: str, day: str) -> None:
        super().__init__(daemon=True)
        self._world, self._step, self._day = world, step, day
        self._over = threading.Event()
        self.killed: dict[str, list[str]] = {}

    def run(self) -> None:
        while not self._over.wait(0.02):
            for folder in self._world.job_folders(self._step):
                with suppress(OSError, ValueError):
                    self._look(folder)

    def _look(self, folder: Path) -> None:
        if folder.name in self.killed or (folder / "settled").exists():
            return
        pid = int((folder / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        days = command[command.index(b"--days") + 1].decode().split(",")
        if self._day in days and os.fsencode(folder / "output") in command:
            os.kill(pid, signal.SIGKILL)
            self.killed[folder.name] = days

    def stop(self) -> None:
        self._over.set()
        self.join()


@pytest.fixture(scope="module")
def world(small_home, tmp_path_factory) -> Iterator[World]:
    """A home with a live model, whose scored days were archived: their landing folders are gone."""
    made = small_home.copy_to(tmp_path_factory.mktemp("landing") / "home")
    made.archive_landing()
    made.environment["CREDIT_DEFAULT_RETRY_DELAY"] = "1"
    with Daemon(made).running():
        yield made


def settled(world: World, count: int) -> dg.DagsterRun:
    """Wait until so many runs of the daemon have ended; returns the newest."""

    def look() -> list[dg.DagsterRun]:
        runs = [run for run in world.runs("score_batch") if run.tags.get("dagster/sensor_name") == "inference_landing"]
        return runs if len(runs) >= count and all(run.is_finished for run in runs) else []

    runs = until(look, seconds=300, what=f"the end of {count} run(s)", every=0.5)
    assert len(runs) == count
    return runs[0]


def rows(world: World, day: str) -> int:
    return world.predictions(day).num_rows


def skip_reasons(world: World) -> str:
    """All that ticks of the sensor said, none of which failed."""
    (state,) = [one for one in world.instance.all_instigator_state() if one.instigator_name == "inference_landing"]
    ticks = world.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=500)
    assert not [tick.error for tick in ticks if tick.is_failure]
    return "\n".join(tick.skip_reason or "" for tick in ticks)


def test_days_come_change_go_and_kill_and_take_no_other_along(world):
    batch = world.landing / "inference" / "batch"
    killer = Killer(world, "inference-data", KILLER)
    killer.start()
    before = set(world.made_days("batch_predictions"))

    # A link and a name that is no text lie there first, then five days arrive; one kills its step.
    staged = world.home / "staged"
    for day in ARRIVING:
        (staged / day).mkdir(parents=True)
        (staged / day / (LATIN if day == NO_TEXT else "a.csv")).write_text(csv_text(new_clients(ROWS)))
    (batch / LINK).symlink_to(batch / LINK)
    Path(os.fsdecode(os.fsencode(batch) + b"/caf\xe9")).mkdir()
    Path(os.fsdecode(os.fsencode(batch) + b"/caf\xe9/x.csv")).write_text("client_id\n")
    for folder in staged.iterdir():
        os.utime(folder)
    for day in ARRIVING:
        (staged / day).rename(batch / day)

    first = settled(world, 1)
    assert first.status == dg.DagsterRunStatus.FAILURE
    told = world.failure(first)
    assert "2 of 5 day" in told
    assert f"{NO_TEXT}: inference_data: kund\\xe9n.csv: " in told
    assert f"{KILLER}: inference_data: the step was killed 2 times while it worked on this day alone" in told
    assert [len(days) for days in killer.killed.values()] == [5, 1, 1]
    assert [rows(world, day) for day in (GOOD, CHANGING, EMPTIED)] == [ROWS] * 3
    assert set(world.made_days("drift_metrics")) == before | {GOOD, CHANGING, EMPTIED}

    # A late file, and another day is emptied.
    world.land(CHANGING, "b.csv", csv_text(new_clients(ROWS, start=100)))
    (batch / EMPTIED / "a.csv").unlink()
    second = settled(world, 2)
    assert second.status == dg.DagsterRunStatus.SUCCESS, world.failure(second)
    assert rows(world, CHANGING) == 2 * ROWS
    assert not (world.lake / "predictions" / EMPTIED / "predictions.parquet").exists()
    assert len(list((world.lake / "superseded_predictions" / EMPTIED).iterdir())) == 1
    assert len(list((world.lake / "superseded_inference_data" / EMPTIED).iterdir())) == 1
    for asset in ("inference_data", "batch_predictions", "drift_metrics"):
        record = world.made_days(asset)[EMPTIED]
        assert record.metadata["dagster/row_count"].value == 0
        assert "emptied" in record.metadata

    # The late file is withdrawn: the folder is what it was at first.
    (batch / CHANGING / "b.csv").unlink()
    third = settled(world, 3)
    assert third.status == dg.DagsterRunStatus.SUCCESS, world.failure(third)
    assert rows(world, CHANGING) == ROWS

    # Nobody asked for the day that kills, or for the archived ones, until its files change.
    assert (third.tags["dagster/asset_partition_range_start"], third.tags["dagster/asset_partition_range_end"]) == (
        CHANGING,
        CHANGING,
    )
    assert len(killer.killed) == 3
    assert set(world.made_days("batch_predictions")) == before | {GOOD, CHANGING, EMPTIED}
    killer.stop()
    reasons = skip_reasons(world)
    assert f"{LINK}: a link, and links are not followed; expected the folder itself." in reasons
    assert "caf\\xe9: not a day; expected a folder named YYYY-MM-DD." in reasons
    assert f"{KILLER}: inference_data: the step was killed 2 times" in reasons
