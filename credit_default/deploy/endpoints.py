"""The batch endpoint, and which version answers at it and at the online endpoint.

Versions go live by the platform's own jobs, `deploy_model` and `deploy_online`: smoke test, ledger of promotions and
lineage are the same whoever starts them.
"""

from __future__ import annotations

from typing import Any

from credit_default.deploy.place import AzureTarget, told_by_azure
from credit_default.deploy.plans.assets import plan_one
from credit_default.deploy.plans.changes import Change, Report, any_pending
from credit_default.deploy.plans.deployment import Choice, Needs, choose, goes_live, is_missing, plan_batch, plan_online
from credit_default.ports import ModelVersion
from credit_default.resources import ledger as ledgers
from credit_default.resources.azure.endpoints.deployments import EndpointSnapshot
from credit_default.resources.azure.endpoints.managed_endpoint import ManagedEndpoint
from credit_default.resources.azure.jobs import job_environments
from credit_default.runs.instance import enter
from credit_default.runs.launching import launch


def deploy_endpoint(place: AzureTarget, *, dry_run: bool) -> Report:
    """Make the batch endpoint, without deployments, unless it is there."""
    endpoint = place.endpoint
    with told_by_azure(f"looking for endpoint {endpoint.name}"):
        place.must_be_there()
        change = plan_one("batch endpoint", place.workspace, endpoint.name, is_there=endpoint.look().there)
    if change.pending and not dry_run:
        with told_by_azure(f"making endpoint {endpoint.name}"):
            endpoint.ensure()
    return Report("endpoint", place.environment, dry_run, [change])


def deploy_version(place: AzureTarget, version: str | None, reason: str | None, *, dry_run: bool) -> Report:
    """Let a version answer at the batch endpoint: the one that is named, or the newest if its verdict allows it."""
    with told_by_azure("looking at what is deployed"):
        place.must_be_there()
        choice, changes = _planned(place, version, reason)
    run_id = None
    if any_pending(changes) and not dry_run:
        # Named, so that the run does what was planned; when nothing is to go live, it only mends what is told of it.
        named = {"version": choice.model.version} if choice.model is not None else {}
        config = {**named, "reason": choice.why}
        run_id = _launched(place, "deploy_model", {"ops": {"batch_deployment": {"config": config}}})
    return Report("deployment", place.environment, dry_run, changes, _live(place.endpoint, run_id))


def _planned(place: AzureTarget, version: str | None, reason: str | None) -> tuple[Choice, list[Change]]:
    look, ledger, versions = place.endpoint.look(), ledgers.read(place.storage), place.registry.versions()
    choice = choose(versions, ledger, version)
    if choice.model is not None and reason is not None:
        choice = Choice(choice.model, reason)
    needs = _needs(place, place.endpoint, look, choice.model)
    champion = next((one.version for one in versions if "champion" in one.aliases), None)
    return choice, plan_batch(place.workspace, look, choice, needs, ledger=ledger, champion=champion)


def deploy_online(place: AzureTarget, *, dry_run: bool) -> Report:
    """Let the version that is live at the batch endpoint answer at the online endpoint, too."""
    with told_by_azure("looking at what is deployed"):
        place.must_be_there()
        live = place.endpoint.look().state.default
        model = place.registry.get(live) if live is not None else None
        look = place.online_endpoint.look()
        changes = plan_online(place.workspace, look, model, _needs(place, place.online_endpoint, look, model))
    run_id = _launched(place, "deploy_online", {}) if any_pending(changes) and not dry_run else None
    with told_by_azure("looking where the endpoint is asked"):
        about = {**_live(place.online_endpoint, run_id), "scoring_uri": place.online_endpoint.scoring_uri()}
    return Report("online", place.environment, dry_run, changes, about)


def _needs(
    place: AzureTarget, endpoint: ManagedEndpoint, look: EndpointSnapshot, model: ModelVersion | None
) -> Needs | None:
    """Return what there is of what a deployment is made of, when one has to be made.

    Raises
    ------
    NotAllowed
        It has to come from the shared registry, and did not.
    SettingsError
        Nothing can be deployed with the present settings.
    """
    if model is None or not goes_live(look, model) or not is_missing(look, model):
        return None
    endpoint.must_be_deployable(model)
    client = place.registry.workspace.client()
    reference = job_environments.reference(endpoint.environment)
    return Needs(
        environment=reference,
        environment_is_there=place.patience().ask(
            f"looking for {reference}", lambda: job_environments.is_there(client, endpoint.environment)
        ),
    )


def _launched(place: AzureTarget, job: str, config: dict[str, Any]) -> str:
    enter(place.settings)
    return launch(job, place.settings.home / "deploy.log", config=config)


def _live(endpoint: ManagedEndpoint, run_id: str | None) -> dict[str, str | None]:
    """Tell what answers now."""
    with told_by_azure("looking at what is deployed"):
        state = endpoint.state()
    return {"live_version": state.default, "previous_version": state.previous, "run_id": run_id}
