"""Whether a day has to be scored: a pure comparison of what landed and what is live with what the lake holds of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from credit_default.core import lake
from credit_default.core.scoring.predictions import data_version, origin_key
from credit_default.defs.landing.ingestion import IngestionRecord
from credit_default.deploy.plans.changes import Action, Change
from credit_default.errors import NotThere
from credit_default.ports import ModelVersion


@dataclass(frozen=True)
class Predicted:
    """What the predictions of a day say of themselves.

    Attributes
    ----------
    input_data_version
        Data version of the clients that were scored.
    """

    rows: int
    model_version: str
    model_sha256: str
    input_data_version: str
    data_version: str


@dataclass(frozen=True)
class Day:
    """What the lake holds of a day.

    Attributes
    ----------
    landed
        Fingerprint of the files that landed; empty without any.
    taken_in
        What is remembered of the files that were taken in.
    clients
        Data version of the clients that were taken in, if any were.
    measured
        Data version of the predictions whose drift was measured, and the version that it says made them.
    """

    landed: str = ""
    taken_in: IngestionRecord | None = None
    clients: str | None = None
    predicted: Predicted | None = None
    measured: tuple[str, str | None] | None = None


def plan_invocation(where: str, day: date, live: ModelVersion | None, found: Day) -> Change:
    """Return what changes so that a day is scored by the live version, from what landed for it, and measured.

    Parameters
    ----------
    where
        The lake.

    Raises
    ------
    NotThere
        Nothing is live, or nothing landed.
    """
    if live is None:
        raise NotThere("Nothing is live at the batch endpoint; run `credit-default deploy deployment` first")
    if not found.landed:
        raise NotThere(f"No file landed for {day}; put one into {lake.LANDED_INFERENCE}/{day}/ of the lake")
    name = f"{day}/{lake.table_file(lake.PREDICTIONS)}"
    if found.predicted is None:
        told = "the day has no predictions yet, or none that can be read"
        return Change(Action.CREATE, "predictions", name, where, told, live.version)
    why = _why_again(day, live, found, found.predicted)
    if why is not None:
        return Change(Action.UPDATE, "predictions", name, where, why, live.version)
    told = f"version {live.version} scored these very files"
    return Change(Action.UNCHANGED, "predictions", name, where, told)


def _why_again(day: date, live: ModelVersion, found: Day, predicted: Predicted) -> str | None:
    """Return why a day that was scored has to be scored again, or None."""
    if predicted.rows and (predicted.model_version, predicted.model_sha256) != (live.version, live.sha256):
        return f"version {predicted.model_version} scored the day, and version {live.version} is live"
    if found.clients is None or found.taken_in != IngestionRecord(found.landed, found.clients):
        return "nothing says that its clients were taken in from the files that are there now"
    if not _of_these_clients(day, live, found.clients, predicted):
        return "its predictions are not those of the clients that were taken in"
    # What was measured of a day without rows names no version.
    if found.measured not in {(predicted.data_version, live.version), (predicted.data_version, None)}:
        return "the drift of these predictions was not measured"
    return None


def _of_these_clients(day: date, live: ModelVersion, clients: str, predicted: Predicted) -> bool:
    if predicted.rows:
        return predicted.input_data_version == clients
    # No row says what they were made of and by which model; their data version does.
    return predicted.data_version == data_version(origin_key(day, live.sha256, clients), np.empty(0))
