"""Which files a day's table was made from, kept in the lake: the event log of one instance is not there for another."""

from __future__ import annotations

import json
from dataclasses import asdict

from credit_default.core import lake
from credit_default.core.lineage.evidence import IngestionRecord
from credit_default.core.stored_json import read_object
from credit_default.errors import DamagedFile, NotThere
from credit_default.ports import Storage

__all__ = ["IngestionRecord", "keep", "of", "parsed"]


def keep(storage: Storage, asset: str, day: str, taken_in: IngestionRecord) -> None:
    """Remember what a day's table was made from, once the table is published."""
    storage.write(lake.taken_in(asset, day), json.dumps(asdict(taken_in)).encode())


def of(storage: Storage, asset: str, day: str) -> IngestionRecord | None:
    """Return what is remembered of a day, or None when that is nothing, or nothing that we wrote."""
    try:
        return parsed(storage.read(lake.taken_in(asset, day)))
    except NotThere:
        return None


def forget(storage: Storage, asset: str, day: str) -> None:
    """Forget a day whose table was withdrawn."""
    storage.remove(lake.taken_in(asset, day))


def parsed(content: bytes) -> IngestionRecord | None:
    """Return what `keep` wrote, or None when it is something else."""
    try:
        stored = read_object(content, "", "", fingerprint=str, data_version=str)
    except DamagedFile:
        return None
    return IngestionRecord(stored["fingerprint"], stored["data_version"])
