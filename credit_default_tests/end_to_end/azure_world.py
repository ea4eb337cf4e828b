"""A platform in `development`: its Dagster here, its lake and its jobs in a workspace of the emulator."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from azure.identity import ClientSecretCredential
from azure.storage.blob import ContainerClient

from credit_default_tests.azure_emulator import Emulator, Workspace
from credit_default_tests.end_to_end.world import World, new_clients, until
from credit_default_tests.strategies import csv_text

#: Clients of a small profile, to train on and to score a day.
ROWS = 3_000
#: What ends: Azure ML's own words.
ENDED = {"Completed", "Failed", "Canceled"}
#: Answers at once, so that tests need not wait.
IMPATIENT = {"CREDIT_DEFAULT_POLL_SECONDS": "0.5"}

_GO_ON = """
import sys, dagster as dg
from credit_default.runs.instance import enter
enter()
job = dg.build_reconstructable_job("credit_default.runs.run_job", "job_named", (sys.argv[1],))
with dg.DagsterInstance.get() as instance:
    days = {name: value for name, value in instance.get_run_by_id(sys.argv[2]).tags.items() if "partition" in name}
    options = dg.ReexecutionOptions.from_failure(sys.argv[2], instance)
    sys.exit(0 if dg.execute_job(job, instance, reexecution_options=options, tags=days).success else 1)
"""


class AzureWorld(World):
    """A home whose tables lie in Blob Storage; `pull` brings them here to be looked at."""

    def __init__(self, home: Path, emulator: Emulator, workspace: Workspace, **changes: str) -> None:
        self.emulator = emulator
        self.workspace = workspace
        told = {"CREDIT_DEFAULT_ENV": "development", **emulator.environment, **workspace.settings, **IMPATIENT}
        with patch.dict(os.environ, told):  # read when the instance is prepared
            super().__init__(home, {**told, **changes})
        here = {
            "proxies": {"https": emulator.environment["HTTPS_PROXY"]},
            "connection_verify": emulator.environment["REQUESTS_CA_BUNDLE"],
        }
        self._here = here
        self._credential = ClientSecretCredential(
            emulator.environment["AZURE_TENANT_ID"],
            emulator.environment["AZURE_CLIENT_ID"],
            emulator.environment["AZURE_CLIENT_SECRET"],
            **here,
        )
        self.container = self.container_named(workspace.container)

    def container_named(self, name: str) -> ContainerClient:
        """Open a container of the workspace's storage account."""
        account = f"https://{self.workspace.account}.blob.core.windows.net"
        return ContainerClient(account, name, self._credential, **self._here)

    def land(self, day: str, name: str, content: str | bytes | pa.Table, *, under: str = "inference/batch") -> Path:
        """Upload a file to where files of a day arrive."""
        if isinstance(content, pa.Table):
            stream = io.BytesIO()
            pq.write_table(content, stream)
            content = stream.getvalue()
        key = "/".join(filter(None, ("landing", under, day, name)))
        self.container.upload_blob(key, content, overwrite=True)
        return Path(key)

    def land_all(self, landing: Path) -> None:
        """Upload a landing folder of another home."""
        for path in sorted(landing.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                self.container.upload_blob(f"landing/{path.relative_to(landing).as_posix()}", path.read_bytes())

    def names(self, prefix: str = "") -> list[str]:
        """Names of the blobs of the lake."""
        return list(self.container.list_blob_names(name_starts_with=prefix))

    def pull(self) -> None:
        """Bring the whole lake here, as it is now."""
        shutil.rmtree(self.lake, ignore_errors=True)
        for name in self.names():
            path = self.lake / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.container.download_blob(name).readall())

    def jobs(self, step: str = "") -> list[dict[str, Any]]:
        """Jobs of the workspace that run a step, trials of sweeps apart, in the order of their names."""
        found = self.emulator.jobs(self.workspace.name)
        wanted = step.replace("_", "-")
        return sorted(
            (job for job in found if job["name"].startswith(wanted) and not job["parent"]), key=lambda job: job["name"]
        )

    def job_in(self, step: str, *states: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until a job of the step is in one of the states."""

        def look() -> dict[str, Any] | None:
            return next((job for job in self.jobs(step) if job["status"] in states), None)

        return until(look, seconds=seconds, what=f"a job of {step} in {' or '.join(states)}", every=0.05)

    def go_on(self, run: dg.DagsterRun) -> subprocess.CompletedProcess[str]:
        """Execute a run whose process is gone again from where it failed, as the daemon does."""
        self.instance.report_run_failed(run)
        return self._run([sys.executable, "-c", _GO_ON, run.job_name, run.run_id])

    @contextmanager
    def job_under_way(self, job: str, first: str | None = None, last: str | None = None, *more: str) -> Iterator[Any]:
        """Start a job and go on; the process is killed at the end, and what it started on Azure is left."""
        with self.started(self.job_command(job, first, last, *more), "run_job.log") as process:
            yield process


def with_a_live_model(home: Path, emulator: Emulator) -> AzureWorld:
    """Make a home in a workspace of its own, with a live model: one trial on 3,000 clients."""
    world = AzureWorld(home, emulator, emulator.workspace(with_code=True))
    world.land("", "clients.csv", csv_text(new_clients(ROWS, target=True)), under="curated")
    world.make_a_model_live()
    return world


def wait_until_quiet(world: AzureWorld, *, seconds: float = 120) -> None:
    """Wait until no job of the workspace is at work."""
    until(
        lambda: all(job["status"] in ENDED for job in world.emulator.jobs(world.workspace.name)),
        seconds=seconds,
        what="the end of every job",
    )
    time.sleep(0.1)
