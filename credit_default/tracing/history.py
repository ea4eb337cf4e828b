"""What a Dagster instance has recorded, as plain data: materialisations and runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from credit_default.core.lineage.evidence import Recorded, Run
from credit_default.resources.dagster_internals import database_of_run

_PAGE = 500


class History:
    """Reads the event log and the runs of an instance."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._runs: dict[str, Run | None] = {}

    def of(self, asset: str, day: str | None = None, *, page: int = _PAGE) -> Iterator[tuple[str | None, Recorded]]:
        """Yield every materialisation of an asset or of a day of it, with its day, newest first."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[day] if day else None)
        cursor = None
        while True:
            found = self._instance.fetch_materializations(wanted, limit=page, cursor=cursor)
            for record in found.records:
                yield record.partition_key, _recorded(record)
            if not found.has_more:
                return
            cursor = found.cursor

    def is_empty(self, asset: str) -> bool:
        """Whether nothing was ever recorded of an asset, as in an instance that is new to its lake."""
        return next(self.of(asset, page=1), None) is None

    def run(self, run_id: str) -> Run | None:
        """Return a run, or None when this instance knows none of that id."""
        if run_id not in self._runs:
            self._runs[run_id] = self._find(run_id)
        return self._runs[run_id]

    def knows(self, run_id: str) -> bool:
        """Whether there is anything of a run here: itself, or its events."""
        return self.run(run_id) is not None or self.recorded_by(run_id, "batch_predictions") is not None

    def recorded_by(self, run_id: str, asset: str, day: str | None = None) -> list[Recorded] | None:
        """Return what a run's own events say that it made of an asset; None when its events are gone.

        On SQLite they are in a database of the run's own, apart from the index that `of` reads.
        """
        path = database_of_run(self._instance, run_id)
        if path is not None and not path.exists():
            return None  # to ask for its events would make an empty one
        if not self._instance.get_records_for_run(run_id, limit=1).records:
            return None
        records = self._instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
        return [
            _recorded(record)
            for record in records
            if record.asset_key == dg.AssetKey(asset) and day in (None, record.partition_key)
        ]

    def root_of(self, run_id: str) -> str:
        """Return the id of the first attempt of a run."""
        run = self.run(run_id)
        return run.root_run_id if run is not None else run_id

    def began(self, run_id: str) -> datetime | None:
        """Return when the first attempt of a run started, or None when this instance knows no such run."""
        run = self.run(self.root_of(run_id)) or self.run(run_id)
        return run.started if run is not None else None

    def _find(self, run_id: str) -> Run | None:
        record = self._instance.get_run_record_by_id(run_id)
        if record is None:
            return None
        run = record.dagster_run
        return Run(
            run_id=run_id,
            root_run_id=run.root_run_id or run_id,
            job=run.job_name,
            status=run.status.value,
            started=_moment(record.start_time) or record.create_timestamp.astimezone(UTC),
            ended=_moment(record.end_time),
        )


def _recorded(record: dg.EventLogRecord) -> Recorded:
    made = record.asset_materialization
    assert made is not None
    tags = made.tags or {}
    return Recorded(
        run_id=record.run_id,
        at=datetime.fromtimestamp(record.timestamp, UTC),
        data_version=tags.get("dagster/data_version", ""),
        code_version=tags.get("dagster/code_version", ""),
        metadata={name: _plain(value.value) for name, value in made.metadata.items()},
    )


def _moment(timestamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(timestamp, UTC) if timestamp else None


def _plain(value: Any) -> Any:
    """Return a metadata value as plain data; a table as a list of its rows."""
    return [dict(row.data) for row in value.records] if isinstance(value, dg.TableMetadataValue) else value
