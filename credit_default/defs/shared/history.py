"""What Dagster's event log says about the newest version of an asset or of a day of it."""

from __future__ import annotations

from typing import Any

import dagster as dg

#: Tag of a materialisation.
DATA_VERSION = "dagster/data_version"


def newest(instance: dg.DagsterInstance, asset: str, day: str | None = None) -> dg.EventLogRecord | None:
    """Return the newest materialisation, or None when there is none."""
    records = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[day] if day else None)
    return next(iter(instance.fetch_materializations(records, limit=1).records), None)


def figure(record: dg.EventLogRecord, name: str) -> Any:
    """Return what a materialisation says under a name, or None."""
    made = record.asset_materialization
    value = made.metadata.get(name) if made is not None else None
    return None if value is None else value.value


def data_version(instance: dg.DagsterInstance, asset: str, day: str | None = None) -> str:
    """Return the newest data version, or nothing when there is none."""
    record = newest(instance, asset, day)
    made = record.asset_materialization if record is not None else None
    return (made.tags or {}).get(DATA_VERSION, "") if made is not None else ""


def newest_id(instance: dg.DagsterInstance, asset: str) -> str:
    """Return what tells the newest materialisation of any day from those before it, or nothing when there is none."""
    record = newest(instance, asset)
    return str(record.storage_id) if record is not None else ""
