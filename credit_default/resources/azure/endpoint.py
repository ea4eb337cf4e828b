"""A batch endpoint of Azure ML: versions of the model deployed side by side, one of them the default."""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from credit_default.errors import ModelError, NotThere, SmokeTestFailed
from credit_default.resources.azure import job_environments
from credit_default.resources.azure.compute import AzureCompute
from credit_default.resources.azure.invocation import Asked, Invocations, Outcome, failure_of
from credit_default.resources.azure.job import Limits, metadata_of
from credit_default.resources.azure.messages import folder_of
from credit_default.resources.azure.patience import Patience, within
from credit_default.resources.azure.registry import AzureModelRegistry
from credit_default.resources.azure.snapshot import snapshot
from credit_default.resources.azure.targets import Kind
from credit_default.resources.messages import job_name
from credit_default.resources.ports import BatchEndpoint, EndpointState, Message, ModelVersion, Refused, Stored

if TYPE_CHECKING:
    from azure.ai.ml.entities import BatchEndpoint as Endpoint
    from azure.ai.ml.entities import ModelBatchDeployment

_PREFIX = "version-"
_PREVIOUS, _CHANGED_BY = "previous", "changed_by"
#: Largest difference between a probability and the same one in training.
_SAME = 1e-9
_PAUSE_SECONDS = 2.0
_SCRIPT = "credit_default/steps/batch_scoring.py"
_LOGGER = logging.getLogger(__name__)


