"""What the lake holds of a day, whichever Dagster instance scored it. What cannot be read counts as not there."""

from __future__ import annotations

from datetime import date

from credit_default.core import lake, tables
from credit_default.core.stored_json import read_object
from credit_default.defs.landing import ingestion
from credit_default.deploy.plans.invocation import Day, Predicted
from credit_default.deploy.plans.verification import only
from credit_default.errors import DamagedFile, InputError, NotThere
from credit_default.ports import Storage


def look(storage: Storage, day: date) -> Day:
    """Return what there is of a day, from what landed to its drift."""
    predicted = _predicted(storage, day)
    return Day(
        landed=storage.fingerprint(f"{lake.LANDED_INFERENCE}/{day}"),
        taken_in=ingestion.of(storage, lake.INFERENCE_DATA, str(day)),
        clients=_clients(storage, day),
        predicted=predicted,
        measured=_measured(storage, day) if predicted is not None else None,
    )


def _clients(storage: Storage, day: date) -> str | None:
    try:
        with storage.on_disk(lake.inference_data(day)) as path:
            return tables.data_version_of(path)
    except (NotThere, InputError):
        return None


def _predicted(storage: Storage, day: date) -> Predicted | None:
    try:
        with storage.on_disk(lake.predictions(day)) as path:
            table, version = tables.read(path), tables.data_version_of(path)
    except (NotThere, InputError):
        return None
    told = {name: only(table, name) for name in ("model_version", "model_sha256", "input_data_version")}
    return Predicted(rows=table.num_rows, data_version=version, **told)


def _measured(storage: Storage, day: date) -> tuple[str, str | None] | None:
    try:
        drift = read_object(storage.read(lake.drift(day)), f"drift of {day}", "measure it again")
        return drift["predictions_data_version"], drift["model_version"]
    except (NotThere, DamagedFile, KeyError):
        return None
