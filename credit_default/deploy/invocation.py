"""A day scored by the batch endpoint, by the platform's own job `score_batch`, and its predictions read back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import dagster as dg

from credit_default.core import tables
from credit_default.defs import scoring
from credit_default.defs.landing import dealt_with
from credit_default.deploy.changes import Change, Report, any_pending
from credit_default.deploy.environments import there
from credit_default.deploy.place import Place, told_by_azure
from credit_default.deploy.plan_assets import plan
from credit_default.deploy.plan_invocation import Predicted, plan_invocation
from credit_default.deploy.verification import Expected, problems, read
from credit_default.errors import DayError, DeployError, NotThere
from credit_default.instance import enter
from credit_default.launching import launch
from credit_default.resources.azure import job_environments
from credit_default.resources.azure.targets import Kind

if TYPE_CHECKING:
    import pyarrow as pa

    from credit_default.resources.ports import ModelVersion


def invoke(place: Place, day: date, *, verify: bool, dry_run: bool) -> Report:
    """Score a day with the live version, unless that was done, and wait for it; by `verify`, read it back.

    Raises
    ------
    DayError
        The day is before the first day, or has not begun.
    DeployError
        The predictions that were read back are not what they should be.
    """
    _must_be_ours(place, day)
    settings, name = enter(place.settings), day.isoformat()
    with told_by_azure(f"looking at {name}"):
        place.must_be_there()
        live = _live(place)
        landing = f"{scoring.LANDING}/{name}"
        fingerprint = place.storage.fingerprint(landing)
        with dg.DagsterInstance.get() as instance:
            known = dealt_with(instance, "inference_data", scoring.CHAIN, name, fingerprint)
        predicted = _predicted(place, name)
        change = plan_invocation(
            place.storage.container, name, live, landed=bool(fingerprint), dealt_with=known, predicted=predicted
        )
        changes = [*(_missing_environments(place) if change.pending else []), change]
    if dry_run:
        return Report("invoke", place.environment, dry_run, changes, {"day": name})
    run_id = launch("score_batch", settings.home / "deploy.log", day=name) if any_pending(changes) else None
    with told_by_azure(f"reading the predictions of {name}"):
        predictions, key = _predictions(place, name), _key(name)
        about = {"day": name, "predictions": place.storage.uri(key), **read(predictions).as_dict(), "run_id": run_id}
        if verify:
            _must_be_right(place, predictions, day)
    return Report("invoke", place.environment, dry_run, changes, {**about, "verified": verify})


def _must_be_ours(place: Place, day: date) -> None:
    today = datetime.now(UTC).date()
    if not place.settings.start <= day <= today:
        raise DayError(f"{day} is no day of ours; expected one from {place.settings.start} to today, {today} (UTC)")


def _live(place: Place) -> ModelVersion | None:
    version = place.endpoint.look().state.default
    return place.registry.get(version) if version is not None else None


def _missing_environments(place: Place) -> list[Change]:
    """Return the environments that the job's steps run in and that are still to be made."""
    wanted = {job_environments.reference(kind): kind for kind in (Kind.SCORE, Kind.DRIFT)}
    found = there(place, place.registry.workspace.client(), wanted)
    return plan("environment", place.workspace, [name for name in wanted if name not in found], ())


def _key(day: str) -> str:
    return f"predictions/{day}/predictions.parquet"


def _predicted(place: Place, day: str) -> Predicted | None:
    try:
        told = read(_predictions(place, day))
    except NotThere:
        return None
    return Predicted(told.model_version, told.model_sha256)


def _predictions(place: Place, day: str) -> pa.Table:
    with place.storage.on_disk(_key(day)) as path:
        return tables.read(path)


def _must_be_right(place: Place, predictions: pa.Table, day: date) -> None:
    """Hold predictions to what was taken in and to what is live now."""
    import pyarrow.parquet as pq

    live = _live(place)
    assert live is not None
    with place.storage.on_disk(f"inference_data/{day}/inference_data.parquet") as path:
        rows, version = pq.read_metadata(path).num_rows, tables.data_version_of(path)
    found = problems(predictions, Expected(day, rows, version, live))
    if found:
        raise DeployError(
            f"The predictions of {day} are not what version {live.version} makes of that day: {'; '.join(found)}. "
            "Look at the run in Dagster, and score the day again"
        )
