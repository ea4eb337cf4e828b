"""A new version of the model, by the platform's own job `train_model`."""

from __future__ import annotations

import dagster as dg

from credit_default.defs.assets.model import VERDICT
from credit_default.deploy.environments import missing
from credit_default.deploy.place import AzureTarget, told_by_azure
from credit_default.deploy.plans.changes import Action, Change, Report
from credit_default.errors import NotThere, SettingsError
from credit_default.runs.instance import enter
from credit_default.runs.launching import launch
from credit_default.settings import Environment
from credit_default.settings.azure_compute import Kind


def train(place: AzureTarget, *, trials: int | None, dry_run: bool) -> Report:
    """Train on all the data that has arrived, and register what comes of it with a verdict. Deploys nothing.

    Raises
    ------
    SettingsError
        This is production, where nothing that was trained there is deployed.
    """
    if place.settings.environment is Environment.PRODUCTION:
        raise SettingsError(
            "Production trains nothing: it takes its versions from the shared registry. Train in staging, and bring "
            "the version on by `credit-default deploy model share` and `model promote`"
        )
    with told_by_azure("looking at the registered versions"):
        place.must_be_there()
        changes = _planned(place)
    if dry_run:
        return Report("train", place.environment, dry_run, changes)
    enter(place.settings)
    config = {"ops": {"trained_model": {"config": {"trials": trials}}}} if trials is not None else None
    run_id = launch("train_model", place.settings.home / "deploy.log", config=config)
    with told_by_azure("looking at what was registered"):
        trained = place.registry.get(_registered_by(run_id))
    about = {"version": trained.version, "verdict": trained.tags.get(VERDICT), "run_id": run_id}
    return Report("train", place.environment, dry_run, changes, about)


def _planned(place: AzureTarget) -> list[Change]:
    """Return what a training changes, as far as that is known before its data is curated and its model judged."""
    where, number = place.workspace, place.registry.next_number()
    content, verdict = "if this content has none yet; its version is a hash of it", "if its verdict is promote"
    return [
        *place.missing_datastore(),
        *missing(place, Kind),
        Change(Action.CREATE, "data asset", "curated_data", where, content, certain=False),
        Change(
            Action.CREATE,
            "model",
            f"{place.registry.name}:{number}",
            where,
            "a training registers a version of its own",
        ),
        Change(Action.UPDATE, "alias", "challenger", where, verdict, number, certain=False),
    ]


def _registered_by(run_id: str) -> str:
    """Return the version that a run registered: another run may have registered a newer one meanwhile.

    Raises
    ------
    NotThere
        The run does not say.
    """
    with dg.DagsterInstance.get() as instance:
        events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    for event in events:
        made = event.asset_materialization
        if made is not None and made.asset_key == dg.AssetKey("registered_model"):
            return str(made.metadata["version"].value)
    raise NotThere(f"Run {run_id} registered no version; look at it in Dagster")
