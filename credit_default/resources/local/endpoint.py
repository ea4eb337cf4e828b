"""A batch endpoint without a service of its own: a small file says which version answers, and a step scores."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from credit_default.errors import NotThere
from credit_default.resources.ports import (
    BatchEndpoint,
    Compute,
    EndpointState,
    Message,
    ModelRegistry,
    ModelVersion,
    Storage,
    Stored,
)

#: How many versions stay deployed beside the default and the one before it.
_KEEP_DEPLOYED = 5


class LocalBatchEndpoint(BatchEndpoint):
    """Deployments side by side, one of them the default."""

    name: str = Field(description="Name of the endpoint.")
    compute: dg.ResourceDependency[Compute]
    storage: dg.ResourceDependency[Storage]
    registry: dg.ResourceDependency[ModelRegistry]

    @property
    def _key(self) -> str:
        return f"endpoints/{self.name}.json"

    def state(self) -> EndpointState:  # noqa: D102 - see the port
        if not self.storage.exists(self._key):
            return EndpointState()
        kept = json.loads(self.storage.read(self._key))
        return EndpointState(tuple(kept["deployments"]), kept["default"], kept["previous"], kept.get("changed_by"))

    def deploy(self, context: dg.AssetExecutionContext, model: ModelVersion) -> Mapping[str, Any]:  # noqa: D102 - see the port
        result: Mapping[str, Any] = {}
        for message in self.compute.run(
            context, "smoke_test", inputs={"model": model.key}, options={"model-sha256": model.sha256}
        ):
            assert isinstance(message, Stored)
            result = message.result
            with self.storage.held(self._key):
                state = self.state()
                others = [version for version in state.deployments if version != model.version]
                kept = {state.default, state.previous, *others[-_KEEP_DEPLOYED:]}
                deployed = (*(version for version in others if version in kept), model.version)
                self._save(replace(state, deployments=deployed))
        return result

    def make_default(self, version: str, *, changed_by: str = "") -> EndpointState:  # noqa: D102 - see the port
        with self.storage.held(self._key):
            state = self.state()
            if version not in state.deployments:
                have = ", ".join(state.deployments) or "none"
                raise NotThere(f"Version {version} is not deployed to {self.name} (deployed: {have}); deploy it first")
            if version != state.default:
                state = EndpointState(state.deployments, version, state.default, changed_by)
                self._save(state)
        return state

    def invoke(  # noqa: D102 - see the port
        self, context: dg.AssetExecutionContext, days: Sequence[str], *, versions: Sequence[str] = ()
    ) -> Iterator[Message]:
        version = self.state().default
        if version is None:
            raise NotThere(f"Nothing is deployed to {self.name}; run the jobs train_model and deploy_model first")
        model = self.registry.get(version)
        yield from self.compute.run(
            context,
            "score",
            inputs={"model": model.key, "inference-data": "inference_data"},
            options={
                "model-name": model.name,
                "model-version": model.version,
                "model-sha256": model.sha256,
                "run-id": context.run.run_id,
            },
            days=days,
            versions=versions,
        )

    def _save(self, state: EndpointState) -> None:
        content = {**asdict(state), "changed_at": datetime.now(UTC).isoformat(timespec="seconds")}
        self.storage.write(self._key, json.dumps(content, indent=2).encode())
