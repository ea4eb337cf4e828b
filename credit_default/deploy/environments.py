"""Job environments in a workspace, or in the shared registry: the versions that follow from the project's lock."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from credit_default.deploy.place import AzureTarget, told_by_azure
from credit_default.deploy.plans.assets import plan
from credit_default.deploy.plans.changes import Change, Report
from credit_default.resources.azure.client.retries import uploaded
from credit_default.resources.azure.jobs import job_environments
from credit_default.resources.azure.jobs.job_environments import BATCH, ONLINE
from credit_default.settings.azure_compute import Kind

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

#: Those of jobs, and those of deployments.
KINDS = (*(kind.value for kind in Kind), BATCH, ONLINE)


def deploy(place: AzureTarget, *, in_registry: bool, dry_run: bool) -> Report:
    """Register every environment that is not there in its present version."""
    where = place.registry.registry if in_registry else place.workspace
    with told_by_azure(f"looking at the environments in {where}"):
        place.must_be_there()
        client = _client(place, in_registry=in_registry)
        wanted = {job_environments.reference(kind): kind for kind in KINDS}
        changes = plan("environment", where, wanted, there(place, client, wanted))
    if not dry_run:
        # The SDK sends an empty line to the terminal for each folder that it uploads.
        with told_by_azure(f"registering environments in {where}"), contextlib.redirect_stderr(io.StringIO()):
            for change in changes:
                if change.pending:
                    ensure = partial(job_environments.ensure, client, wanted[change.name])
                    register = partial(uploaded, f"Environment {change.name}", place.registry.time_limit, ensure)
                    place.patience().ask(f"registering {change.name}", register)
    return Report("environments", place.environment, dry_run, changes)


def there(place: AzureTarget, client: MLClient, wanted: Mapping[str, str]) -> list[str]:
    """Return the environments that are there, of those that are wanted.

    Parameters
    ----------
    wanted
        ``name:version`` to kind.
    """
    patience = place.patience()
    return [
        name
        for name, kind in wanted.items()
        if patience.ask(f"looking for {name}", partial(job_environments.is_there, client, kind))
    ]


def missing(place: AzureTarget, kinds: Iterable[str]) -> list[Change]:
    """Return the environments of the workspace that jobs of these kinds run in and that are still to be made."""
    wanted = {job_environments.reference(kind): kind for kind in kinds}
    found = there(place, place.registry.workspace.client(), wanted)
    return plan("environment", place.workspace, [name for name in wanted if name not in found], ())


def _client(place: AzureTarget, *, in_registry: bool) -> MLClient:
    workspace, registry = place.registry.workspace, place.registry.registry
    if not in_registry:
        return workspace.client()
    return place.patience().ask(f"opening {registry}", lambda: workspace.registry_client(registry))
