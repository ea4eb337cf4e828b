"""What endpoints without a service of their own have in common: a small file says which version answers."""

import json
from abc import ABC
from dataclasses import asdict, replace
from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from credit_default.core import lake
from credit_default.core.stored_json import read_object
from credit_default.errors import DamagedFile, NotThere
from credit_default.ports import Endpoint, EndpointState, Storage

#: How many versions stay deployed beside the default and the one before it.
_KEEP_DEPLOYED = 5
_REMEDY = (
    "put back a copy of it, or remove it and deploy a version anew; `credit-default models history` tells which one "
    "was live"
)


class KeptEndpoint(Endpoint, ABC):
    """Deployments side by side, one of them the default: all of it in a file of the lake."""

    name: str = Field(description="Name of the endpoint.")
    storage: dg.ResourceDependency[Storage]

    def state(self) -> EndpointState:  # noqa: D102 - see the port
        if not self.storage.exists(self._key):
            return EndpointState()
        kept = read_object(self.storage.read(self._key), self._key, _REMEDY, deployments=list)
        answers = [kept.get(name) for name in ("default", "previous", "changed_by")]
        if not all(one is None or isinstance(one, str) for one in answers) or not all(
            isinstance(version, str) for version in kept["deployments"]
        ):
            raise DamagedFile(f"{self._key} is damaged: got versions that are no text; {_REMEDY}")
        default, previous, changed_by = answers
        return EndpointState(tuple(kept["deployments"]), default, previous, changed_by)

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

    @property
    def _key(self) -> str:
        return lake.endpoint_state(self.name)

    def _add(self, version: str) -> None:
        """Note that a version is deployed, and forget the oldest that nobody is likely to go back to."""
        with self.storage.held(self._key):
            state = self.state()
            others = [other for other in state.deployments if other != version]
            kept = {state.default, state.previous, *others[-_KEEP_DEPLOYED:]}
            self._save(replace(state, deployments=(*(other for other in others if other in kept), version)))

    def _save(self, state: EndpointState) -> None:
        content = {**asdict(state), "changed_at": datetime.now(UTC).isoformat(timespec="seconds")}
        self.storage.write(self._key, json.dumps(content, indent=2).encode())