class AzureBatchEndpoint(BatchEndpoint):
    """Everything about it is kept in Azure: deployments and default by the endpoint itself, the rest in its tags."""

    name: str = Field(description="Name of the endpoint; a region of Azure has each name once.")
    from_registry: bool = Field(
        default=False, description="Deploy the shared registry's model instead of the workspace's."
    )
    mini_batch_size: int = Field(default=1, description="Files that one call of the scoring script gets.")
    max_concurrency: int = Field(default=2, description="Processes of the scoring script on one machine.")
    instance_count: int = Field(default=1, description="Machines that one invocation may use.")
    max_retries: int = Field(default=1, description="How often a mini-batch is tried again.")
    retry_timeout: int = Field(default=3600, description="Seconds that a mini-batch may take.")
    compute: dg.ResourceDependency[AzureCompute]
    registry: dg.ResourceDependency[AzureModelRegistry]

    def state(self) -> EndpointState:  # noqa: D102 - see the port
        endpoint = self._found()
        if endpoint is None:
            return EndpointState()
        client = self._client
        deployments = self._ask("listing deployments", lambda: list(client.batch_deployments.list(self.name)))
        versions = sorted(
            (str(one.name).removeprefix(_PREFIX) for one in deployments if str(one.name).startswith(_PREFIX)), key=int
        )
        default = getattr(endpoint.defaults, "deployment_name", None)
        tags = endpoint.tags or {}
        return EndpointState(
            tuple(versions),
            str(default).removeprefix(_PREFIX) if default else None,
            tags.get(_PREVIOUS) or None,
            tags.get(_CHANGED_BY) or None,
        )

    def deploy(self, context: dg.AssetExecutionContext, model: ModelVersion) -> Mapping[str, Any]:  # noqa: D102 - see the port
        self._ensure_endpoint()
        deployment = f"{_PREFIX}{model.version}"
        if not self._is_deployed(deployment, model):
            self._deploy(deployment, model)
            context.log.info(f"Deployed version {model.version} to {self.name}, beside what answers now.")
        golden = f"{model.key}/golden.parquet"
        name = job_name(context, "smoke-test", inputs={"model": model.key}, options={"sha256": model.sha256})
        result: Mapping[str, Any] = {}
        for _, outcome in self._invocations.run(context, deployment, [Asked(name, golden)]):
            if outcome.scores is None:
                raise failure_of(outcome)
            result = self._compared(outcome.scores, golden)
        return result

    def make_default(self, version: str, *, changed_by: str = "") -> EndpointState:  # noqa: D102 - see the port
        state = self.state()
        if version not in state.deployments:
            have = ", ".join(state.deployments) or "none"
            raise NotThere(f"Version {version} is not deployed to {self.name} (deployed: {have}); deploy it first")
        if version == state.default:
            return state
        client, endpoint = self._client, self._found()
        assert endpoint is not None
        # One request: what answers, what did before it, and who changed that.
        endpoint.defaults = {"deployment_name": f"{_PREFIX}{version}"}
        endpoint.tags = {**(endpoint.tags or {}), _PREVIOUS: state.default or "", _CHANGED_BY: changed_by}
        self._ask(
            f"making version {version} the default",
            lambda: self._bounded(lambda: client.batch_endpoints.begin_create_or_update(endpoint).result()),
        )
        return self.state()

    def invoke(  # noqa: D102 - see the port
        self, context: dg.AssetExecutionContext, days: Sequence[str], *, versions: Sequence[str] = ()
    ) -> Iterator[Message]:
        version = self.state().default
        if version is None:
            raise NotThere(f"Nothing is deployed to {self.name}; run the jobs train_model and deploy_model first")
        model = self.registry.get(version)
        options = {"model-version": model.version, "model-sha256": model.sha256}
        asked: dict[str, str] = {}
        for number, day in enumerate(days):
            source = f"inference_data/{day}/inference_data.parquet"
            if not self.compute.storage.exists(source):
                yield Refused(day, f"{source} is not in storage; materialise inference_data first", NotThere.__name__)
                continue
            content = versions[number : number + 1]
            asked[job_name(context, "score", [day], inputs={"day": source}, options=options, versions=content)] = day
        wanted = [Asked(name, f"inference_data/{day}/inference_data.parquet") for name, day in asked.items()]
        broken: Outcome | None = None
        for one, outcome in self._invocations.run(context, f"{_PREFIX}{version}", wanted):
            day = asked[one.name]
            if outcome.scores is not None:
                yield self._completed(context, day, outcome, outcome.scores)
            elif outcome.error_type is not None:
                yield Refused(day, outcome.error, outcome.error_type)
            else:
                context.log.error(f"{day}: {outcome.error}")
                broken = broken or outcome
        if broken is not None:
            raise failure_of(broken)

    @property
    def _client(self) -> Any:
        return self.compute.workspace.client()

    @property
    def _invocations(self) -> Invocations:
        compute = self.compute
        return Invocations(
            workspace=compute.workspace,
            storage=compute.storage,
            endpoint=self.name,
            limits=Limits(compute.queue_limit, compute.run_limit, compute.not_responding_limit, compute.paused_limit),
            poll_seconds=compute.poll_seconds,
            unreachable_limit=compute.unreachable_limit,
        )

    def _found(self) -> "Endpoint | None":
        from azure.core.exceptions import ResourceNotFoundError

        client = self._client

        def look() -> "Endpoint | None":
            try:
                found: Endpoint = client.batch_endpoints.get(self.name)
            except ResourceNotFoundError:
                return None
            return found

        endpoint: Endpoint | None = self._ask(f"looking for endpoint {self.name}", look)
        return endpoint

    def _ensure_endpoint(self) -> None:
        from azure.ai.ml.entities import BatchEndpoint as Endpoint

        if self._found() is not None:
            return
        client = self._client
        made = Endpoint(name=self.name, description="Probability of default of card clients.")
        self._ask(
            f"making endpoint {self.name}",
            lambda: self._bounded(lambda: client.batch_endpoints.begin_create_or_update(made).result()),
        )

    def _is_deployed(self, deployment: str, model: ModelVersion) -> bool:
        """Whether a deployment is there; raises `ModelError` when it is one of another model."""
        from azure.core.exceptions import ResourceNotFoundError

        client = self._client

        def look() -> "ModelBatchDeployment | None":
            try:
                found: ModelBatchDeployment = client.batch_deployments.get(deployment, self.name)
            except ResourceNotFoundError:
                return None
            return found

        found = self._ask(f"looking for deployment {deployment}", look)
        if found is None or found.provisioning_state == "Failed":
            return False
        held = (found.tags or {}).get("model_sha256")
        if held != model.sha256:
            raise ModelError(
                f"Deployment {deployment} of {self.name} is of another model (sha256 {str(held)[:12]}..., expected "
                f"{model.sha256[:12]}...); remove that deployment in the studio, and run this again"
            )
        return True

    def _deploy(self, deployment: str, model: ModelVersion) -> None:
        from azure.ai.ml.entities import BatchRetrySettings, CodeConfiguration, ModelBatchDeployment
        from azure.ai.ml.entities import ModelBatchDeploymentSettings as Settings

        client = self._client
        asset = self.registry.share(model.version) if self.from_registry else self.registry.asset_id(model.version)
        environment = self._ask("looking for the environment", lambda: job_environments.ensure(client, Kind.SCORE))
        target = self.compute.targets[Kind.SCORE.value]

        def create() -> None:
            with snapshot(self.compute.sources) as code:
                made = ModelBatchDeployment(
                    name=deployment,
                    endpoint_name=self.name,
                    description=f"Version {model.version} of {model.name}.",
                    tags={"model_version": model.version, "model_sha256": model.sha256},
                    model=asset.removeprefix("azureml:") if not asset.startswith("azureml://") else asset,
                    environment=environment,
                    code_configuration=CodeConfiguration(code=str(code), scoring_script=_SCRIPT),
                    compute=target.compute,
                    settings=Settings(
                        mini_batch_size=self.mini_batch_size,
                        max_concurrency_per_instance=self.max_concurrency,
                        instance_count=self.instance_count,
                        output_action="summary_only",
                        error_threshold=0,
                        retry_settings=BatchRetrySettings(max_retries=self.max_retries, timeout=self.retry_timeout),
                        environment_variables={
                            "CREDIT_DEFAULT_MODEL_NAME": model.name,
                            "CREDIT_DEFAULT_MODEL_VERSION": model.version,
                            "CREDIT_DEFAULT_MODEL_SHA256": model.sha256,
                            "DO_NOT_TRACK": "1",
                        },
                    ),
                )
                self._bounded(
                    lambda: client.batch_deployments.begin_create_or_update(made, skip_script_validation=True).result()
                )

        self._ask(f"deploying version {model.version}", create)

    def _compared(self, scores: str, golden: str) -> dict[str, Any]:
        """Hold what the deployment scored to what the training did."""
        import numpy as np
        import pyarrow.parquet as pq

        column = "probability_of_default"
        storage = self.compute.storage
        with storage.on_disk(scores) as scored, storage.on_disk(golden) as expected:
            got, wanted = (pq.read_table(path, columns=[column])[column].to_numpy() for path in (scored, expected))
        differences = np.abs(got - wanted) if len(got) == len(wanted) else np.array([])
        if not len(differences) or not differences.max() <= _SAME:
            told = f"differ by {differences.max():.3g}" if len(differences) else f"are {len(got)} of {len(wanted)}"
            raise SmokeTestFailed(
                f"Golden rows, scored by {self.name}, {told}, expected at most {_SAME:g}; the environment of the "
                "deployment scores differently from that of the training: look at the packages of both"
            )
        return {"rows": len(got), "largest_difference": float(differences.max()), "tolerance": _SAME}

    def _completed(self, context: dg.AssetExecutionContext, day: str, outcome: Outcome, scores: str) -> Stored:
        """Complete the scores of a day to its predictions, and stage them for publishing."""
        from credit_default.core.predictions import complete

        storage, staged = self.compute.storage, f"{folder_of(outcome.job)}/completed/{day}/predictions.parquet"
        with storage.on_disk(scores) as scored, tempfile.TemporaryDirectory(prefix="credit-default-") as folder:
            path = Path(folder) / "predictions.parquet"
            told = complete(scored, path, as_of=date.fromisoformat(day), run_id=context.run.run_id)
            storage.write(staged, path.read_bytes())
        seconds = outcome.ending.details.run_seconds if outcome.ending.details else None
        speed = {"seconds": seconds, "rows_per_second": round(told["rows"] / seconds)} if seconds else {}
        return Stored(
            partition=day,
            data_version=told["data_version"],
            result={**told, **speed},
            files={"predictions": staged},
            checks=(),
            job_name=outcome.job,
            job_metadata=metadata_of(outcome.ending, preemptions=outcome.ending.requeued),
        )

    def _bounded(self, work: Any) -> Any:
        limit = self.compute.upload_limit

        def late() -> ModelError:
            return ModelError(f"Azure ML did not finish with endpoint {self.name} within {limit:g} s; try again")

        return within(limit, lambda _: work(), late)

    def _ask(self, what: str, question: Any) -> Any:
        patience = Patience(self.compute.workspace.credential(), self.compute.unreachable_limit, _PAUSE_SECONDS)
        return patience.ask(what, question)
