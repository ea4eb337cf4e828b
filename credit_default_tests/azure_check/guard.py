"""What a check refuses, and what it says before it asks."""

from __future__ import annotations

from typing import Any

from credit_default.deploy.place import AzureTarget, told_by_azure
from credit_default.errors import NotAllowed, SettingsError
from credit_default.resources.azure.client.retries import unless_missing
from credit_default.settings import Environment
from credit_default.settings.azure_compute import SERVERLESS, Kind

#: All that a check may take, removal included; what is under way then is cancelled.
MAX_MINUTES = 90
#: Of these, what is kept for removing everything again.
REMOVAL_MINUTES = 15
MAX_NODES = 2
#: US dollars an hour for a machine with four cores and 16 GB; in Europe and the US between 0.19 and 0.27 in 2026.
_PRICE = 0.27
#: Minutes of each part: usual, and how many machines it keeps busy.
PARTS = {
    "environments, of which Azure builds an image at the first job of each": (20, 0),
    "a training of one trial": (12, 1),
    "deployment and a day scored": (15, 1),
    "online": (12, 1),
    "telemetry": (5, 0),
    "probes": (8, 2),
    "removal": (8, 1),
}


def must_be_allowed(place: AzureTarget) -> None:
    """Refuse production, and what cannot be deployed to.

    Raises
    ------
    NotAllowed
        This is production.
    SettingsError
        There is no cluster.
    """
    if place.settings.environment is Environment.PRODUCTION:
        raise NotAllowed(
            "A check makes and removes endpoints, models and everything in the lake, so it does not run in production; "
            "name the settings of a workspace made for it, of development or staging"
        )
    if place.endpoint.compute.targets[Kind.SCORE.value].compute == SERVERLESS:
        raise SettingsError(
            "CREDIT_DEFAULT_COMPUTE is serverless, and a batch endpoint needs a cluster; set it to the name of one"
        )


def must_be_unused(place: AzureTarget) -> None:
    """Refuse a workspace in which the platform is in use.

    Raises
    ------
    NotAllowed
        It has an endpoint of the platform's name, or something in its lake.
    """
    with told_by_azure("looking whether the workspace is in use"):
        place.must_be_there()
        used = [
            f"{kind} endpoint {endpoint.name} is there"
            for kind, endpoint in (("batch", place.endpoint), ("online", place.online_endpoint))
            if endpoint.look().there
        ]
        storage = place.storage
        if storage.blobs.ask("lake", lambda client: any(True for _ in client.list_blobs(results_per_page=1))):
            used.append(f"container {storage.container} of storage account {storage.account} holds blobs")
    if used:
        raise NotAllowed(
            f"Workspace {place.workspace} is in use: {'; '.join(used)}. A check removes at its end what is there by "
            "these names, so it wants a workspace without endpoints of the platform and with an empty lake: make one "
            "for it, or empty this one"
        )


def cluster_of(place: AzureTarget) -> Any:
    """Return the cluster that steps run on; None when there is none of that name."""
    name = place.endpoint.compute.targets[Kind.SCORE.value].compute
    return unless_missing(lambda: place.registry.workspace.client().compute.get(name), None)


def estimate(place: AzureTarget) -> str:
    """Return what a check costs and does.

    Raises
    ------
    SettingsError
        The cluster that the settings name is not there.
    """
    with told_by_azure("looking at the cluster"):
        cluster = cluster_of(place)
    if cluster is None:
        name = place.endpoint.compute.targets[Kind.SCORE.value].compute
        raise SettingsError(
            f"Workspace {place.workspace} has no compute {name}; set CREDIT_DEFAULT_COMPUTE to a cluster"
        )
    minutes = sum(minutes for minutes, _ in PARTS.values())
    machines = sum(minutes * machines for minutes, machines in PARTS.values())
    latest = MAX_MINUTES - REMOVAL_MINUTES
    most = MAX_NODES * MAX_MINUTES / 60 * _PRICE
    online = place.online_endpoint
    storage, size = place.storage, f"{cluster.size} of cluster {cluster.name}"
    parts = "\n".join(f"  {minutes:>3} min  {name}" for name, (minutes, _) in PARTS.items())
    return f"""\
Workspace {place.workspace} ({place.environment}), container {storage.container} of storage account {storage.account}.
{parts}
About {minutes} minutes. After {latest} what is running is cancelled and all is removed, to end within {MAX_MINUTES}.
At most {MAX_NODES} machines at a time: {size}, and {online.instance_type} of the online endpoint.
About {machines / 60 * _PRICE:.2f} US dollars for machines, {most:.2f} at most, at {_PRICE} an hour for each (look up
yours), and cents for building and keeping images.
It makes both endpoints, versions of environments, of a model and of data assets, jobs, telemetry, and blobs.
At its end it removes the endpoints and EVERY blob of that container, and archives versions."""
