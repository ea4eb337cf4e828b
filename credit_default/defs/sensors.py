"""What happens when something arrives."""

import json
from collections.abc import Callable
from typing import Any

import dagster as dg

from credit_default import settings
from credit_default.defs import monitoring, scoring
from credit_default.defs.jobs import judge_predictions, score_batch
from credit_default.defs.landing import Chain, Found, busy_days, look, model_is_live, requests, share, told
from credit_default.defs.policies import DAILY_TABLES
from credit_default.resources.ports import Storage


def _cursor(text: str | None) -> dict[str, str]:
    """Read the fingerprints of days that were asked for; a cursor that cannot be read costs look-ups only."""
    try:
        kept = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(day): str(fingerprint) for day, fingerprint in kept.items()} if isinstance(kept, dict) else {}


def _told(found: Found) -> str:
    """Say in words why nothing was asked for."""
    parts = ["Nothing new has landed."]
    if found.settling:
        parts = [f"Still being written to: {told(found.settling)}."]
    parts += [f"{name}: {problem}." for name, problem in sorted(found.unusable.items())]
    return " ".join(parts)


def _landing_sensor(
    name: str,
    job: Any,
    *,
    folder: str,
    asset: str,
    chain: Chain,
    description: str,
    ready: Callable[[dg.DagsterInstance, set[str]], set[str]],
    waiting: str,
) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext, storage: Storage) -> dg.SensorResult:
        seen = _cursor(context.cursor)
        found = look(
            context.instance,
            storage,
            folder=folder,
            asset=asset,
            chain=chain,
            start=settings.read().start,
            seen=seen,
            busy=busy_days(context.instance, job.name),
        )
        for entry, problem in sorted(found.unusable.items()):
            context.log.warning(f"{folder}/{entry} is left alone: {problem}.")
        pending = share({day: found.pending[day] for day in ready(context.instance, set(found.pending))})
        cursor = json.dumps({**seen, **found.seen, **pending}, sort_keys=True)
        if not pending:
            reason = f"{waiting}: {told(found.pending)}." if found.pending else _told(found)
            return dg.SensorResult(skip_reason=reason, cursor=cursor)
        asked = requests(pending, why=name, tags=DAILY_TABLES)
        return dg.SensorResult(run_requests=asked, cursor=cursor)

    return sensor


def _once_deployed(instance: dg.DagsterInstance, days: set[str]) -> set[str]:
    """Leave clients lying until a model is live: there is nothing to score them with before."""
    return days if days and model_is_live(instance) else set()


def _scored_days(instance: dg.DagsterInstance, days: set[str]) -> set[str]:
    """Leave outcomes lying until their day is scored: there is nothing to judge before."""
    return days & instance.get_materialized_partitions(dg.AssetKey("batch_predictions")) if days else days


inference_landing = _landing_sensor(
    "inference_landing",
    score_batch,
    folder=scoring.LANDING,
    asset="inference_data",
    chain=scoring.CHAIN,
    description="Scores a day as soon as its files have landed, and again when they change.",
    ready=_once_deployed,
    waiting="No model is live yet, run train_model and deploy_model. Waiting",
)
outcomes_landing = _landing_sensor(
    "outcomes_landing",
    judge_predictions,
    folder=monitoring.LANDING,
    asset="outcomes",
    chain=monitoring.CHAIN,
    description="Judges a scored day as soon as its outcomes have landed, and again when they change.",
    ready=_scored_days,
    waiting="Outcomes of days that are not scored yet",
)

SENSORS = [inference_landing, outcomes_landing]
