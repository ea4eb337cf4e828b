"""Ten minutes of arriving files, bad ones among them, and random kills: every good day ends whole.

Left out of `make test`; `make test-all` runs it. The seed is printed, and `SOAK_SEED` plays the same files again
(kills depend on what is running, so they are never quite the same).
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default.resources.local.run_launcher import announced_process
from credit_default_tests.end_to_end.server import Daemon
from credit_default_tests.end_to_end.world import World, ago, alive, new_clients, until
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.soak, pytest.mark.slow, pytest.mark.timeout(3600)]

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
FILES = int(SECONDS / 2)
SECONDS_BETWEEN_KILLS = (15.0, 40.0)
#: How long the platform may take for what is still pending after the last file and the last kill.
DRAIN_SECONDS = 1800.0
ROWS = 5
GOOD_DAYS = [ago(number) for number in range(40, 28, -1)]
BAD_DAYS = [ago(number) for number in range(20, 13, -1)]

Rows = list[dict[str, object]]


def parquet_bytes(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def bad_file(kind: str, folder: Path, rows: Rows) -> None:
    """Put something into a day's folder that makes the day unusable."""
    folder.mkdir(parents=True, exist_ok=True)
    text = csv_text(rows)
    contents = {
        "empty": b"",
        "not UTF-8": text.replace("university", "universit\xe9").encode("latin-1"),
        "truncated": parquet_bytes(rows)[:-100],
        "too wide": b",".join(b"c%d" % number for number in range(5_000)) + b"\n",
    }
    if kind == "file name":
        Path(os.fsdecode(os.fsencode(folder) + b"/Kunden-M\xe4rz.csv")).write_text(text)
    elif kind == "pipe":
        os.mkfifo(folder / "pipe.csv")
    elif kind == "link":
        (folder / "link.csv").symlink_to("/dev/zero")
    else:
        (folder / ("bad.parquet" if kind == "truncated" else "bad.csv")).write_bytes(contents[kind])


VICTIMS = ["step", "run", "everything"]
BAD_KINDS = ["empty", "not UTF-8", "truncated", "too wide", "file name", "pipe", "link"]


