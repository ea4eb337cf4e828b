"""A batch endpoint without a service of its own: a step scores with the version that answers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from credit_default.core import lake
from credit_default.errors import NotThere
from credit_default.ports import BatchEndpoint, Compute, ModelRegistry, ModelVersion, StepMessage, StepResult
from credit_default.resources.local.file_endpoint import KeptEndpoint
from credit_default.resources.model_versions import expectation_of, options_of


class LocalBatchEndpoint(KeptEndpoint, BatchEndpoint):
    """Days are scored by jobs on the compute."""

    compute: dg.ResourceDependency[Compute]
    registry: dg.ResourceDependency[ModelRegistry]

    def deploy(self, context: dg.AssetExecutionContext, model: ModelVersion) -> Mapping[str, Any]:  # noqa: D102 - see the port
        result: Mapping[str, Any] = {}
        options = options_of(expectation_of(model, self.storage, context.log.warning))
        for message in self.compute.run(context, "smoke_test", inputs={"model": model.key}, options=options):
            assert isinstance(message, StepResult)
            result = message.result
            self._add(model.version)
        return result

    def invoke(  # noqa: D102 - see the port
        self, context: dg.AssetExecutionContext, days: Sequence[str], *, versions: Sequence[str] = ()
    ) -> Iterator[StepMessage]:
        version = self.state().default
        if version is None:
            raise NotThere(f"Nothing is deployed to {self.name}; run the jobs train_model and deploy_model first")
        model = self.registry.get(version)
        yield from self.compute.run(
            context,
            "score",
            inputs={"model": model.key, "inference-data": lake.INFERENCE_DATA},
            options={
                "model-name": model.name,
                "model-version": model.version,
                **options_of(expectation_of(model, self.storage, context.log.warning)),
                "run-id": context.run.run_id,
            },
            days=days,
            versions=versions,
        )
