"""What happens at fixed times (UTC)."""

from collections.abc import Iterator

import dagster as dg

from credit_default import settings
from credit_default.defs import scoring
from credit_default.defs.jobs import check_days, retrain, score_batch
from credit_default.defs.landing import busy_days, look, requests
from credit_default.defs.policies import DAILY_TABLES
from credit_default.resources.ports import Storage

Ticks = Iterator[dg.RunRequest | dg.SkipReason]


@dg.schedule(
    job=score_batch,
    cron_schedule="0 6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Scores what the landing sensor has not: it may have been off, or a day may have failed.",
)
def daily_scoring(context: dg.ScheduleEvaluationContext, storage: Storage) -> Ticks:
    """Ask for every landing day that is new or changed and not being worked on."""
    found = look(
        context.instance,
        storage,
        folder=scoring.LANDING,
        asset="inference_data",
        start=settings.read().start,
        seen={},
        busy=busy_days(context.instance, score_batch.name),
    )
    if not found.pending:
        yield dg.SkipReason("Every landing day is scored or being scored.")
    yield from requests(found.pending, why="daily schedule", tags=DAILY_TABLES, once={})


@dg.schedule(
    job=score_batch,
    cron_schedule="0 0 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The scenario's weekly drift run: measures the days that have predictions and no drift yet.",
)
def weekly_drift(context: dg.ScheduleEvaluationContext) -> Ticks:
    """Ask for the drift of days that lack it."""
    scored = context.instance.get_materialized_partitions(dg.AssetKey("batch_predictions"))
    measured = context.instance.get_materialized_partitions(dg.AssetKey("drift_metrics"))
    missing = scored - measured - busy_days(context.instance, score_batch.name)
    if not missing:
        yield dg.SkipReason("Every scored day has its drift.")
    for request in requests(missing, why="weekly drift schedule", tags=DAILY_TABLES, once={}):
        yield dg.RunRequest(tags=request.tags, asset_selection=[dg.AssetKey("drift_metrics")])


monthly_retraining = dg.ScheduleDefinition(
    name="monthly_retraining",
    job=retrain,
    cron_schedule="0 3 1 * *",
    # Off until it is switched on: a retrained model goes live by the absolute gates alone.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Trains on all that has arrived by the first of the month.",
)

daily_check = dg.ScheduleDefinition(
    name="daily_check",
    job=check_days,
    cron_schedule="0 12 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks at noon whether yesterday was scored and measured.",
)

SCHEDULES = [daily_scoring, weekly_drift, monthly_retraining, daily_check]
