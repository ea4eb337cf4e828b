"""What the event log says of the loop: which version is live, how its days went, when a retraining was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import dagster as dg

from credit_default.core.promotion.decisions import MeasuredDay, underperformance
from credit_default.core.promotion.ledger import LedgerEntry
from credit_default.defs.shared.history import figure, newest
from credit_default.pipes.run_statuses import UNDER_WAY

#: Events of one asset that a look takes in at most.
MOST_EVENTS = 500
RETRAIN = "retrain"

_OVER_FOR_NOTHING = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
#: Dagster's own tags of a run that failed and is tried again.
_WILL_RETRY, _RETRIED_BY = "dagster/will_retry", "dagster/auto_retry_run_id"


def live_version(instance: dg.DagsterInstance) -> str | None:
    """Return the version that is live, or None when nothing was deployed yet."""
    record = newest(instance, "batch_deployment")
    return None if record is None else figure(record, "live_version")


def trained_at(instance: dg.DagsterInstance, version: str) -> datetime | None:
    """Return when the live version was trained, or this instance trained one after it; None when neither is on record.

    A training whose model did not go live counts: another one on the same data would not, either.
    """
    deployed, trained = newest(instance, "batch_deployment"), newest(instance, "trained_model")
    known = [trained.timestamp] if trained is not None else []
    if deployed is not None and figure(deployed, "live_version") == version:
        known += filter(None, [figure(deployed, "trained_at")])
    return datetime.fromtimestamp(max(known), UTC) if known else None


def knows_of(instance: dg.DagsterInstance, entry: LedgerEntry) -> bool:
    """Whether the newest `batch_deployment` tells what the entry by which a version became live says."""
    record = newest(instance, "batch_deployment")
    if record is None or figure(record, "live_version") != entry.to_version:
        return False
    lines = figure(record, "ledger_lines")
    return lines is None or bool(lines >= entry.number)


def records(
    instance: dg.DagsterInstance, asset: str, *, after: int | None = None, until: int | None = None
) -> list[dg.EventLogRecord]:
    """Return materialisations in their order: the first ones after an id, or the last ones up to one."""
    wanted = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset),
        after_storage_id=after,
        before_storage_id=None if until is None else until + 1,
    )
    found = instance.fetch_materializations(wanted, limit=MOST_EVENTS, ascending=after is not None).records
    return list(found) if after is not None else list(reversed(found))


def drift_window(record: dg.EventLogRecord) -> MeasuredDay:
    """Return what a materialisation of `drift_metrics` says of its day."""
    features = str(figure(record, "violating_features") or "")
    named = tuple(name for name in features.split(", ") if name and name != "none")
    return MeasuredDay(_day(record), bool(figure(record, "violation")), named)


def performance_window(record: dg.EventLogRecord, reference_auc: float) -> MeasuredDay:
    """Return what a materialisation of `model_performance` says of its day."""
    figures = {name: figure(record, name) for name in ("n_joined", "bad_rate", "roc_auc", "mean_pd")}
    short = underperformance(figures, reference_auc)
    return MeasuredDay(_day(record), bool(short), short)


def is_of(record: dg.EventLogRecord, version: str | None) -> bool:
    """Whether the day was scored by a version."""
    return bool(figure(record, "model_version") == version)


def expected_auc(instance: dg.DagsterInstance, version: str) -> float | None:
    """Return the ROC AUC of a version on its test part; None when that is not on record.

    The event by which it is known to be live says so, or else the one by which it was registered, if that was here.
    """
    deployed = newest(instance, "batch_deployment")
    if deployed is not None and figure(deployed, "live_version") == version:
        found = figure(deployed, "roc_auc")
        if found is not None:
            return float(found)
    for record in reversed(records(instance, "registered_model", until=_NEWEST)):
        if figure(record, "version") == version:
            found = figure(record, "roc_auc")
            return None if found is None else float(found)
    return None


def labelled_rows(instance: dg.DagsterInstance, days: Iterable[str]) -> dict[str, int]:
    """Return how many outcomes each day has by now."""
    found: dict[str, int] = {}
    wanted = list(days)
    if wanted:
        filtered = dg.AssetRecordsFilter(asset_key=dg.AssetKey("outcomes"), asset_partitions=wanted)
        made = instance.fetch_materializations(filtered, limit=MOST_EVENTS, ascending=True).records
        found = {_day(record): int(figure(record, "dagster/row_count") or 0) for record in made}
    return found


def is_under_way(instance: dg.DagsterInstance, job: str = RETRAIN) -> bool:
    """Whether a run of a job, a retraining by default, is queued or runs, or failed and is about to be tried again."""
    if instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=list(UNDER_WAY))):
        return True
    failed = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE], tags={_WILL_RETRY: "true"})
    return any(_RETRIED_BY not in run.tags for run in instance.get_runs(failed, limit=5))


def last_asked(instance: dg.DagsterInstance) -> datetime | None:
    """Return when a retraining was last asked for, by whomever; one that came to nothing does not count."""
    found = instance.get_run_records(dg.RunsFilter(job_name=RETRAIN), limit=20)
    moments = [record.create_timestamp for record in found if record.dagster_run.status not in _OVER_FOR_NOTHING]
    return max(moments).astimezone(UTC) if moments else None


#: Later than any event.
_NEWEST = 2**62


def _day(record: dg.EventLogRecord) -> str:
    assert record.partition_key is not None
    return record.partition_key
