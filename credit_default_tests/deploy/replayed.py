"""A drawn world (`test_plan_deployment`) brought about in an Azure environment, to see what a command does with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import requests

from credit_default.deploy.place import AzureTarget
from credit_default.resources.azure.endpoints import deployments
from credit_default.resources.azure.endpoints.deployments import Deployed
from credit_default.resources.azure.jobs import job_environments
from credit_default_tests.deploy.plans.test_deployment import ENVIRONMENT, NOW, World
from credit_default_tests.resources.served_models import MODEL_FILE

_KEY = "models/replayed"
_API = {"api-version": "2023-10-01"}


def possible(world: World) -> World:
    """The same, with what there must have been when its deployments were made."""
    held = {version for name in world.endpoint.deployments if (version := deployments.version_of(name))}
    there = frozenset({ENVIRONMENT}) if held else world.environments
    return replace(world, environments=there)


def bring_about(place: AzureTarget, world: World, files: Mapping[str, bytes]) -> None:
    """Make in Azure what a world says; every version is the same file, under another number."""
    for name, content in files.items():
        place.storage.write(f"{_KEY}/{name}", content)
    sha256 = hashlib.sha256(files[MODEL_FILE]).hexdigest()
    for model in world.models:
        tags = {**model.tags, "storage_key": _KEY, "model_sha256": sha256}
        place.registry._create(model.version, _KEY, tags)
    if world.champion is not None:
        place.registry.set_alias("champion", world.champion)
    if world.environments:
        job_environments.ensure(place.registry.workspace.client(), place.endpoint.environment)
    if world.ledger:
        place.storage.write("models/ledger.jsonl", world.ledger)
    if world.endpoint.there:
        place.endpoint.ensure()
        _deploy(place, world, sha256)


def _deploy(place: AzureTarget, world: World, sha256: str) -> None:
    """Make the first deployment by the SDK, and the others like it."""
    names = {name: name.replace(NOW, place.endpoint._code) for name in world.endpoint.deployments}
    like: dict[str, Any] | None = None
    for name, held in world.endpoint.deployments.items():
        model = place.registry.get(deployments.version_of(name) or world.models[0].version)
        tags = {"model_version": model.version, "model_sha256": sha256}
        if like is None:
            place.endpoint._create(names[name], model, tags)
            like = _asked(place, "GET", f"/deployments/{names[name]}")
        _asked(place, "PUT", f"/deployments/{names[name]}", _as_told(place, like, model.version, tags, held))
    if world.endpoint.default is not None:
        endpoint = place.endpoint._found()
        endpoint.tags = dict(world.endpoint.tags)
        place.endpoint._put("seeding", place.endpoint._answering(endpoint, names[world.endpoint.default]))


def _as_told(
    place: AzureTarget, like: Mapping[str, Any], version: str, tags: Mapping[str, str], held: Deployed
) -> dict[str, Any]:
    properties = {
        **like["properties"],
        "provisioningState": held.state,
        "environmentVariables": {
            **like["properties"]["environmentVariables"],
            "CREDIT_DEFAULT_MODEL_VERSION": version,
        },
    }
    return {"location": like["location"], "tags": tags if held.sha256 else {}, "properties": properties}


def _asked(place: AzureTarget, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Ask Azure Resource Manager of the batch endpoint."""
    workspace = place.registry.workspace
    token = workspace.credential().get_token("https://management.azure.com/.default").token
    client = workspace.client()
    address = (
        f"https://management.azure.com/subscriptions/{client.subscription_id}/resourceGroups/"
        f"{client.resource_group_name}/providers/Microsoft.MachineLearningServices/workspaces/{place.workspace}/"
        f"batchEndpoints/{place.endpoint.name}{path}"
    )
    answer = requests.request(
        method, address, params=_API, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=60
    )
    answer.raise_for_status()
    return answer.json()
