"""A whole platform in a folder of its own, used as a person would: by its command, its jobs and its files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from credit_default import settings
from credit_default.core.data import sample
from credit_default.core.schema import CATEGORIES, CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default.runs.instance import prepare
from credit_default_tests import CHECKOUT

#: Enough of everything for tests of faults: two trials, four days.
SMALL_DEMO = ("demo", "--trials", "2", "--days", "4", "--rows", "2000")
#: Configuration of a training, for tests to which any model will do.
ONE_TRIAL = json.dumps({"ops": {"trained_model": {"config": {"trials": 1}}}})
#: Variables of the caller that would make a test's home another one.
_OURS = ("CREDIT_DEFAULT_", "APPLICATIONINSIGHTS_", "AZURE_", "DAGSTER_", "MLFLOW_")

Found = TypeVar("Found")


def ago(days: int) -> str:
    """The day that many days before today (UTC)."""
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


def days_from(first: str, count: int) -> list[str]:
    """So many days in a row."""
    return [(date.fromisoformat(first) + timedelta(days=number)).isoformat() for number in range(count)]


def until(look: Callable[[], Found], *, seconds: float, what: str, every: float = 0.25) -> Found:
    """Look again and again until there is something to see; fails when it takes too long."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(every)
    return found


class World:
    """A home, and what can be done with it and seen in it."""

    def __init__(self, home: Path, settings_of_it: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.lake = home / "lake"
        self.landing = self.lake / "landing"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        told = {"CREDIT_DEFAULT_HOME": str(home), **(settings_of_it or {})}
        self.settings = settings.read(told)
        prepared = prepare(self.settings)
        ours = {name: prepared[name] for name in ("CREDIT_DEFAULT_HOME", "DAGSTER_HOME", "DAGSTER_DISABLE_TELEMETRY")}
        self.environment = {**kept, **told, **ours}

    def copy_to(self, home: Path) -> World:
        """Copy everything, sharing no file with the original."""
        shutil.copytree(self.home, home, symlinks=True)
        return World(home)

    def archive_landing(self) -> None:
        """Take away the landing folders of days that are done: files that were copied count as changed."""
        for folder in ("inference/batch", "outcomes"):
            for day in (self.landing / folder).iterdir():
                shutil.rmtree(day)

    # What a person does.

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `credit-default`."""
        program = Path(sys.executable).with_name("credit-default")
        return self._run([str(program), *arguments])

    def job_command(self, job: str, first: str | None = None, last: str | None = None, *more: str) -> list[str]:
        span = ["--from", first, "--to", last or first] if first else []
        return [sys.executable, "-m", "credit_default.runs.run_job", job, *span, *more]

    def run_job(
        self, job: str, first: str | None = None, last: str | None = None, *more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a job to its end."""
        return self._run(self.job_command(job, first, last, *more))

    def make_a_model_live(self) -> None:
        """Train on what has landed, with one trial, and deploy."""
        file = self.home / "one_trial.json"
        file.write_text(ONE_TRIAL)
        for job, more in (("train_model", ("--config", str(file))), ("deploy_model", ())):
            done = self.command("run", job, *more)
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"{job} succeeded in " in done.stdout

    @contextmanager
    def job_under_way(self, job: str, first: str, last: str | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """Start a job and go on; it is stopped at the end, with whatever it started that still lives."""
        with self.started(self.job_command(job, first, last), "run_job.log") as process:
            try:
                yield process
            finally:
                self.stop_steps()

    @contextmanager
    def started(self, command: Sequence[str], log: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start a process in a group of its own, which is killed at the end."""
        with (self.home / log).open("ab") as stream:
            process = subprocess.Popen(
                command,
                env=self.environment,
                cwd=CHECKOUT,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                umask=0,
            )
        try:
            yield process
        finally:
            kill_group(process.pid)
            process.wait()

    def land(self, day: str, name: str, content: str | bytes | pa.Table, *, under: str = "inference/batch") -> Path:
        """Put a file where files of a day arrive, whole from the first moment that it is seen."""
        path = self.landing / under / day / name
        path.parent.mkdir(parents=True, exist_ok=True)
        arriving = path.with_name(f".{name}.arriving")
        if isinstance(content, pa.Table):
            pq.write_table(content, arriving)
        else:
            arriving.write_bytes(content if isinstance(content, bytes) else content.encode())
        return arriving.replace(path)

    def query(self, kql: str) -> list[dict[str, Any]]:
        """Rows of `credit-default query`."""
        done = self.command("query", kql, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    # What a person sees.

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The home's Dagster instance. Opened once: that takes thirty times longer than to ask it something."""
        return dg.DagsterInstance.from_config(str(self.settings.dagster_home))

    def runs(self, job: str | None = None) -> list[dg.DagsterRun]:
        """Every run, newest first."""
        return list(self.instance.get_runs(dg.RunsFilter(job_name=job)))

    def failure(self, run: dg.DagsterRun) -> str:
        """What the step that failed said, with its causes, as the run's page shows it."""
        records = self.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
        told = []
        for record in records:
            data = record.event_log_entry.get_dagster_event().step_failure_data
            error = data.error
            while error is not None:
                told.append(error.message)
                error = error.cause
            told.append(data.user_failure_data.description if data.user_failure_data else "")
        return "\n".join(filter(None, told))

    def log_of(self, run: dg.DagsterRun) -> str:
        """Every message of a run."""
        return "\n".join(entry.message for entry in self.instance.all_logs(run.run_id))

    def made(self, asset: str) -> list[dg.AssetMaterialization]:
        """Every materialisation of an asset, oldest first."""
        records = self.instance.fetch_materializations(dg.AssetKey(asset), limit=10_000, ascending=True).records
        return [record.asset_materialization for record in records]

    def made_days(self, asset: str) -> dict[str, dg.AssetMaterialization]:
        """The newest materialisation of each day."""
        return {event.partition: event for event in self.made(asset)}

    def promotions(self) -> list[dict[str, Any]]:
        """Lines of the ledger, oldest first."""
        return [json.loads(line) for line in (self.lake / "models" / "ledger.jsonl").read_text().splitlines()]

    def predictions(self, day: str) -> pa.Table:
        """A day's predictions; the folder holds them and nothing else."""
        folder = self.lake / "predictions" / day
        assert [path.name for path in folder.iterdir()] == ["predictions.parquet"]
        return pq.read_table(folder / "predictions.parquet")

    def drift(self, day: str) -> dict[str, Any]:
        """A day's stored drift."""
        return json.loads((self.lake / "drift" / day / "drift.json").read_text())

    def versions(self) -> dict[str, str]:
        """Version to the sha256 of its model file."""
        done = self.command("models", "--json")
        assert done.returncode == 0, done.stderr
        rows = list(map(json.loads, done.stdout.splitlines()))
        manifests = {
            row["version"]: json.loads((self.lake / "models" / row["model_id"] / "manifest.json").read_text())
            for row in rows
        }
        return {version: manifest["model_sha256"] for version, manifest in manifests.items()}

    def live(self) -> dict[str, Any]:
        """The manifest of the model that answers, and its version in the registry under `version`."""
        done = self.command("models", "--json")
        assert done.returncode == 0, done.stderr
        live = next(row for row in map(json.loads, done.stdout.splitlines()) if row["state"] == "live")
        manifest = json.loads((self.lake / "models" / live["model_id"] / "manifest.json").read_text())
        return {**manifest, "version": live["version"], "folder": self.lake / "models" / live["model_id"]}

    def hashes(self, *folders: str) -> dict[str, str]:
        """sha256 of every file below folders of the lake."""
        paths = [path for folder in folders for path in sorted((self.lake / folder).rglob("*")) if path.is_file()]
        assert paths
        return {str(path.relative_to(self.lake)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    def unpublished(self) -> list[Path]:
        """What a crash left in the lake that was never published."""
        return [path for path in self.lake.rglob("*") if path.name.endswith(".unfinished")]

    def told(self) -> dict[str, str]:
        """All that the platform said anywhere but in the lake: event log, telemetry, logs, jobs."""
        texts = {}
        for path in sorted(self.home.rglob("*")):
            if path.is_file() and self.lake not in path.parents:
                texts[str(path.relative_to(self.home))] = (
                    _database_text(path) if path.suffix == ".db" else path.read_bytes().decode("utf-8", "replace")
                )
        return texts

    # Steps at work.

    def job_folders(self, step: str) -> list[Path]:
        """The folders of a step's jobs, oldest first."""
        return sorted((self.home / "jobs").glob(f"{step}-*"), key=lambda path: path.stat().st_mtime)

    def step_at_work(self, step: str, *, writing: str = "", seconds: float = 120) -> int:
        """Wait until a step runs, and until it writes the named file if one is given; gives its process id."""

        def look() -> int | None:
            for folder in self.job_folders(step):
                if (folder / "settled").exists():
                    continue  # of another time, when its process id was nobody else's
                pid = _pid(folder)
                written = any(path.stat().st_size for path in folder.glob(f"output/{writing}")) if writing else True
                if pid and written and alive(pid):
                    return pid
            return None

        return until(look, seconds=seconds, what=f"{step} at work", every=0.02)

    def stop_steps(self) -> None:
        """Kill the steps of this home that still live: each is the leader of a group that we started."""
        for folder in (self.home / "jobs").glob("*"):
            pid = _pid(folder)
            if pid and not (folder / "settled").exists() and _command_names(pid, folder):
                kill_group(pid)

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            umask=0,  # what is private must be so whatever the umask
        )


def kill_group(leader: int) -> None:
    """Kill a process and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has asked for does not."""
    try:
        return _state_and_group(pid)[0] != "Z"
    except FileNotFoundError:
        return False


def group_lives(leader: int) -> bool:
    """Whether any process of a group runs."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found.append(_state_and_group(int(folder.name)))
    return any(group == leader and state != "Z" for state, group in found)


def processes_with(text: str) -> dict[int, str]:
    """The processes whose environment holds a text, whoever started them, with their commands."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            if os.fsencode(text) in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:  # a zombie has none
                    found[int(folder.name)] = command
    return found


def new_clients(count: int, *, start: int = 0, target: bool = False) -> list[dict[str, Any]]:
    """Clients that nobody has seen: real ones with other ids and amounts, written in whole numbers.

    Features, then the target if it is asked for, as `True` or `False`.
    """
    rows = sample.arrivals().slice(start, count).select([CLIENT_ID, *FEATURE_NAMES, TARGET]).to_pylist()
    made = []
    for number, row in enumerate(rows):
        changed = {
            name: value if value is None or name in CATEGORIES or name == "age" else round(value * 1.01)
            for name, value in row.items()
            if name in FEATURE_NAMES
        }
        outcome = {TARGET: str(bool(row[TARGET]))} if target else {}
        made.append({CLIENT_ID: f"new-{start + number}", **changed, **outcome})
    return made


def many_clients(times: int) -> pa.Table:
    """The 15,000 arrivals so many times, each time as other clients: work enough to be interrupted."""
    once = sample.arrivals().select([CLIENT_ID, *FEATURE_NAMES])
    plain = pa.table(
        {name: once[name].cast(pa.string()) if name in CATEGORIES else once[name] for name in FEATURE_NAMES}
    )
    ids = once[CLIENT_ID].to_pylist()
    return pa.concat_tables(
        plain.append_column(CLIENT_ID, pa.array([f"{again}-{client}" for client in ids])) for again in range(times)
    )


def _pid(folder: Path) -> int | None:
    try:
        return int((folder / "pid").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _state_and_group(pid: int) -> tuple[str, int]:
    """State and process group, as in proc(5)."""
    state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    return state, int(group)


def _command_names(pid: int, folder: Path) -> bool:
    """Whether the process is the job of this folder, and not another one that got the same id."""
    try:
        return os.fsencode(folder / "output") in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _database_text(path: Path) -> str:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        names = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        return "\n".join(str(row) for name in names for row in database.execute(f'select * from "{name}"'))
