"""A new version of the model, by the platform's own job `train_model`."""

from __future__ import annotations

from credit_default.defs.model import VERDICT
from credit_default.deploy.changes import Action, Change, Report
from credit_default.deploy.place import Place, told_by_azure
from credit_default.instance import enter
from credit_default.launching import launch


def train(place: Place, *, trials: int | None, dry_run: bool) -> Report:
    """Train on all the data that has arrived, and register what comes of it with a verdict. Deploys nothing."""
    with told_by_azure("looking at the registered versions"):
        number = str(place.registry.next_number())
    model = f"{place.registry.name}:{number}"
    changes = [Change(Action.CREATE, "model", model, place.workspace, "a training registers a version of its own")]
    if dry_run:
        return Report("train", place.environment, dry_run, changes)
    enter(place.settings)
    config = {"ops": {"trained_model": {"config": {"trials": trials}}}} if trials is not None else None
    run_id = launch("train_model", place.settings.home / "deploy.log", config=config)
    with told_by_azure("looking at what was registered"):
        trained = place.registry.versions()[0]
    about = {"version": trained.version, "verdict": trained.tags.get(VERDICT), "run_id": run_id}
    return Report("train", place.environment, dry_run, changes, about)
