"""What happens when something arrives."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from credit_default import settings
from credit_default.core.sentences import sentence
from credit_default.defs.assets import monitoring, scoring
from credit_default.defs.automation.jobs import judge_predictions, score_batch
from credit_default.defs.landing.cursor import LandingCursor
from credit_default.defs.landing.refusals import Chain
from credit_default.defs.landing.scan import (
    LandingScan,
    busy_days,
    change_ids,
    format_days,
    model_is_live,
    requests,
    scan_landing,
    share,
    warn_of,
)
from credit_default.defs.shared.policies import DAILY_TABLES
from credit_default.ports import Storage


def _told(found: LandingScan, waiting: str) -> str:
    """Say in words why nothing was asked for."""
    if found.pending:
        why = f"{waiting}: {format_days(found.pending)}."
    elif found.settling:
        why = f"Still being written to: {format_days(found.settling)}."
    else:
        why = "Nothing new has landed."
    return " ".join([why, *map(sentence, found.problems())])


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
        cursor = LandingCursor.read(context.cursor).caught_up(context.instance, asset)
        found = scan_landing(
            context.instance,
            storage,
            folder=folder,
            asset=asset,
            chain=chain,
            start=settings.read().start,
            seen=dict(cursor.days),
            busy=busy_days(context.instance, job.name),
        )
        warn_of(found, folder, context.log)
        pending = share({day: found.pending[day] for day in ready(context.instance, set(found.pending))})
        written = cursor.with_days(found.seen, found.changed, pending).written()
        if not pending:
            return dg.SensorResult(skip_reason=_told(found, waiting), cursor=written)
        asked = requests(change_ids(context.instance, asset, pending, cursor.days), why=name, tags=DAILY_TABLES)
        return dg.SensorResult(run_requests=asked, cursor=written)

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
