"""Which files a day's table was made from, kept in the lake: the event log of one instance is not there for another."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from credit_default.errors import NotThere
from credit_default.resources.ports import Storage


@dataclass(frozen=True)
class TakenIn:
    """Files of these names, sizes and times gave a table of this content.

    It says both, so that it never vouches for a table that another run published: it is about the present one only
    when their data versions are the same.

    Attributes
    ----------
    fingerprint
        Of the files, as they were before they were read (:meth:`~credit_default.resources.ports.Storage.fingerprint`).
    """

    fingerprint: str
    data_version: str


def keep(storage: Storage, asset: str, day: str, taken_in: TakenIn) -> None:
    """Remember what a day's table was made from, once the table is published."""
    storage.write(_key(asset, day), json.dumps(asdict(taken_in)).encode())


def of(storage: Storage, asset: str, day: str) -> TakenIn | None:
    """Return what is remembered of a day, or None when that is nothing, or nothing that we wrote."""
    try:
        return TakenIn(**json.loads(storage.read(_key(asset, day))))
    except (NotThere, ValueError, TypeError):
        return None


def forget(storage: Storage, asset: str, day: str) -> None:
    """Forget a day whose table was withdrawn."""
    storage.remove(_key(asset, day))


def _key(asset: str, day: str) -> str:
    # Not beside the table: jobs get that folder as their input.
    return f"taken_in/{asset}/{day}.json"
