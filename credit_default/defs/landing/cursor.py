"""Cursor of a landing sensor: the days that it has dealt with, and the newest materialisation that it knows of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import dagster as dg

from credit_default.defs.landing.scan import FINGERPRINT, same_files
from credit_default.defs.shared.history import figure, newest

#: Materialisations that one tick reads; the next ticks read on.
MAX_RECORDS = 1_000


@dataclass(frozen=True)
class LandingCursor:
    """Memory of a landing sensor. Losing it costs look-ups and nothing else.

    Attributes
    ----------
    days
        Fingerprint by which each day was asked for, or found to be dealt with.
    read_to
        Storage id of a materialisation: those after it are not known yet.
    """

    days: Mapping[str, str] = field(default_factory=dict)
    read_to: int | None = None

    @staticmethod
    def read(text: str | None) -> LandingCursor:
        """Read what `written` returned; anything else is an empty cursor."""
        try:
            kept = json.loads(text or "{}")
            days = {str(day): str(fingerprint) for day, fingerprint in kept["days"].items()}
            return LandingCursor(days, int(kept["read_to"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return LandingCursor()

    def written(self) -> str:
        """Return the cursor as text."""
        return json.dumps({"days": dict(self.days), "read_to": self.read_to}, sort_keys=True)

    def caught_up(self, instance: dg.DagsterInstance, asset: str) -> LandingCursor:
        """Forget the days that were made since from other files than they were asked for.

        Files may change between the request and the run, and change back after it.
        """
        if self.read_to is None:
            record = newest(instance, asset)
            return LandingCursor({}, record.storage_id if record is not None else 0)
        unread = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), after_storage_id=self.read_to)
        records = instance.fetch_materializations(unread, limit=MAX_RECORDS, ascending=True).records
        days = dict(self.days)
        for record in records:
            day = str(record.partition_key)
            if day in days and not same_files(figure(record, FINGERPRINT), days[day]):
                del days[day]
        return LandingCursor(days, records[-1].storage_id if records else self.read_to)

    def with_days(self, *days: Mapping[str, str]) -> LandingCursor:
        """Add days."""
        return replace(self, days={name: value for found in (self.days, *days) for name, value in found.items()})