@dataclass
class Arrivals:
    """Lets files arrive, and knows which clients each good day must end with."""

    world: World
    chance: random.Random
    clients: dict[str, dict[str, list[str]]] = field(default_factory=lambda: {day: {} for day in GOOD_DAYS})
    counted: Counter[str] = field(default_factory=Counter)
    next_client: int = 0

    def rows(self) -> Rows:
        """Clients that no other file holds."""
        start = self.next_client
        self.next_client += ROWS
        return new_clients(ROWS, start=start)

    def arrive(self, number: int) -> None:
        """Let one thing happen in the landing folder."""
        if number % (FILES // len(BAD_DAYS)) == 0 and number // (FILES // len(BAD_DAYS)) < len(BAD_DAYS):
            kind = BAD_KINDS[number // (FILES // len(BAD_DAYS))]
            day = BAD_DAYS[BAD_KINDS.index(kind)]
            self.counted[f"bad: {kind}"] += 1
            self.world.land(day, "good.csv", csv_text(self.rows()))
            bad_file(kind, self._folder(day), self.rows())
            return
        day = self.chance.choice(GOOD_DAYS)
        held = self.clients[day]
        names = list(held)
        what = self.chance.choices(
            ["new", "changed", "withdrawn", "twice", "companion"], [6, 2, 1 if len(names) > 1 else 0, 1, 1]
        )[0]
        if what in ("changed", "twice", "withdrawn") and not names:
            what = "new"
        self.counted[what] += 1
        if what == "new":
            self._write(day, f"{number:04}.{self.chance.choice(['csv', 'parquet'])}")
        elif what == "changed":
            self._write(day, self.chance.choice(names))
        elif what == "twice":
            source = self._folder(day) / self.chance.choice(names)
            # The same bytes under a second name: a later one, and it goes with the file whose copy it is.
            copy = f"{source.stem} (1){source.suffix}"
            self.world.land(day, copy, source.read_bytes())
            held[copy] = held[source.name]
        elif what == "withdrawn":
            name = self.chance.choice(names)
            (self._folder(day) / name).unlink()
            del held[name]
        else:
            self.world.land(day, "delivered.done", b"")

    def expected(self, day: str) -> set[str]:
        """Clients that a good day has to end with."""
        return {client for clients in self.clients[day].values() for client in clients}

    def _write(self, day: str, name: str) -> None:
        rows = self.rows()
        self.world.land(day, name, parquet_bytes(rows) if name.endswith(".parquet") else csv_text(rows))
        self.clients[day][name] = [str(row["client_id"]) for row in rows]

    def _folder(self, day: str) -> Path:
        return self.world.landing / "inference" / "batch" / day


class Killer:
    """Kills something of the running platform at random moments."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world = world
        self.chance = chance
        self.daemon = Daemon(world)
        self.running = contextlib.ExitStack()
        self.counted: Counter[str] = Counter()
        self._killed_days: set[str] = set()
        self._next = chance.choice(VICTIMS)

    def start(self) -> None:
        self.running.enter_context(self.daemon.running())

    def kill(self) -> bool:
        """Kill what is next; returns whether it was there to be killed."""
        if self._next == "everything":
            self.running.close()
            self.start()
        else:
            process = self._step() if self._next == "step" else self._run()
            if process is None or not alive(process):
                return False
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.counted[self._next] += 1
        self._next = self.chance.choice(VICTIMS)
        return True

    def _step(self) -> int | None:
        """A step at work, or its run when its day was killed before: a day that kills twice is refused on purpose."""
        for process in self.daemon.process.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                command = process.cmdline()
                if "--days" in command and "-m" in command:
                    days = set(command[command.index("--days") + 1].split(","))
                    if days & self._killed_days:
                        return self._run()
                    self._killed_days |= days
                    return process.pid
        return None

    def _run(self) -> int | None:
        started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        for run in self.world.instance.get_runs(started):
            announced = announced_process(self.world.instance, run.run_id)
            if announced is not None:
                return announced[0]
        return None


def is_whole(world: World, day: str, expected: set[str]) -> bool:
    """Whether predictions and drift of a day are those of the files that lie there now."""
    try:
        clients = world.predictions(day)["client_id"].to_pylist()
        return sorted(clients) == sorted(expected) and world.drift(day)["n_rows"] == len(expected)
    except (OSError, AssertionError):
        return False


def at_random_moments(seconds: float, chance: random.Random, act: Callable[[], bool], pauses: tuple[float, float]):
    """Moments at which to act, as a function that is asked often; one at which there was nothing to do comes again."""
    due = time.monotonic() + chance.uniform(*pauses)
    end = time.monotonic() + seconds

    def ask() -> None:
        nonlocal due
        if due <= time.monotonic() < end and act():
            due = time.monotonic() + chance.uniform(*pauses)

    return ask


def test_every_good_day_is_whole_after_ten_minutes_of_arrivals_and_kills(small):
    seed = int(os.environ.get("SOAK_SEED", time.time()))
    chance = random.Random(seed)
    print(f"seed {seed}")
    arrivals, killer = Arrivals(small, chance), Killer(small, random.Random(seed + 1))
    with killer.running:
        killer.start()
        begin = time.monotonic()
        may_kill = at_random_moments(SECONDS, killer.chance, killer.kill, SECONDS_BETWEEN_KILLS)
        for number in range(FILES):
            while time.monotonic() < begin + number * SECONDS / FILES:
                may_kill()
                time.sleep(0.1)
            arrivals.arrive(number)
        print(f"arrived: {dict(arrivals.counted)}; killed: {dict(killer.counted)}")

        def unfinished() -> list[str]:
            return [day for day in GOOD_DAYS if not is_whole(small, day, arrivals.expected(day))]

        try:
            until(lambda: not unfinished(), seconds=DRAIN_SECONDS, every=5, what="every good day whole")
        except AssertionError as error:
            runs = Counter(run.status.value for run in small.runs("score_batch"))
            raise AssertionError(f"{error}; still to come: {unfinished()}; runs: {dict(runs)}") from error
        until(
            lambda: all(run.is_finished for run in small.runs("score_batch")), seconds=300, every=2, what="runs ended"
        )
        runs = len(small.runs("score_batch"))
        time.sleep(30)
        assert len(small.runs("score_batch")) == runs, "bad days are asked for again and again"
    print(f"{runs} runs; whole after {time.monotonic() - begin:.0f} s")

    for day in GOOD_DAYS:
        predictions = small.predictions(day)
        assert len(set(predictions["prediction_id"].to_pylist())) == predictions.num_rows
    for day in BAD_DAYS:
        assert not (small.lake / "predictions" / day / "predictions.parquet").exists()
    assert small.unpublished() == []
