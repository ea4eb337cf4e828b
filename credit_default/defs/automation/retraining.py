"""When the model is trained again: its days drift, it does worse than it promised, or it is old.

Each sensor says on its tick, in words, why it did or did not ask. The rule is `core.promotion.decisions`. In
production it says so, too, and asks for nothing: `ask` is where a retraining is asked for.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from credit_default import settings
from credit_default.core.plurals import plural
from credit_default.core.promotion.decisions import MeasuredDay, RetrainingDecision, when_to_retrain
from credit_default.core.sentences import sentence
from credit_default.defs.assets.deployment import WHY
from credit_default.defs.automation import event_log
from credit_default.defs.automation.jobs import retrain
from credit_default.defs.shared.history import newest
from credit_default.defs.shared.policies import FRESHNESS, MODEL_TABLES
from credit_default.errors import NotThere
from credit_default.ports import Telemetry
from credit_default.settings import Environment
from credit_default.telemetry.records import EVENT_KEY, Failure

#: Tag of a run with what spoke for it, as data.
EVIDENCE = "credit_default/evidence"
_FROM_STAGING = (
    "A retraining is due, and production trains nothing: train in staging, and bring the version here by the workflow "
    "`Deploy model` or by `credit-default deploy model promote` and `credit-default deploy deployment`."
)
#: From this hour (UTC) on, yesterday is expected to be scored and measured.
_DUE_HOUR = 12
_WindowOf = Callable[[dg.EventLogRecord], MeasuredDay]


@dataclass(frozen=True)
class DriftCursor:
    """How far a sensor has read, and whether all that it waits for is outcomes."""

    storage_id: int
    waits_for_labels: bool = False

    @staticmethod
    def read(cursor: str | None) -> "DriftCursor | None":
        """Read a cursor; None when there is none, or none that can be read."""
        try:
            told = json.loads(cursor or "")
            return DriftCursor(int(told["storage_id"]), bool(told["waits_for_labels"]))
        except (ValueError, TypeError, KeyError):
            return None

    def written(self) -> str:
        """Return the text that `read` reads."""
        return json.dumps({"storage_id": self.storage_id, "waits_for_labels": self.waits_for_labels})


def _sensor(
    name: str, asset: str, window_of: Callable[[dg.DagsterInstance, str], _WindowOf | None], *, description: str
) -> dg.SensorDefinition:
    """Make a sensor that reads every new materialisation of an asset in its order and applies the rule to it."""

    @dg.sensor(
        name=name,
        job=retrain,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext, telemetry: Telemetry) -> dg.SensorResult:
        instance, seen = context.instance, DriftCursor.read(context.cursor)
        if seen is None:
            record = newest(instance, asset)
            start = DriftCursor(record.storage_id if record is not None else 0)
            return dg.SensorResult(
                skip_reason="The first look: what is measured from now on counts.", cursor=start.written()
            )
        new = event_log.records(instance, asset, after=seen.storage_id)
        read_to = new[-1].storage_id if new else seen.storage_id
        if not new and not seen.waits_for_labels:
            return dg.SensorResult(skip_reason="Nothing was measured since the last look.", cursor=seen.written())
        live = event_log.live_version(instance)
        judge = window_of(instance, live) if live is not None else None
        if live is None or judge is None:
            reason = f"It is not on record what version {live} promised." if live else "No version is live."
            return dg.SensorResult(skip_reason=reason, cursor=DriftCursor(read_to).written())
        known = [one for one in event_log.records(instance, asset, until=seen.storage_id) if event_log.is_of(one, live)]
        at, answer = _first_yes(instance, judge, known, [one for one in new if event_log.is_of(one, live)])
        if not answer.retrain:
            return dg.SensorResult(
                skip_reason=answer.words, cursor=DriftCursor(read_to, answer.waits_for_labels).written()
            )
        # What came after that event is read at the next tick. The key is made of it: one event asks once.
        cursor = DriftCursor(max(at, seen.storage_id)).written()
        return ask(context, telemetry, f"{name}-{live}-{at}", answer, cursor=cursor)

    return sensor


def _first_yes(
    instance: dg.DagsterInstance,
    judge: _WindowOf,
    known: list[dg.EventLogRecord],
    new: list[dg.EventLogRecord],
) -> tuple[int, RetrainingDecision]:
    """Apply the rule after each new event, until it says yes; return the event that this was, and the answer."""
    windows = {window.day: window for window in map(judge, known)}
    labelled = event_log.labelled_rows(instance, {*windows, *(judge(one).day for one in new)})
    now, last_asked, under_way = datetime.now(UTC), event_log.last_asked(instance), event_log.is_under_way(instance)
    at = known[-1].storage_id if known else 0

    def ask() -> RetrainingDecision:
        history = [replace(windows[day], labelled_rows=labelled.get(day, 0)) for day in sorted(windows)]
        return when_to_retrain(history, now=now, last_asked=last_asked, under_way=under_way)

    answer = ask()
    for record in new:
        window, at = judge(record), record.storage_id
        windows[window.day] = window
        answer = ask()
        if answer.retrain:
            break
    return at, answer


def ask(
    context: dg.SensorEvaluationContext,
    telemetry: Telemetry,
    run_key: str,
    answer: RetrainingDecision,
    *,
    cursor: str | None = None,
) -> dg.SensorResult:
    """Ask for a retraining, with the reason in words and as data.

    Production asks for none: it may read the shared registry and not write it, so what it trained could not be deployed
    there. It says that a retraining is due, and tells telemetry once for each run key.
    """
    why = f"{context.sensor_name}: {answer.words}"
    if settings.read().environment is Environment.PRODUCTION:
        telemetry.emit([Failure("RetrainingDue", why, {"sensor": context.sensor_name, EVENT_KEY: run_key})])
        return dg.SensorResult(skip_reason=f"{sentence(why)} {_FROM_STAGING}", cursor=cursor)
    context.log.info(answer.words)
    tags = {**MODEL_TABLES, WHY: why, EVIDENCE: json.dumps(answer.evidence)}
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=run_key, tags=tags)], cursor=cursor)


def _of_performance(instance: dg.DagsterInstance, live: str) -> _WindowOf | None:
    promised = event_log.expected_auc(instance, live)
    return None if promised is None else lambda record: event_log.performance_window(record, promised)


drift_sensor = _sensor(
    "drift_sensor",
    "drift_metrics",
    lambda _instance, _live: event_log.drift_window,
    description="Asks for a retraining when the days that the live version scored drift and go on drifting.",
)
performance_sensor = _sensor(
    "performance_sensor",
    "model_performance",
    _of_performance,
    description="Asks for a retraining when the live version goes on doing worse than it promised, by its outcomes.",
)


@dg.sensor(
    job=retrain,
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a retraining when the model is older than its policy; fails when yesterday is missing.",
)
def freshness_sensor(context: dg.SensorEvaluationContext, telemetry: Telemetry) -> dg.SensorResult:
    """Look at the age of the model, then at yesterday."""
    instance, now = context.instance, datetime.now(UTC)
    live = event_log.live_version(instance)
    if live is None:
        return dg.SensorResult(skip_reason="No version is live.")
    looked = _at_its_age(context, telemetry, live, now)
    if looked.run_requests:
        return looked
    missing = _missing_yesterday(instance, now)
    if missing:
        told = f"{' and '.join(missing)} of {(now - timedelta(days=1)).date()} are missing"
        telemetry.emit([Failure("MissingDay", told, {"partition": str((now - timedelta(days=1)).date())})])
        raise NotThere(
            f"{told}; look whether its files have landed and what the runs of score_batch say, and materialise the day"
        )
    assert looked.skip_reason is not None
    return dg.SensorResult(skip_reason=f"{looked.skip_reason.skip_message} Yesterday is there.")


def _at_its_age(context: dg.SensorEvaluationContext, telemetry: Telemetry, live: str, now: datetime) -> dg.SensorResult:
    """Ask for a retraining when the model is too old, or say in words why not."""
    trained = event_log.trained_at(context.instance, live)
    if trained is None:
        return dg.SensorResult(skip_reason=f"It is not on record when version {live} was trained.")
    age, oldest = now - trained, FRESHNESS["trained_model"].fail_window.to_timedelta()
    if age < oldest or event_log.is_under_way(context.instance):
        return dg.SensorResult(skip_reason=f"The model is {plural(age.days, 'day')} old.")
    answer = RetrainingDecision(
        True, f"the model is {plural(age.days, 'day')} old, {oldest.days} are allowed", {"days": age.days}
    )
    # Asked for once a day as long as it stays old.
    return ask(context, telemetry, f"freshness_sensor-{live}-{now.date()}", answer)


def _missing_yesterday(instance: dg.DagsterInstance, now: datetime) -> list[str]:
    """Name what yesterday lacks, once it is due; nothing while no day was ever scored."""
    yesterday = (now - timedelta(days=1)).date().isoformat()
    made = {
        asset: instance.get_materialized_partitions(dg.AssetKey(asset))
        for asset in ("batch_predictions", "drift_metrics")
    }
    if now.hour < _DUE_HOUR or not made["batch_predictions"]:
        return []
    return [asset for asset, days in made.items() if yesterday not in days]


SENSORS: list[Any] = [drift_sensor, performance_sensor, freshness_sensor]
