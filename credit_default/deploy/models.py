"""Versions of the model on their way: from staging into the shared registry, and from there into production."""

from __future__ import annotations

from typing import Any

from credit_default.deploy.place import AzureTarget, told_by_azure
from credit_default.deploy.plans.changes import Report, any_pending
from credit_default.deploy.plans.deployment import choose
from credit_default.deploy.plans.models import must_be_there, plan_promote, plan_share
from credit_default.resources import ledger as ledgers
from credit_default.runs import promotion
from credit_default.settings import Environment


def share(place: AzureTarget, version: str | None, *, dry_run: bool) -> Report:
    """Upload a version that may go live from the staging workspace to the shared registry, with its tags.

    Every file is held to its sha256 before it is uploaded.
    """
    place.must_be(Environment.STAGING, "Versions are shared by the workspace that trained and tried them, staging")
    registry = place.registry
    with told_by_azure(f"looking at what registry {registry.registry} has"):
        place.must_be_there()
        choice = choose(registry.versions(), ledgers.read(place.storage), version)
        shared = choice.model is not None and registry.is_shared(choice.model)
    changes = plan_share(registry.registry, choice, shared=shared)
    about: dict[str, Any] = {"version": None, "shared_id": None}
    if choice.model is not None:
        model = choice.model
        about = {"version": model.version, "sha256": model.sha256, "shared_id": registry.shared_id(model.version)}
        if not shared and not dry_run:
            with told_by_azure(f"sharing version {model.version}"):
                registry.share(model.version)
    return Report("model share", place.environment, dry_run, changes, about)


def promote(place: AzureTarget, version: str, approval: str | None, *, dry_run: bool) -> Report:
    """Bring a version of the shared registry into the production workspace, if it may go live there. Deploys nothing.

    Every file is held to its sha256 before it is registered.
    """
    place.must_be(Environment.PRODUCTION, "Versions are promoted to production")
    registry, storage = place.registry, place.storage
    with told_by_azure(f"looking at version {version} of registry {registry.registry}"):
        place.must_be_there()
        shared = must_be_there(registry.shared(version), registry.registry, version)
        changes = plan_promote(
            place.workspace,
            shared,
            registry.versions(),
            ledgers.read(storage),
            following=registry.next_number(),
            approval=approval,
        )
        if any(change.kind == "model" and change.pending for change in changes):
            changes = [*place.missing_datastore(), *changes]
    about: dict[str, Any] = {"shared_id": registry.shared_id(version), "sha256": shared.sha256}
    number = next(change.name.partition(":")[2] for change in changes if change.kind == "model")
    if any_pending(changes) and not dry_run:
        with told_by_azure(f"taking version {version} from registry {registry.registry}"):
            number = registry.take(version).version
        if approval is not None and any(change.kind == "ledger" for change in changes):
            promotion.decide(place.settings, "approve", number, approval)
    return Report("model promote", place.environment, dry_run, changes, {"version": number, **about})
