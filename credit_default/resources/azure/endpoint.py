"""A batch endpoint of Azure ML: versions of the model deployed side by side, one of them the default."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from credit_default.core import lake
from credit_default.errors import NotThere, SettingsError
from credit_default.pipes.messages import job_name
from credit_default.ports import BatchEndpoint, DayRejected, ModelVersion, StepMessage, StepResult
from credit_default.resources.azure.endpoints import deployments
from credit_default.resources.azure.endpoints.invocation import Invocation, Invocations, Outcome, failure_of
from credit_default.resources.azure.endpoints.managed_endpoint import ManagedEndpoint
from credit_default.resources.azure.jobs import job_environments
from credit_default.resources.azure.jobs.job import Limits, metadata_of
from credit_default.resources.azure.jobs.snapshot import SCORING_SCRIPT, snapshot
from credit_default.resources.model_versions import variables_of
from credit_default.settings.azure_compute import SERVERLESS, Kind

if TYPE_CHECKING:
    import pyarrow as pa
    from azure.ai.ml.entities import BatchEndpoint as Endpoint


class AzureBatchEndpoint(ManagedEndpoint, BatchEndpoint):
    """Days are scored by invocations of it, which are jobs; a deployment costs nothing while nobody invokes it."""

    mini_batch_size: int = Field(default=1, description="Files that one call of the scoring script gets.")
    max_concurrency: int = Field(default=2, description="Processes of the scoring script on one machine.")
    instance_count: int = Field(default=1, description="Machines that one invocation may use.")
    max_retries: int = Field(default=1, description="How often a mini-batch is tried again.")
    retry_timeout: int = Field(default=3600, description="Seconds that a mini-batch may take.")
    days_per_invocation: int = Field(default=31, description="Days that one invocation scores at most.")
    invocations_at_once: int = Field(default=20, description="Invocations that run, or wait to, at the same time.")

    def invoke(  # noqa: D102 - see the port
        self, context: dg.AssetExecutionContext, days: Sequence[str], *, versions: Sequence[str] = ()
    ) -> Iterator[StepMessage]:
        endpoint = self._found()
        deployment = self._default_of(endpoint) if endpoint is not None else None
        version = deployments.version_of(deployment) if deployment else None
        if deployment is None or version is None:
            raise NotThere(f"Nothing is deployed to {self.name}; run the jobs train_model and deploy_model first")
        model = self.registry.get(version)
        options = {"model-version": model.version, "model-sha256": model.sha256}
        contents = dict(zip(days, versions, strict=False))
        sources: dict[str, str] = {}
        for day in days:
            source = lake.inference_data(day)
            if self.compute.storage.exists(source):
                sources[day] = source
            else:
                yield DayRejected(
                    day, f"{source} is not in storage; materialise inference_data first", NotThere.__name__
                )
        wanted = []
        for start in range(0, len(sources), self.days_per_invocation):
            some = dict(islice(sources.items(), start, start + self.days_per_invocation))
            content = [contents[day] for day in some if day in contents]
            name = job_name(context, "score", list(some), inputs=some, options=options, versions=content)
            wanted.append(Invocation(name, some))
        broken: Outcome | None = None
        for day, outcome in self._invocations.run(context, deployment, wanted):
            if outcome.scores is not None:
                yield self._completed(context, day, outcome, outcome.scores)
            elif outcome.error_type is not None:
                yield DayRejected(day, outcome.error, outcome.error_type)
            else:
                if broken is None or broken.job != outcome.job:
                    context.log.error(f"{day}: {outcome.failure}")
                # A kill first: days that were killed are tried again.
                broken = outcome if broken is None or outcome.ending.killed else broken
        if broken is not None:
            raise failure_of(broken)

    def _must_be_set_up(self) -> None:
        if self.compute.targets[Kind.SCORE.value].compute == SERVERLESS:
            raise SettingsError(
                "Steps of scoring run on serverless compute, and a batch endpoint needs a cluster; set "
                "CREDIT_DEFAULT_COMPUTE_SCORE to the name of one"
            )

    @property
    def environment(self) -> str:  # noqa: D102 - see ManagedEndpoint
        return job_environments.BATCH

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
    def _code(self) -> str:
        return deployments.code_of(job_environments.reference(self.environment))

    @property
    def _endpoints(self) -> Any:
        return self.compute.workspace.client().batch_endpoints

    @property
    def _deployments(self) -> Any:
        return self.compute.workspace.client().batch_deployments

    def _new_endpoint(self) -> "Endpoint":
        from azure.ai.ml.entities import BatchEndpoint as Endpoint

        return Endpoint(name=self.name, description="Probability of default of card clients.")

    def _default_of(self, endpoint: "Endpoint") -> str | None:
        name = getattr(endpoint.defaults, "deployment_name", None)
        return str(name) if name else None

    def _answering(self, endpoint: "Endpoint", deployment: str) -> "Endpoint":
        endpoint.defaults = {"deployment_name": deployment}
        return endpoint

    def _superfluous(self, names: Sequence[str], deployment: str, previous: str | None) -> list[str]:
        return deployments.superfluous(names, deployment, previous)

    def _create(self, deployment: str, model: ModelVersion, tags: Mapping[str, str]) -> None:
        from azure.ai.ml.entities import BatchRetrySettings, CodeConfiguration, ModelBatchDeployment
        from azure.ai.ml.entities import ModelBatchDeploymentSettings as Settings

        target = self.compute.targets[Kind.SCORE.value]
        asset, variables = self.model_asset(model), variables_of(model, self.compute.storage)
        environment = self.ensure_environment()

        def create() -> None:
            with snapshot(self.compute.sources) as code:
                made = ModelBatchDeployment(
                    name=deployment,
                    endpoint_name=self.name,
                    description=f"Version {model.version} of {model.name}.",
                    tags=dict(tags),
                    model=asset,
                    environment=environment,
                    code_configuration=CodeConfiguration(code=str(code), scoring_script=SCORING_SCRIPT),
                    compute=target.compute,
                    settings=Settings(
                        mini_batch_size=self.mini_batch_size,
                        max_concurrency_per_instance=self.max_concurrency,
                        instance_count=self.instance_count,
                        output_action="summary_only",
                        error_threshold=0,
                        retry_settings=BatchRetrySettings(max_retries=self.max_retries, timeout=self.retry_timeout),
                        environment_variables={
                            **variables,
                            "DO_NOT_TRACK": "1",
                            **self.compute.limits,
                        },
                    ),
                )
                self.put_deployment(made)

        self.ask(f"deploying version {model.version}", create)

    def _smoke_test(
        self, context: dg.AssetExecutionContext, deployment: str, model: ModelVersion, golden: "pa.Table"
    ) -> Mapping[str, Any]:
        import pyarrow.parquet as pq

        from credit_default.core.model import golden_rows
        from credit_default.core.schema import PROBABILITY

        key, storage = f"{model.key}/{lake.GOLDEN_FILE}", self.compute.storage
        name = job_name(context, "smoke-test", inputs={"model": model.key}, options={"sha256": model.sha256})
        result: Mapping[str, Any] = {}
        for _, outcome in self._invocations.run(context, deployment, [Invocation(name, {"golden": key})]):
            if outcome.scores is None:
                raise failure_of(outcome)
            with storage.on_disk(outcome.scores) as scored:
                probabilities = pq.read_table(scored, columns=[PROBABILITY])[PROBABILITY].to_numpy()
            result = golden_rows.check_against(probabilities, golden, where=self.name)
        return result

    def _completed(self, context: dg.AssetExecutionContext, day: str, outcome: Outcome, scores: str) -> StepResult:
        """Complete the scores of a day to its predictions, and stage them for publishing."""
        from credit_default.core.scoring.predictions import complete

        storage, file = self.compute.storage, lake.table_file(lake.PREDICTIONS)
        staged = f"{lake.job_output(outcome.job)}/completed/{day}/{file}"
        with storage.on_disk(scores) as scored, tempfile.TemporaryDirectory(prefix="credit-default-") as folder:
            path = Path(folder) / file
            told = complete(scored, path, as_of=date.fromisoformat(day), run_id=context.run.run_id)
            storage.upload(path, staged)
        alone = outcome.ending.details if not outcome.shared else None
        seconds = alone.run_seconds if alone else None
        speed = {"seconds": seconds, "rows_per_second": round(told["rows"] / seconds)} if seconds else {}
        # Azure shows an invocation as a pipeline, which has no compute of its own.
        cluster = {"compute": self.compute.targets[Kind.SCORE.value].compute}
        return StepResult(
            partition=day,
            data_version=told["data_version"],
            result={**told, **speed},
            files={"predictions": staged},
            checks=(),
            job_name=outcome.job,
            job_metadata={**metadata_of(outcome.ending, preemptions=outcome.ending.requeued), **cluster},
        )
