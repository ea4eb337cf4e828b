"""What Azure Monitor's alert on violations looks for, as a reason to train the model again.

The sensor runs the query of the alert rule by itself and asks for no fired alerts (azure-monitor-query runs KQL, and
lists none): a rule that is disabled, suppressed or was never made changes nothing here.

Off by default: `drift_sensor` reads the same results in the event log, sooner and without asking anybody. Switch this
one on where days are measured by others than this Dagster instance, or where what was alerted of is what has to count.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import dagster as dg

from credit_default.core.plurals import verb
from credit_default.core.promotion.decisions import MeasuredDay, RetrainingDecision, when_to_retrain
from credit_default.defs.automation import event_log
from credit_default.defs.automation.jobs import retrain
from credit_default.defs.automation.retraining import ask
from credit_default.ports import Telemetry

#: The query of the alert on violations: what raises it is what is asked here.
_QUERY = files("credit_default.deploy") / "queries" / "overall_violation.kql"
#: Rows come late and out of order: what could not be sent waits on disk, and is sent within so many days.
_LOOK_BACK = timedelta(days=7)
#: Rows that a cursor remembers at most.
_MOST_ROWS = 500
_Row = Mapping[str, Any]


@dataclass(frozen=True)
class AlertCursor:
    """From when on a look asks, and the rows from then on that were dealt with: when, which day, which version."""

    since: datetime
    rows: frozenset[tuple[str, str, str]] = frozenset()

    @staticmethod
    def read(cursor: str | None) -> AlertCursor | None:
        """Read a cursor; None when there is none, or none that can be read."""
        try:
            told = json.loads(cursor or "")
            since = datetime.fromisoformat(told["since"])
            rows = frozenset((str(at), str(day), str(version)) for at, day, version in told["rows"])
        except (ValueError, TypeError, KeyError):
            return None
        return AlertCursor(since, rows) if since.tzinfo is not None else None

    def written(self) -> str:
        """Return the text that `read` reads."""
        return json.dumps({"since": self.since.isoformat(), "rows": sorted(self.rows)})

    def after(self, found: Iterable[_Row], now: datetime) -> AlertCursor:
        """Return what is to be remembered once these rows are dealt with."""
        since = max(self.since, now - _LOOK_BACK)
        kept = sorted(row for row in self.rows | set(map(_row, found)) if datetime.fromisoformat(row[0]) >= since)
        if len(kept) > _MOST_ROWS:
            kept = kept[-_MOST_ROWS:]
            # What came before them is not remembered, and must not look new.
            since = datetime.fromisoformat(kept[0][0])
        return AlertCursor(since, frozenset(kept))


@dg.sensor(
    job=retrain,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description=(
        "Asks for a retraining when the query of the alert on violations returns days of the live version, and the "
        "rule of drift_sensor holds. It runs the query itself: whether the alert rule is enabled makes no difference. "
        "Off, since drift_sensor does it sooner."
    ),
)
def alert_sensor(context: dg.SensorEvaluationContext, telemetry: Telemetry) -> dg.SensorResult:
    """Ask by the alert's query what came since the last look, however late, and apply the rule to it."""
    instance, looked, now = context.instance, AlertCursor.read(context.cursor), datetime.now(UTC)
    if looked is None:
        told = "The first look: what is alerted of from now on counts."
        return dg.SensorResult(skip_reason=told, cursor=AlertCursor(now).written())
    found = telemetry.query(_QUERY.read_text("utf-8"), since=looked.since)
    new = [row for row in found if _row(row) not in looked.rows]
    cursor = looked.after(new, now).written()
    if not new:
        told = f"The query of the alert returns nothing new since {looked.since.isoformat(timespec='seconds')}."
        return dg.SensorResult(skip_reason=told, cursor=cursor)
    live = event_log.live_version(instance)
    if live is None or all(row["model_version"] != live for row in new):
        days = sorted(row["day"] for row in new)
        violate = verb(len(days), "violates", "violate")
        told = f"{', '.join(days)} {violate}, scored by another version than {live}." if live else "No version is live."
        return dg.SensorResult(skip_reason=told, cursor=cursor)
    answer = _answer(instance, live, [row for row in found if row["model_version"] == live])
    if not answer.retrain:
        # Outcomes may come without another alert: then the same rows are looked at again.
        return dg.SensorResult(skip_reason=answer.words, cursor=context.cursor if answer.waits_for_labels else cursor)
    read_to = max(row["timestamp"] for row in new).isoformat()
    return ask(context, telemetry, f"alert_sensor-{live}-{read_to}", answer, cursor=cursor)


def _answer(instance: dg.DagsterInstance, live: str, alerted: Iterable[_Row]) -> RetrainingDecision:
    """Apply the rule to the days that the event log knows, and those that the alert tells of."""
    known = event_log.records(instance, "drift_metrics")
    measured = [event_log.drift_window(record) for record in known if event_log.is_of(record, live)]
    windows = {window.day: window for window in measured}
    windows |= {row["day"]: _window(row) for row in alerted}
    labelled = event_log.labelled_rows(instance, windows)
    history = [replace(windows[day], labelled_rows=labelled.get(day, 0)) for day in sorted(windows)]
    return when_to_retrain(
        history,
        now=datetime.now(UTC),
        last_asked=event_log.last_asked(instance),
        under_way=event_log.is_under_way(instance),
    )


def _window(row: _Row) -> MeasuredDay:
    return MeasuredDay(row["day"], violation=True, features=tuple(name for name in row["features"].split(", ") if name))


def _row(row: _Row) -> tuple[str, str, str]:
    return row["timestamp"].astimezone(UTC).isoformat(timespec="microseconds"), row["day"], row["model_version"]


SENSORS: list[Any] = [alert_sensor]
