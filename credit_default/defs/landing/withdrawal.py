"""Withdraws what was made of a day whose landing folder was emptied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import dagster as dg

from credit_default.core import lake
from credit_default.defs.landing import ingestion
from credit_default.defs.shared.history import figure, newest
from credit_default.ports import Storage

#: Metadata of a materialisation that says there is nothing of its day any more, and why.
EMPTIED = "emptied"
#: Data version of nothing.
NOTHING = "emptied"


def is_emptied(instance: dg.DagsterInstance, asset: str, day: str) -> bool:
    """Whether the newest materialisation of a day is that of a withdrawal."""
    record = newest(instance, asset, day)
    return record is not None and figure(record, EMPTIED) is not None


def days_without(instance: dg.DagsterInstance, sources: Sequence[str], days: Iterable[str]) -> dict[str, str]:
    """Return the days of which a source is withdrawn, each with its first such source."""
    found = ((day, asset) for day in days for asset in reversed(sources) if is_emptied(instance, asset, day))
    return dict(found)


def withdraw_table(storage: Storage, asset: str, day: str) -> dict[str, Any]:
    """Withdraw the table that was made of landed files, and what was refused of them; return the metadata."""
    table, kept = lake.table(asset, day), lake.superseded(asset, day)
    storage.preserve(table, into=kept)
    storage.remove(table)
    storage.remove(lake.rejected(asset, day))
    ingestion.forget(storage, asset, day)
    return _nothing(f"The landing folder of the day holds no data any more; what was made of it is kept in {kept}/.")


def withdraw_predictions(storage: Storage, day: str) -> dict[str, Any]:
    """Withdraw the predictions of a day; return the metadata."""
    key, kept = lake.predictions(day), lake.superseded(lake.PREDICTIONS, day)
    storage.preserve(key, into=kept)
    storage.remove(key)
    return _nothing(f"The day was emptied; its predictions are kept in {kept}/.")


def withdraw_results(storage: Storage, keys: Iterable[str], missing: str) -> dict[str, Any]:
    """Remove what was measured of a day; return the metadata. ``missing`` is the asset that the day lacks."""
    for key in keys:
        storage.remove(key)
    return _nothing(f"The day was emptied: it has no {missing} any more, so nothing is measured.")


def _nothing(note: str) -> dict[str, Any]:
    return {"dagster/row_count": 0, EMPTIED: note}
