"""What is where: one look at each environment and at the registry that they share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from credit_default import settings as settings_of
from credit_default.deploy import settings_file
from credit_default.deploy.environments import KINDS
from credit_default.deploy.place import AzureTarget, open_place, told_by_azure
from credit_default.errors import CreditDefaultError, SettingsError
from credit_default.resources.azure.endpoints.managed_endpoint import ManagedEndpoint
from credit_default.resources.azure.jobs import job_environments
from credit_default.settings import ENVIRONMENT_VARIABLE, Environment

#: The environments that are shown, in the order in which a model goes through them.
SHOWN = (Environment.DEVELOPMENT, Environment.STAGING, Environment.PRODUCTION)
#: Whoever asks for a table does not want to wait for a quarter of an hour.
_PATIENCE = {"CREDIT_DEFAULT_UNREACHABLE_LIMIT": "20"}
_DATA_ASSETS = ("curated_data", "inference_data")

Facts = dict[str, Any]


def status(files: Sequence[Path], environ: Mapping[str, str] = os.environ) -> Facts:
    """Return what is in each environment and in each registry that they name, as plain JSON.

    An environment that has no settings, or cannot be looked at, says so under ``problem`` and keeps no other from
    being shown.

    Parameters
    ----------
    files
        Of settings, one for each environment; that of the process itself needs none.
    """
    known = _settings(files, environ)
    environments: dict[str, Facts] = {}
    registries: dict[str, Facts] = {}
    for environment in SHOWN:
        if environment not in known:
            environments[environment] = {"problem": "no settings", "given": False}
            continue
        with settings_file.entered({**known[environment], **_PATIENCE}):
            environments[environment] = {"given": True, **_looked(lambda: _environment(open_place()))}
            registry = environments[environment].get("registry")
            if registry and registries.get(registry, {"problem": "not looked at"}).get("problem"):
                registries[registry] = _looked(lambda: _registry(open_place()))
    return {"environments": environments, "registries": registries}


def failed(told: Facts) -> bool:
    """Whether anything that there are settings for could not be looked at."""
    environments = [one for one in told["environments"].values() if one["given"]]
    return any(one.get("problem") for one in [*environments, *told["registries"].values()])


def _settings(files: Sequence[Path], environ: Mapping[str, str]) -> dict[Environment, Mapping[str, str]]:
    """Return the environment of a process for each environment that there are settings of."""
    found: dict[Environment, Mapping[str, str]] = {}
    for path in files:
        told = settings_file.read(path, environ)
        environment = Environment(told[ENVIRONMENT_VARIABLE].strip())
        if environment in found:
            raise SettingsError(f"{path} is the second file with settings of {environment.value}; name one of them")
        found[environment] = told
    own = settings_of.read(environ).environment
    if own is not Environment.LOCAL:
        found.setdefault(own, dict(environ))
    return found


def _looked(look: Callable[[], Facts]) -> Facts:
    try:
        with told_by_azure("looking at it"):
            return look()
    except CreditDefaultError as error:
        return {"problem": str(error)}


def _environment(place: AzureTarget) -> Facts:
    facts: Facts = {"workspace": place.workspace, "registry": place.registry.registry}
    try:
        with told_by_azure("looking at it"):
            place.must_be_there()
            client, patience = place.registry.workspace.client(), place.patience()
            batch = _endpoint(place.endpoint)
            facts |= {
                "models": [
                    {
                        "version": one.version,
                        "sha256": one.sha256,
                        "verdict": one.tags.get("verdict", "missing"),
                        "live": one.version == batch["live_version"],
                    }
                    for one in place.registry.versions()
                ],
                "environments": patience.ask("listing environments", lambda: _environments(client)),
                "batch_endpoint": batch,
                "online_endpoint": _endpoint(place.online_endpoint),
                "data_assets": patience.ask("listing data assets", lambda: _data_assets(client)),
            }
    except CreditDefaultError as error:
        facts["problem"] = str(error)
    return facts


def _registry(place: AzureTarget) -> Facts:
    registry, patience = place.registry, place.patience()
    client = patience.ask("opening the registry", lambda: registry.workspace.registry_client(registry.registry))
    models = patience.ask("listing models", lambda: _listed(lambda: client.models.list(registry.name)))
    told = [
        {
            "version": str(one.version),
            "sha256": (one.tags or {}).get("model_sha256", ""),
            "verdict": (one.tags or {}).get("verdict", "missing"),
        }
        for one in models
    ]
    told.sort(key=lambda one: int(one["version"]) if one["version"].isdecimal() else 0, reverse=True)
    return {
        "models": told,
        "environments": patience.ask("listing environments", lambda: _environments(client)),
    }


def _environments(client: Any) -> dict[str, Facts]:
    """Tell of each environment whether it is there as the project's lock has it now."""
    told = {}
    for kind in KINDS:
        name, _, version = job_environments.reference(kind).partition(":")
        versions = [str(one.version) for one in _listed(partial(client.environments.list, name))]
        state = "current" if version in versions else "outdated" if versions else "missing"
        told[kind] = {"state": state, "wanted": version, "versions": versions}
    return told


def _endpoint(endpoint: ManagedEndpoint) -> Facts:
    look = endpoint.look()
    state = look.state
    return {
        "name": look.name,
        "there": look.there,
        "live_version": state.default,
        "previous_version": state.previous,
        "outdated": state.outdated,
        "default": look.default,
        "deployments": {name: one.state for name, one in look.deployments.items()},
    }


def _data_assets(client: Any) -> dict[str, Facts]:
    told = {}
    for name in _DATA_ASSETS:
        found = _listed(partial(client.data.list, name))
        newest = max(found, key=lambda one: one.creation_context.created_at, default=None)
        told[name] = {"versions": len(found), "newest": str(newest.version) if newest is not None else None}
    return told


def _listed(listing: Callable[[], Iterable[Any]]) -> list[Any]:
    """Return what is listed; nothing when there is no such name."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return list(listing())
    except ResourceNotFoundError:
        return []
