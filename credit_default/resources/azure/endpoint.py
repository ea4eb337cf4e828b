"""A batch endpoint of Azure ML: versions of the model deployed side by side, one of them the default."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from credit_default.errors import ModelError, NotThere, SettingsError, SmokeTestFailed
from credit_default.resources.azure import deployments, job_environments
from credit_default.resources.azure.compute import AzureCompute
from credit_default.resources.azure.invocation import Asked, Invocations, Outcome, failure_of
from credit_default.resources.azure.job import Limits, metadata_of
from credit_default.resources.azure.messages import folder_of
from credit_default.resources.azure.patience import Patience, within
from credit_default.resources.azure.registry import AzureModelRegistry
from credit_default.resources.azure.snapshot import snapshot
from credit_default.resources.azure.targets import SERVERLESS, Kind
from credit_default.resources.messages import job_name
from credit_default.resources.ports import BatchEndpoint, EndpointState, Message, ModelVersion, Refused, Stored

if TYPE_CHECKING:
    from azure.ai.ml.entities import BatchEndpoint as Endpoint

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
    invocations_at_once: int = Field(default=20, description="Days that are scored, or wait to be, at the same time.")
    compute: dg.ResourceDependency[AzureCompute]
    registry: dg.ResourceDependency[AzureModelRegistry]

    def state(self) -> EndpointState:  # noqa: D102 - see the port
        return self._state(*self._seen())

    def deploy(self, context: dg.AssetExecutionContext, model: ModelVersion) -> Mapping[str, Any]:  # noqa: D102 - see the port
        self._ensure_endpoint()
        deployment = deployments.name_of(model.version, self._code)
        with self.compute.storage.held(self._key):
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
        # Azure has no way to change an endpoint only if it is still the one that was read.
        with self.compute.storage.held(self._key):
            endpoint, names = self._seen()
            state = self._state(endpoint, names)
            deployment = deployments.choose(names, version, self._code)
            if endpoint is None or deployment is None:
                have = ", ".join(state.deployments) or "none"
                raise NotThere(f"Version {version} is not deployed to {self.name} (deployed: {have}); deploy it first")
            if deployment != _default_of(endpoint):
                # One request: what answers, what did before it, and who changed that.
                endpoint.defaults = {"deployment_name": deployment}
                endpoint.tags = deployments.tags_after(endpoint.tags or {}, state, version, changed_by)
                self._put(f"making version {version} the default", endpoint)
            for name in deployments.superfluous(names, deployment, state.default):
                self._remove(name)
        return self.state()

    def invoke(  # noqa: D102 - see the port
        self, context: dg.AssetExecutionContext, days: Sequence[str], *, versions: Sequence[str] = ()
    ) -> Iterator[Message]:
        endpoint = self._found()
        deployment = _default_of(endpoint)
        version = deployments.version_of(deployment) if deployment else None
        if deployment is None or version is None:
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
        for one, outcome in self._invocations.run(context, deployment, wanted):
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
            at_once=self.invocations_at_once,
            limits=Limits(compute.queue_limit, compute.run_limit, compute.not_responding_limit, compute.paused_limit),
            poll_seconds=compute.poll_seconds,
            unreachable_limit=compute.unreachable_limit,
        )

    @property
    def _key(self) -> str:
        """What is held while the endpoint is changed."""
        return f"endpoints/{self.name}"

    @property
    def _code(self) -> str:
        return deployments.code_of(job_environments.reference(Kind.SCORE))

    def _state(self, endpoint: "Endpoint | None", names: Sequence[str]) -> EndpointState:
        tags = (endpoint.tags if endpoint else None) or {}
        return deployments.state_of(names, _default_of(endpoint), tags, self._code)

    def _found(self) -> "Endpoint | None":
        client = self._client
        found: Endpoint | None = self._ask(
            f"looking for endpoint {self.name}", lambda: _or_none(lambda: client.batch_endpoints.get(self.name))
        )
        return found

    def _seen(self) -> "tuple[Endpoint | None, list[str]]":
        """Return the endpoint, if it is there, and the names of its deployments."""
        endpoint, client = self._found(), self._client
        if endpoint is None:
            return None, []
        found = self._ask("listing deployments", lambda: list(client.batch_deployments.list(self.name)))
        return endpoint, [str(one.name) for one in found]

    def _ensure_endpoint(self) -> None:
        from azure.ai.ml.entities import BatchEndpoint as Endpoint

        if self._found() is None:
            made = Endpoint(name=self.name, description="Probability of default of card clients.")
            self._put(f"making endpoint {self.name}", made)

    def _put(self, what: str, endpoint: "Endpoint") -> None:
        client = self._client
        self._ask(what, lambda: self._bounded(client.batch_endpoints.begin_create_or_update(endpoint).result))

    def _remove(self, deployment: str) -> None:
        client = self._client

        def delete() -> None:
            _or_none(lambda: client.batch_deployments.begin_delete(deployment, self.name).result())

        self._ask(f"removing deployment {deployment}", lambda: self._bounded(delete))

    def _is_deployed(self, deployment: str, model: ModelVersion) -> bool:
        """Whether a deployment is there; raises `ModelError` when it is one of another model."""
        client = self._client
        found = self._ask(
            f"looking for deployment {deployment}",
            lambda: _or_none(lambda: client.batch_deployments.get(deployment, self.name)),
        )
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
        if target.compute == SERVERLESS:
            raise SettingsError(
                "Steps of scoring run on serverless compute, and a batch endpoint needs a cluster; set "
                "CREDIT_DEFAULT_COMPUTE_SCORE to the name of one"
            )

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

        storage = self.compute.storage
        staged = f"{folder_of(outcome.job)}/output/completed/{day}/predictions.parquet"
        with storage.on_disk(scores) as scored, tempfile.TemporaryDirectory(prefix="credit-default-") as folder:
            path = Path(folder) / "predictions.parquet"
            told = complete(scored, path, as_of=date.fromisoformat(day), run_id=context.run.run_id)
            storage.upload(path, staged)
        seconds = outcome.ending.details.run_seconds if outcome.ending.details else None
        speed = {"seconds": seconds, "rows_per_second": round(told["rows"] / seconds)} if seconds else {}
        # Azure shows an invocation as a pipeline, which has no compute of its own.
        cluster = {"compute": self.compute.targets[Kind.SCORE.value].compute}
        return Stored(
            partition=day,
            data_version=told["data_version"],
            result={**told, **speed},
            files={"predictions": staged},
            checks=(),
            job_name=outcome.job,
            job_metadata={**metadata_of(outcome.ending, preemptions=outcome.ending.requeued), **cluster},
        )

    def _bounded(self, work: Any) -> Any:
        limit = self.compute.upload_limit

        def late() -> ModelError:
            return ModelError(f"Azure ML did not finish with endpoint {self.name} within {limit:g} s; try again")

        return within(limit, lambda _: work(), late)

    def _ask(self, what: str, question: Any) -> Any:
        patience = Patience(self.compute.workspace.credential(), self.compute.unreachable_limit, _PAUSE_SECONDS)
        return patience.ask(what, question)


def _default_of(endpoint: "Endpoint | None") -> str | None:
    name = getattr(endpoint.defaults, "deployment_name", None) if endpoint is not None else None
    return str(name) if name else None


def _or_none(question: Callable[[], Any]) -> Any:
    """Return the answer to a question, or None when Azure has no such thing."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return question()
    except ResourceNotFoundError:
        return None
