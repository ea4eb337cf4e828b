"""Remembers, in the lake, days that are not to be asked for again before their files change."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import dagster as dg

from credit_default.core import lake
from credit_default.defs.shared.history import data_version
from credit_default.errors import NotThere
from credit_default.ports import Storage

#: Assets of a day, and the assets that each is made from.
Chain = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Refusal:
    """Reason why a step was given up for a day.

    Attributes
    ----------
    asset
        What was to be made.
    inputs
        State of all that the day's assets are made from, see `inputs_of`.
    """

    asset: str
    reason: str
    inputs: str


def inputs_of(instance: dg.DagsterInstance, landed: str, chain: Chain, day: str, fingerprint: str) -> str:
    """Return the state of a day's inputs: its landed files, and assets that other runs make."""
    sources = {source for sources in chain.values() for source in sources} - {landed, *chain}
    return "\n".join([fingerprint, *(data_version(instance, source, day) for source in sorted(sources))])


def keep(storage: Storage, landed: str, day: str, refusal: Refusal) -> None:
    """Remember a refusal; ``landed`` is the asset that takes in the files of the day."""
    storage.write(lake.refusal(landed, day), json.dumps(asdict(refusal)).encode())


def find(storage: Storage, landed: str) -> list[str]:
    """Return the days that have a refusal."""
    return [entry.name.removesuffix(".json") for entry in storage.entries(lake.refusals(landed))]


def read(storage: Storage, landed: str, day: str) -> Refusal | None:
    """Return the refusal of a day, or None when there is none, or none that we wrote."""
    try:
        return Refusal(**json.loads(storage.read(lake.refusal(landed, day))))
    except (NotThere, ValueError, TypeError):
        return None


def reason(
    instance: dg.DagsterInstance, storage: Storage, landed: str, chain: Chain, *, day: str, fingerprint: str
) -> str | None:
    """Return why the assets of a day are not asked for as long as their inputs are the present ones, if so."""
    refusal = read(storage, landed, day)
    if refusal is None or refusal.inputs != inputs_of(instance, landed, chain, day, fingerprint):
        return None
    return f"{refusal.asset}: {refusal.reason}"


def remove(storage: Storage, landed: str, day: str) -> None:
    """Forget the refusal of a day."""
    storage.remove(lake.refusal(landed, day))
