"""Registered models of a workspace, and where the files of any model lie: a workspace's or a shared registry's."""

from __future__ import annotations

import re

from credit_default_tests.azure_emulator import registries
from credit_default_tests.azure_emulator.assets import Kind
from credit_default_tests.azure_emulator.azure_errors import bad_request
from credit_default_tests.azure_emulator.locations import Location, asset, locate
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import State, Workspace

_SHORT = re.compile(r"azureml:(?P<name>[^:/]+):(?P<version>[^:/]+)")
_SHARED = re.compile(r"azureml://registries/(?P<registry>[^/]+)/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)")


class Models(Kind):
    """Models: like other assets, and a folder of a datastore has to be there."""

    def put(self, call: Call) -> Answer:
        """Store a version whose files are where it says."""
        uri = call.body["properties"].get("modelUri")
        if uri:
            location = locate(call.workspace, uri)
            if not any(True for _ in call.state.blobs.names(location.container, f"{location.path.rstrip('/')}/")):
                raise bad_request(f"There is nothing at the path of the model, '{uri}'.")
        return super().put(call)


KIND = Models("models", "Model", "ModelVersion", ("2023-08-01-preview", "2023-04-01-preview"))


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    del state
    return KIND.routes


def must_be_of_workspace(model_id: str) -> None:
    """Refuse a registry's model: Microsoft's guide to batch deployments deploys models registered in the workspace."""
    if _SHARED.fullmatch(model_id):
        raise bad_request(f"'{model_id}' is not registered in this workspace; register the model there to deploy it.")


def location(state: State, workspace: Workspace, model_id: str) -> Location:
    """Return where the files of a model lie, by whatever id a deployment names it."""
    if match := _SHARED.fullmatch(model_id):
        return registries.location(state, match["registry"], match["name"], match["version"])
    if match := _SHORT.fullmatch(model_id):
        model_id = f"{workspace.arm_id}/models/{match['name']}/versions/{match['version']}"
    return locate(workspace, asset(workspace, model_id, "models")["properties"]["modelUri"])
