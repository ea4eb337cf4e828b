"""A lake of its own and an instance of its own for each test, and hands to land files and record events."""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from credit_default.defs.assets import scoring
from credit_default.defs.landing.scan import RANGE_END, RANGE_START
from credit_default.resources.local.storage import LocalStorage

#: Where a queued run is loaded from; nothing is loaded in these tests.
ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("credit_default"), "__repository__")


def day(ago: int) -> str:
    """The day so many days before today (UTC)."""
    return (datetime.now(UTC).date() - timedelta(days=ago)).isoformat()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    return LocalStorage(root=str(tmp_path / "lake"))


class Landing:
    """Someone who delivers files."""

    def __init__(self, storage: LocalStorage) -> None:
        self.storage = storage

    def put(
        self,
        name: str,
        text: str = "client_id\nA\n",
        *,
        file: str = "clients.csv",
        seconds_ago: float = 60.0,
        folder: str = scoring.LANDING,
    ) -> Path:
        """Deliver a file into the folder of a day, so many seconds ago."""
        path = self.storage.path(f"{folder}/{name}/{file}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        moment = time.time() - seconds_ago
        os.utime(path, (moment, moment))
        os.utime(path.parent, (moment, moment))
        return path


@pytest.fixture
def landing(storage) -> Landing:
    return Landing(storage)


class Recorded:
    """What an instance holds when a test begins."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def materialised(self, asset: str, partition: str | None = None, **metadata) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition, metadata=metadata))

    def scored(self, partition: str, fingerprint: str) -> None:
        """A day that went through the whole chain, from files with this fingerprint."""
        self.materialised("inference_data", partition, landing_fingerprint=fingerprint)
        self.materialised("batch_predictions", partition)
        self.materialised("drift_metrics", partition)

    def deployed(self) -> None:
        self.materialised("batch_deployment")

    def run(self, first: str, last: str, status: dg.DagsterRunStatus, job: str = "score_batch") -> None:
        self.instance.add_run(
            dg.DagsterRun(
                job_name=job,
                run_id=str(uuid.uuid4()),
                status=status,
                tags={RANGE_START: first, RANGE_END: last},
                remote_job_origin=RemoteJobOrigin(ORIGIN, job),
            )
        )


@pytest.fixture
def recorded(instance) -> Recorded:
    return Recorded(instance)


def ranges(requests) -> list[tuple[str, str]]:
    """First and last day of each run that is asked for."""
    return [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests]
