"""Which version answers at the online endpoint: the one that is live at the batch endpoint, once somebody wants it."""

from typing import Any

import dagster as dg

from credit_default.defs.shared import metadata
from credit_default.defs.shared.policies import spec
from credit_default.defs.shared.recording import Events
from credit_default.errors import NotThere
from credit_default.ports import BatchEndpoint, ModelRegistry, OnlineEndpoint

_REASON = "the version that is live at the batch endpoint"


@dg.multi_asset(
    name="online_deployment",
    specs=[
        spec(
            "online_deployment",
            group="model",
            kinds={"python"},
            deps=["batch_deployment"],
            description=(
                "The champion at the online endpoint, which scores a request at once. It is put beside the version "
                "that answers there, and must score its golden rows as in training before it goes live. No schedule "
                "and no other job does this: on Azure a deployment costs money while it stands."
            ),
        )
    ],
)
def online_deployment(
    context: dg.AssetExecutionContext,
    registry: ModelRegistry,
    endpoint: BatchEndpoint,
    online_endpoint: OnlineEndpoint,
) -> Events:
    """Let the champion answer at the online endpoint, unless it does so already."""
    champion = endpoint.state().default
    if champion is None:
        raise NotThere("Nothing is live at the batch endpoint; run the jobs train_model and deploy_model first")
    model, before = registry.get(champion), online_endpoint.state()
    smoke: Any = None
    if champion != before.default or before.outdated:
        smoke = online_endpoint.deploy(context, model)
        online_endpoint.make_default(champion, changed_by=context.run.root_run_id or context.run.run_id)
    state, address = online_endpoint.state(), online_endpoint.scoring_uri()
    context.log.info(f"Online: version {state.default} at {address}; before it: {state.previous or 'none'}.")
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(model.sha256[:16]),
        metadata={
            **metadata.deployed(model, before, state, smoke, _REASON),
            **({"scoring_uri": dg.MetadataValue.url(address)} if address else {}),
        },
    )


ASSETS: list[Any] = [online_deployment]
