"""An alert of Azure Monitor as a reason to train the model again.

Off by default: `drift_sensor` reads the same results in the event log, sooner and without asking anybody. Switch this
one on where days are measured by others than this Dagster instance, or where what was alerted of is what has to count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import dagster as dg

from credit_default.core.decisions import Answer, Window, when_to_retrain
from credit_default.defs import loop
from credit_default.defs.jobs import retrain
from credit_default.defs.retraining import request
from credit_default.resources.ports import Telemetry

#: The query of the alert on violations: what raises it is what is asked here.
_QUERY = files("credit_default.deploy") / "queries" / "overall_violation.kql"
_Row = Mapping[str, Any]


@dg.sensor(
    job=retrain,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.STOPPED,
    description=(
        "Asks for a retraining when Azure Monitor says that days of the live version violate, by the query of the "
        "alert, and the rule of drift_sensor holds. Off, since drift_sensor does it sooner."
    ),
)
def alert_sensor(context: dg.SensorEvaluationContext, telemetry: Telemetry) -> dg.SensorResult:
    """Ask what the alert has found since the last look, and apply the rule to it."""
    instance, since = context.instance, _moment(context.cursor)
    if since is None:
        now = datetime.now(UTC).isoformat()
        return dg.SensorResult(skip_reason="The first look: what is alerted of from now on counts.", cursor=now)
    found = telemetry.query(_QUERY.read_text("utf-8"), since=since)
    new = [row for row in found if row["timestamp"] > since]
    if not new:
        told = f"The query of the alert returns nothing since {since.isoformat(timespec='seconds')}."
        return dg.SensorResult(skip_reason=told, cursor=context.cursor)
    read_to = max(row["timestamp"] for row in new).isoformat()
    live = loop.live_version(instance)
    ours = [row for row in new if row["model_version"] == live]
    if live is None or not ours:
        days = ", ".join(sorted(row["day"] for row in new))
        told = f"{days} violate(s), scored by another version than {live}." if live else "No version is live."
        return dg.SensorResult(skip_reason=told, cursor=read_to)
    answer = _answer(instance, live, ours)
    if not answer.retrain:
        # Outcomes may come without another alert: then the same rows are looked at again.
        cursor = context.cursor if answer.waits_for_labels else read_to
        return dg.SensorResult(skip_reason=answer.words, cursor=cursor)
    context.log.info(answer.words)
    asked = request(f"alert_sensor-{live}-{read_to}", "alert_sensor", answer)
    return dg.SensorResult(run_requests=[asked], cursor=read_to)


def _answer(instance: dg.DagsterInstance, live: str, alerted: Iterable[_Row]) -> Answer:
    """Apply the rule to the days that the event log knows, and those that the alert tells of."""
    known = loop.records(instance, "drift_metrics")
    measured = [loop.drift_window(record) for record in known if loop.is_of(record, live)]
    windows = {window.day: window for window in measured}
    windows |= {row["day"]: _window(row) for row in alerted}
    labelled = loop.labelled_rows(instance, windows)
    history = [replace(windows[day], labelled_rows=labelled.get(day, 0)) for day in sorted(windows)]
    return when_to_retrain(
        history,
        now=datetime.now(UTC),
        last_asked=loop.last_asked(instance),
        under_way=loop.is_under_way(instance),
    )


def _window(row: _Row) -> Window:
    return Window(row["day"], violation=True, features=tuple(name for name in row["features"].split(", ") if name))


def _moment(cursor: str | None) -> datetime | None:
    """Read a cursor; None when there is none, or none that can be read."""
    try:
        moment = datetime.fromisoformat(cursor or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


SENSORS: list[Any] = [alert_sensor]
