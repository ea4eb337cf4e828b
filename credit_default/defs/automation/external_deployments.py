"""What another Dagster instance made live, recorded here, so that this one scores with it and watches over it.

A version goes live by a run of whichever instance works on the lake: a workflow's, which is gone with its runner, or a
laptop's. What is live is told by the endpoint, and how it came to be by the ledger of promotions. Sensors and schedules
read it in the event log of their own instance.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from credit_default.core.promotion.ledger import Ledger, LedgerEntry, must_be_whole
from credit_default.defs.automation import event_log
from credit_default.defs.automation.jobs import deploy_model, retrain, rollback_model
from credit_default.defs.shared import metadata
from credit_default.defs.shared.history import DATA_VERSION
from credit_default.ports import BatchEndpoint, EndpointState, ModelRegistry, ModelVersion, Storage
from credit_default.resources import ledger as ledgers


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Records what another Dagster instance made live, by the ledger of promotions and the endpoint, as a "
        "materialisation of batch_deployment. Deploys nothing and starts no run."
    ),
)
def deployed_elsewhere(
    context: dg.SensorEvaluationContext, storage: Storage, registry: ModelRegistry, endpoint: BatchEndpoint
) -> dg.SensorResult:
    """Read the ledger, and ask endpoint and registry only if it says what this instance does not know."""
    instance, ledger = context.instance, ledgers.read(storage)
    entry = ledger.last_deployment
    if entry is None:
        return dg.SensorResult(skip_reason="By the ledger of promotions nothing was ever live.")
    if event_log.knows_of(instance, entry):
        return dg.SensorResult(skip_reason=f"It is known here that version {entry.to_version} is live.")
    at_work = [
        job.name for job in (deploy_model, retrain, rollback_model) if event_log.is_under_way(instance, job.name)
    ]
    if at_work:
        told = f"Version {entry.to_version} is live; a run of {' and '.join(at_work)} is at work, and records what is."
        return dg.SensorResult(skip_reason=told)
    must_be_whole(ledger)
    state = endpoint.state()
    if state.default != entry.to_version:
        told = (
            f"Version {entry.to_version} is live by the ledger of promotions (line {entry.number}), and the endpoint "
            f"answers with version {state.default or 'none'}: nothing is recorded. The next run of deploy_model or "
            "rollback_model enters what is live into the ledger."
        )
        return dg.SensorResult(skip_reason=told)
    known = EndpointState(default=event_log.live_version(instance))
    event = _event(registry.get(entry.to_version), known, state, ledger, entry)
    told = f"Recorded: version {entry.to_version} is live, by {entry.action} of {entry.who} ({entry.reason})."
    return dg.SensorResult(asset_events=[event], skip_reason=told)


def _event(
    champion: ModelVersion, known: EndpointState, state: EndpointState, ledger: Ledger, entry: LedgerEntry
) -> dg.AssetMaterialization:
    """Tell what a run of this instance would have told, but for the smoke test, which was another one's."""
    return dg.AssetMaterialization(
        "batch_deployment",
        metadata={
            **metadata.deployed(champion, known, state, None, entry.reason, who=entry.who),
            **metadata.promotions(ledger),
        },
        tags={DATA_VERSION: champion.sha256[:16]},
    )


SENSORS: list[Any] = [deployed_elsewhere]
