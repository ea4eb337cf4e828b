"""Where a prediction is, and the tables that it names: the present ones and those that they replaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from credit_default.core import lake, tables
from credit_default.core.lineage import prediction
from credit_default.core.lineage.evidence import Recorded
from credit_default.core.scoring.predictions import id_prefix, origin_key
from credit_default.errors import ContractError, NotThere, UnreadableFile
from credit_default.ports import Storage
from credit_default.resources.retention import removed_predictions
from credit_default.tracing.history import History


@dataclass(frozen=True)
class Located:
    """The file that a prediction is in.

    Attributes
    ----------
    key
        None when the event log, or the record of what retention removed, knows the prediction and no file holds it.
    same_in
        Other files with predictions of this id: the same rows were scored again by the same model.
    """

    day: str
    key: str | None
    same_in: tuple[str, ...] = ()


def locate(storage: Storage, history: History, prefix: str) -> Located | None:
    """Find the newest file whose ids begin so, or return None.

    All ids of a file begin alike and follow from what is recorded of it. So the event log tells the day, and files are
    opened for that day alone; the first row of every file is read only when the log knows nothing.
    """
    recorded = list(dict.fromkeys(_days(history, prefix)))
    for day in recorded:
        found = _in_day(storage, day, prefix)
        if found is not None:
            return found
    if recorded:
        present = lake.predictions(recorded[0])
        # What is there and cannot be read may well be it.
        is_it = storage.exists(present) and not _first_row(storage, present)
        return Located(recorded[0], present if is_it else None)
    entries = (*storage.entries(lake.PREDICTIONS), *storage.entries(lake.superseded(lake.PREDICTIONS)))
    days = sorted({entry.name for entry in entries if entry.is_folder}, reverse=True)
    found = next((found for day in days if (found := _in_day(storage, day, prefix)) is not None), None)
    if found is not None:
        return found
    removal = removed_predictions(storage, prefix)
    return Located(removal.key.split("/")[1], None) if removal is not None else None


def inputs_of(
    storage: Storage, day: str, version: str, recorded: Iterable[Recorded]
) -> tuple[str, pa.Table | None] | None:
    """Find the table of a day that has a data version; its content is None when it cannot be read.

    The table that should be there counts too, whatever its metadata says: it was altered then.
    """
    present = lake.inference_data(day)
    for key in _versions(storage, lake.INFERENCE_DATA, day):
        table, told = read(storage, key)
        if told == version:
            return key, table
    newest = next(iter(recorded), None)
    if newest is not None and newest.data_version == version and storage.exists(present):
        return present, read(storage, present)[0]
    return None


def prefix_of(day: str, recorded: Recorded) -> str:
    """Return what the ids of predictions begin with, by what was recorded of them."""
    sha256, version = (str(recorded.metadata.get(name)) for name in ("model_sha256", "input_data_version"))
    return id_prefix(origin_key(date.fromisoformat(day), sha256, version))


def read(storage: Storage, key: str) -> tuple[pa.Table | None, str | None]:
    """Read a table and the data version that its file tells; None for what cannot be read."""
    with storage.on_disk(key) as path:
        try:
            table = tables.read(path)
        except (UnreadableFile, NotThere, pa.ArrowException):
            return None, None
        try:
            return table, tables.data_version_of(path)
        except ContractError:
            return table, None


def _days(history: History, prefix: str) -> Iterator[str]:
    for day, recorded in history.of("batch_predictions"):
        if day is not None and prefix_of(day, recorded) == prefix:
            yield day


def _in_day(storage: Storage, day: str, prefix: str) -> Located | None:
    matching = []
    present = lake.predictions(day)
    for key in _versions(storage, lake.PREDICTIONS, day):
        first = _first_row(storage, key)
        if prefix in prediction.prefixes_of(first):
            matching.append((key == present, str(first.get("scored_at")), key))
    if not matching:
        return None
    newest, *others = sorted(matching, reverse=True)
    return Located(day, newest[2], tuple(key for _, _, key in others))


def _first_row(storage: Storage, key: str) -> prediction.Row:
    with storage.on_disk(key) as path:
        return prediction.first_row(path)


def _versions(storage: Storage, dataset: str, day: str) -> Iterator[str]:
    """Yield the key of a day's table, if it is there, and of those that it replaced."""
    present, folder = lake.table(dataset, day), lake.superseded(dataset, day)
    if storage.exists(present):
        yield present
    yield from (f"{folder}/{entry.name}" for entry in storage.entries(folder) if not entry.is_folder)
