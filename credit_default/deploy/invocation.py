"""A day scored by the batch endpoint, by the platform's own job `score_batch`, and its predictions read back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from credit_default.core import lake, tables
from credit_default.deploy.environments import missing
from credit_default.deploy.place import AzureTarget, told_by_azure
from credit_default.deploy.plans.changes import Action, Change, Report, any_pending
from credit_default.deploy.plans.invocation import plan_invocation
from credit_default.deploy.plans.verification import Expected, problems, read
from credit_default.deploy.scored_days import look
from credit_default.errors import DayError, DeployError
from credit_default.runs.instance import enter
from credit_default.runs.launching import launch
from credit_default.settings.azure_compute import Kind

if TYPE_CHECKING:
    import pyarrow as pa

    from credit_default.ports import ModelVersion


#: What the steps of a day run as, besides the endpoint itself.
_KINDS = (Kind.SCORE, Kind.DRIFT)


def invoke(place: AzureTarget, day: date, *, verify: bool, dry_run: bool) -> Report:
    """Score a day with the live version, unless that was done, and wait for it; by `verify`, read it back.

    What was done is asked of the lake: the Dagster instance may be one that was made for this very call.

    Raises
    ------
    DayError
        The day is before the first day, or has not begun.
    DeployError
        The predictions that were read back are not what they should be.
    """
    _must_be_ours(place, day)
    name, storage = day.isoformat(), place.storage
    with told_by_azure(f"looking at {name}"):
        place.must_be_there()
        change = plan_invocation(storage.container, day, _live(place), look(storage, day))
        changes = [*(_before(place, name) if change.pending else []), change]
    if dry_run:
        return Report("invoke", place.environment, dry_run, changes, {"day": name})
    run_id = None
    if any_pending(changes):
        settings = enter(place.settings)
        run_id = launch("score_batch", settings.home / "deploy.log", days=(name, name))
    with told_by_azure(f"reading the predictions of {name}"):
        predictions, key = _predictions(place, day), lake.predictions(day)
        about = {"day": name, "predictions": storage.uri(key), **read(predictions).as_dict(), "run_id": run_id}
        if verify:
            _must_be_right(place, predictions, day)
    return Report("invoke", place.environment, dry_run, changes, {**about, "verified": verify})


def _before(place: AzureTarget, day: str) -> list[Change]:
    """Return what changes on the way to the predictions of a day."""
    told = "if these clients have none yet; its version is a hash of them"
    entered = Change(Action.CREATE, "data asset", f"inference_data:{day}", place.workspace, told, certain=False)
    return [*place.missing_datastore(), *missing(place, _KINDS), entered]


def _must_be_ours(place: AzureTarget, day: date) -> None:
    today = datetime.now(UTC).date()
    if not place.settings.start <= day <= today:
        raise DayError(f"{day} is no day of ours; expected one from {place.settings.start} to today, {today} (UTC)")


def _live(place: AzureTarget) -> ModelVersion | None:
    version = place.endpoint.look().state.default
    return place.registry.get(version) if version is not None else None


def _predictions(place: AzureTarget, day: date) -> pa.Table:
    with place.storage.on_disk(lake.predictions(day)) as path:
        return tables.read(path)


def _must_be_right(place: AzureTarget, predictions: pa.Table, day: date) -> None:
    """Hold predictions to what was taken in and to what is live now."""
    import pyarrow.parquet as pq

    live = _live(place)
    assert live is not None
    with place.storage.on_disk(lake.inference_data(day)) as path:
        rows, version = pq.read_metadata(path).num_rows, tables.data_version_of(path)
    found = problems(predictions, Expected(day, rows, version, live))
    if found:
        raise DeployError(
            f"The predictions of {day} are not what version {live.version} makes of that day: {'; '.join(found)}. "
            "Look at the run in Dagster, and score the day again"
        )
