"""What endpoints of Azure ML have in common: deployments side by side, and one that answers."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from pydantic import Field

from credit_default.core import lake
from credit_default.errors import ModelError, NotAllowed, NotThere
from credit_default.ports import Endpoint, EndpointState, ModelVersion
from credit_default.resources.azure.client.retries import RetryPolicy, unless_missing, uploaded, within
from credit_default.resources.azure.compute import AzureCompute
from credit_default.resources.azure.endpoints import deployments
from credit_default.resources.azure.endpoints.deployments import Deployed, EndpointSnapshot
from credit_default.resources.azure.jobs import job_environments
from credit_default.resources.azure.registry import IMPORTED_FROM, AzureModelRegistry
from credit_default.resources.model_versions import expectation_of

if TYPE_CHECKING:
    import pyarrow as pa

_Result = TypeVar("_Result")

_PAUSE_SECONDS = 2.0
_SHA256 = "model_sha256"
#: What Azure says of a deployment that it works at.
_UNDER_WAY = ("Creating", "Updating", "Scaling")


class ManagedEndpoint(Endpoint, ABC):
    """Everything about it is kept in Azure: deployments and default by the endpoint itself, the rest in its tags."""

    name: str = Field(description="Name of the endpoint; a region of Azure has each name once.")
    only_from_registry: bool = Field(
        default=False, description="Deploy only versions that came into the workspace through the shared registry."
    )
    deploy_limit: float = Field(default=3600.0, description="Seconds that a deployment may take to come up.")
    compute: dg.ResourceDependency[AzureCompute]
    registry: dg.ResourceDependency[AzureModelRegistry]

    def state(self) -> EndpointState:  # noqa: D102 - see the port
        return self._state(*self._seen())

    def look(self) -> EndpointSnapshot:
        """Return the endpoint and its deployments as they are in Azure."""
        endpoint = self._found()
        if endpoint is None:
            return EndpointSnapshot(self.name, self._code)
        found = self.ask("listing deployments", lambda: list(self._deployments.list(self.name)))
        held = {str(one.name): Deployed(_state_of(one), (one.tags or {}).get(_SHA256)) for one in found}
        return EndpointSnapshot(self.name, self._code, True, self._default_of(endpoint), endpoint.tags or {}, held)

    def ensure(self) -> None:
        """Make the endpoint, without deployments, unless it is there."""
        if self._found() is None:
            self._put(f"making endpoint {self.name}", self._new_endpoint())

    def deploy(self, context: dg.AssetExecutionContext, model: ModelVersion) -> Mapping[str, Any]:  # noqa: D102 - see the port
        deployment = deployments.name_of(model.version, self._code)
        with self.compute.storage.held(self._key):
            is_deployed = self._is_deployed(deployment, model)
            golden = self._golden_rows(context, model)
            if not is_deployed:
                self.must_be_deployable(model)
                self.ensure()
                self._create(deployment, model, {"model_version": model.version, _SHA256: model.sha256})
                context.log.info(f"Deployed version {model.version} to {self.name}, beside what answers now.")
        return self._smoke_test(context, deployment, model, golden)

    def _golden_rows(self, context: dg.AssetExecutionContext, model: ModelVersion) -> "pa.Table":
        """Read the golden rows of a version whose files are all the registered ones."""
        from credit_default.core.model import golden_rows
        from credit_default.core.model.model_folder import open_folder

        storage = self.compute.storage
        with storage.on_disk(model.key) as folder:
            return golden_rows.read(open_folder(folder, expectation_of(model, storage, context.log.warning)))

    def make_default(self, version: str, *, changed_by: str = "") -> EndpointState:  # noqa: D102 - see the port
        # Azure has no way to change an endpoint only if it is still the one that was read.
        with self.compute.storage.held(self._key):
            endpoint, names = self._seen()
            state = self._state(endpoint, names)
            deployment = deployments.choose(names, version, self._code)
            if endpoint is None or deployment is None:
                have = ", ".join(state.deployments) or "none"
                raise NotThere(f"Version {version} is not deployed to {self.name} (deployed: {have}); deploy it first")
            if deployment != self._default_of(endpoint):
                # One request: what answers, what did before it, and who changed that.
                endpoint.tags = deployments.tags_after(endpoint.tags or {}, state, version, changed_by)
                self._put(f"making version {version} the default", self._answering(endpoint, deployment))
            for name in self._superfluous(names, deployment, self.state().previous):
                self._remove(name)
        return self.state()

    def must_be_deployable(self, model: ModelVersion) -> None:
        """Look whether a deployment of a version can be made, before anything is.

        Raises
        ------
        NotAllowed
            It has to come from the shared registry, and did not.
        SettingsError
            Nothing can be deployed with the present settings.
        """
        if self.only_from_registry and IMPORTED_FROM not in model.tags:
            raise NotAllowed(
                f"Version {model.version} was registered in workspace {self.compute.workspace.name} itself; production "
                f"deploys what came through the shared registry {self.registry.registry} and nothing else. Train in "
                "staging, share the version there (`credit-default deploy model share`), bring it here by "
                "`credit-default deploy model promote`, and deploy the version that this prints"
            )
        self._must_be_set_up()

    @abstractmethod
    def _must_be_set_up(self) -> None:
        """Raise `SettingsError` when nothing can be deployed with the present settings."""

    @property
    @abstractmethod
    def environment(self) -> str:
        """The kind of environment that deployments run in."""

    @property
    @abstractmethod
    def _code(self) -> str:
        """What changes with whatever a deployment is made of besides its model."""

    @property
    @abstractmethod
    def _endpoints(self) -> Any:
        """The SDK's operations on endpoints of this kind."""

    @property
    @abstractmethod
    def _deployments(self) -> Any:
        """The SDK's operations on their deployments."""

    @abstractmethod
    def _new_endpoint(self) -> Any:
        """Return an endpoint without deployments, as the SDK wants it."""

    @abstractmethod
    def _default_of(self, endpoint: Any) -> str | None:
        """Return the name of the deployment that answers."""

    @abstractmethod
    def _answering(self, endpoint: Any, deployment: str) -> Any:
        """Return the endpoint with this deployment as the one that answers."""

    @abstractmethod
    def _create(self, deployment: str, model: ModelVersion, tags: Mapping[str, str]) -> None:
        """Deploy a model, and come back when that can be asked."""

    @abstractmethod
    def _smoke_test(
        self, context: dg.AssetExecutionContext, deployment: str, model: ModelVersion, golden: "pa.Table"
    ) -> Mapping[str, Any]:
        """Hold what a deployment makes of the golden rows to what the training did."""

    @abstractmethod
    def _superfluous(self, names: Sequence[str], deployment: str, previous: str | None) -> list[str]:
        """Return the deployments to remove once this one answers, of those that are ours."""

    def _state(self, endpoint: Any, names: Sequence[str]) -> EndpointState:
        default = self._default_of(endpoint) if endpoint is not None else None
        tags = (endpoint.tags if endpoint is not None else None) or {}
        return deployments.state_of(names, default, tags, self._code)

    @property
    def _key(self) -> str:
        """What is held while the endpoint is changed."""
        return lake.endpoint(self.name)

    def _found(self) -> Any:
        return self.ask(
            f"looking for endpoint {self.name}", lambda: unless_missing(lambda: self._endpoints.get(self.name), None)
        )

    def _seen(self) -> tuple[Any, list[str]]:
        """Return the endpoint, if it is there, and the names of its deployments."""
        endpoint = self._found()
        if endpoint is None:
            return None, []
        found = self.ask("listing deployments", lambda: list(self._deployments.list(self.name)))
        return endpoint, [str(one.name) for one in found]

    def _put(self, what: str, endpoint: Any) -> None:
        self.ask(what, lambda: self.bounded(self._endpoints.begin_create_or_update(endpoint).result))

    def _remove(self, deployment: str) -> None:
        def delete() -> None:
            unless_missing(lambda: self._deployments.begin_delete(deployment, self.name).result(), None)

        self.ask(f"removing deployment {deployment}", lambda: self.bounded(delete))

    def _settled(self, deployment: str) -> Any:
        """Return a deployment once Azure is done with it, whoever asked for it; None when it is not there."""
        deadline = time.monotonic() + self.deploy_limit
        while True:
            found = self.ask(
                f"looking for deployment {deployment}",
                lambda: unless_missing(lambda: self._deployments.get(deployment, self.name), None),
            )
            if found is None or found.provisioning_state not in _UNDER_WAY:
                return found
            if time.monotonic() > deadline:
                raise ModelError(
                    f"Deployment {deployment} of {self.name} is {found.provisioning_state} after {self.deploy_limit:g} "
                    "s; look at it in the studio, and run this again"
                )
            time.sleep(_PAUSE_SECONDS)

    def _is_deployed(self, deployment: str, model: ModelVersion) -> bool:
        """Whether a deployment is there; raises `ModelError` when it is one of another model."""
        found = self._settled(deployment)
        if found is None or found.provisioning_state == "Failed":
            return False
        held = (found.tags or {}).get(_SHA256)
        if held != model.sha256:
            raise ModelError(
                f"Deployment {deployment} of {self.name} is of another model (sha256 {str(held)[:12]}..., expected "
                f"{model.sha256[:12]}...); remove that deployment in the studio, and run this again"
            )
        return True

    def model_asset(self, model: ModelVersion) -> str:
        """Return the name by which a deployment means a version: the workspace's own copy, wherever it came from.

        Microsoft's guide to batch deployments deploys models of the workspace only, and a cluster that loads a
        registry's needs rights on that.
        """
        return self.registry.asset_id(model.version).removeprefix("azureml:")

    def put_deployment(self, deployment: Any) -> None:
        """Have a deployment made: its code is uploaded within the limit of uploads, and it comes up within its own."""
        poller = uploaded(
            f"The code of deployment {deployment.name} of {self.name}",
            self.compute.upload_limit,
            lambda: self._deployments.begin_create_or_update(deployment, skip_script_validation=True),
        )
        self.bounded(poller.result)

    def ensure_environment(self) -> str:
        """Register what deployments run in, unless it is there; return its ``name:version``."""
        client, limit = self.compute.workspace.client(), self.compute.upload_limit
        return self.ask(
            "looking for the environment",
            lambda: uploaded("The environment", limit, lambda: job_environments.ensure(client, self.environment)),
        )

    def bounded(self, work: Callable[[], _Result]) -> _Result:
        """Do something that may never end: it may take as long as a deployment."""

        def late() -> ModelError:
            return ModelError(
                f"Azure ML did not finish with endpoint {self.name} within {self.deploy_limit:g} s; try again"
            )

        return within(self.deploy_limit, lambda _: work(), late)

    def ask(self, what: str, question: Callable[[], _Result]) -> _Result:
        """Ask Azure, and again for a bounded time when it gives no usable answer."""
        patience = RetryPolicy(self.compute.workspace.credential(), self.compute.unreachable_limit, _PAUSE_SECONDS)
        return patience.ask(what, question)


def _state_of(deployment: Any) -> str:
    """Return how far Azure is with a deployment, in its own word: the SDK gives text, or an enumeration's member."""
    state = deployment.provisioning_state
    return str(getattr(state, "value", state))
