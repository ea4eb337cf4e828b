"""What happens at fixed times (UTC)."""

from collections.abc import Iterable, Iterator
from datetime import UTC, timedelta

import dagster as dg

from credit_default import settings
from credit_default.core.sentences import sentence
from credit_default.defs.assets import monitoring, scoring
from credit_default.defs.automation.jobs import (
    check_days,
    export_online_inputs,
    judge_predictions,
    retrain,
    score_batch,
)
from credit_default.defs.landing.scan import (
    LandingScan,
    busy_days,
    given_up,
    model_is_live,
    requests,
    scan_landing,
    share,
    warn_of,
)
from credit_default.defs.shared.policies import DAILY_TABLES
from credit_default.ports import Storage
from credit_default.telemetry import collection_key

Ticks = Iterator[dg.RunRequest | dg.SkipReason]


@dg.schedule(
    job=score_batch,
    cron_schedule="0 6 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Scores what the landing sensor has not: it may have been off, or a day may have failed.",
)
def daily_scoring(context: dg.ScheduleEvaluationContext, storage: Storage) -> Ticks:
    """Ask for landing days that are new or changed, and for days that were taken in and then not scored."""
    if not model_is_live(context.instance):
        yield dg.SkipReason("No model is live yet, run train_model and deploy_model.")
        return
    busy = busy_days(context.instance, score_batch.name)
    found = scan_landing(
        context.instance,
        storage,
        folder=scoring.LANDING,
        asset="inference_data",
        chain=scoring.CHAIN,
        start=settings.read().start,
        seen={},
        busy=busy,
    )
    warn_of(found, scoring.LANDING, context.log)
    taken_in = context.instance.get_materialized_partitions(dg.AssetKey("inference_data"))
    scored = context.instance.get_materialized_partitions(dg.AssetKey("batch_predictions"))
    unscored = taken_in - scored - busy - set(found.pending)
    unscored -= given_up(context.instance, storage, "inference_data", scoring.CHAIN)
    if not found.pending and not unscored:
        yield _nothing_to_do("Every landing day is scored or being scored.", found)
    yield from requests(_now(context, share(found.pending)), why="daily schedule", tags=DAILY_TABLES)
    # Their files may be gone by now; the table that was made of them is not.
    rest = ("batch_predictions", "drift_metrics")
    yield from requests(_now(context, unscored), why="daily schedule", tags=DAILY_TABLES, only=rest)


@dg.schedule(
    job=judge_predictions,
    cron_schedule="0 7 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Judges what the outcomes sensor has not: days that failed, or were scored again since.",
)
def daily_judging(context: dg.ScheduleEvaluationContext, storage: Storage) -> Ticks:
    """Ask for scored days whose outcomes were not judged since they, or the predictions, last changed."""
    found = scan_landing(
        context.instance,
        storage,
        folder=monitoring.LANDING,
        asset="outcomes",
        chain=monitoring.CHAIN,
        start=settings.read().start,
        seen={},
        busy=busy_days(context.instance, judge_predictions.name),
    )
    warn_of(found, monitoring.LANDING, context.log)
    scored = context.instance.get_materialized_partitions(dg.AssetKey("batch_predictions"))
    pending = share({day: fingerprint for day, fingerprint in found.pending.items() if day in scored})
    if not pending:
        yield _nothing_to_do("Every scored day is judged by the outcomes that have landed.", found)
    yield from requests(_now(context, pending), why="daily schedule", tags=DAILY_TABLES)


@dg.schedule(
    job=score_batch,
    cron_schedule="0 0 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="The scenario's weekly drift run: measures the days that have predictions and no drift yet.",
)
def weekly_drift(context: dg.ScheduleEvaluationContext, storage: Storage) -> Ticks:
    """Ask for the drift of days that lack it."""
    scored = context.instance.get_materialized_partitions(dg.AssetKey("batch_predictions"))
    measured = context.instance.get_materialized_partitions(dg.AssetKey("drift_metrics"))
    missing = scored - measured - busy_days(context.instance, score_batch.name)
    missing -= given_up(context.instance, storage, "inference_data", scoring.CHAIN) if missing else set()
    if not missing:
        yield dg.SkipReason("Every scored day has its drift.")
    yield from requests(_now(context, missing), why="weekly drift schedule", tags=DAILY_TABLES, only=["drift_metrics"])


@dg.schedule(
    job=export_online_inputs,
    cron_schedule="0 1 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Lets what online endpoints were asked in the last seven days arrive, so that its drift is measured.",
)
def weekly_online_export(context: dg.ScheduleEvaluationContext) -> Ticks:
    """Ask for the seven complete days before this one."""
    found = settings.read()
    if not collection_key.is_there(found):
        yield dg.SkipReason(
            f"{settings.COLLECTION_KEY_VARIABLE} is not set, so nothing that online endpoints were asked can be opened."
        )
        return
    today = context.scheduled_execution_time.astimezone(UTC).date()
    days = [today - timedelta(days=ago) for ago in range(1, 8)]
    complete = [day.isoformat() for day in days if day >= found.start]
    if not complete:
        yield dg.SkipReason(f"No day since {found.start} is complete.")
    yield from requests(_now(context, complete), why="weekly online export", tags=DAILY_TABLES)


def _nothing_to_do(words: str, found: LandingScan) -> dg.SkipReason:
    """Say why nothing is asked for, and what is left alone."""
    return dg.SkipReason(" ".join([words, *map(sentence, found.problems())]))


def _now(context: dg.ScheduleEvaluationContext, days: Iterable[str]) -> dict[str, str]:
    """Ask for days at this tick: a day that failed is asked for again at the next one, under another run key."""
    return dict.fromkeys(days, context.scheduled_execution_time.isoformat())


monthly_retraining = dg.ScheduleDefinition(
    name="monthly_retraining",
    job=retrain,
    cron_schedule="0 3 1 * *",
    # Off until it is switched on: the sensors ask for a retraining when there is a reason.
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

SCHEDULES = [daily_scoring, daily_judging, weekly_drift, weekly_online_export, monthly_retraining, daily_check]
