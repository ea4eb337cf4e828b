"""When the alert on violations asks for a retraining: by its own query, in words, and only if the rule holds, too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from credit_default.defs.assets.deployment import WHY
from credit_default.defs.automation import alerting
from credit_default.defs.automation.alerting import alert_sensor
from credit_default.defs.automation.retraining import EVIDENCE
from credit_default.errors import QueryError
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default.telemetry.records import drift_records
from credit_default_tests.defs.automation.test_retraining import Loop, Status, exceptions
from credit_default_tests.defs.conftest import day
from credit_default_tests.platforms import telemetry_of

_NOTHING = "The query of the alert returns nothing new since "


class Alerted(Loop):
    """Days as telemetry tells of them; the event log of this instance need not know them."""

    def told(self, partition: str, *, violation: bool = True, version: str = "1") -> None:
        overall = {
            "violation": violation,
            "violating_features": ["bill_amount_1", "credit_limit"] if violation else [],
            "psi": 0.4,
            "max_csi": 0.5,
        }
        drift = {"partition": partition, "model_name": "credit-card-default", "model_version": version}
        self.telemetry.emit(drift_records({**drift, "overall": overall, "features": []}))

    def told_late(self, partition: str, ago: timedelta, *, version: str = "1") -> None:
        """A row that was made that long ago, and arrives now."""
        file = Path(self.telemetry.folder) / "traces.jsonl"
        before = file.read_text() if file.exists() else ""
        self.told(partition, version=version)
        made = (datetime.now(UTC) - ago).isoformat().replace("+00:00", "Z")
        new = map(json.loads, file.read_text().removeprefix(before).splitlines())
        file.write_text(before + "".join(json.dumps({**row, "timestamp": made}) + "\n" for row in new))

    def looked_first(self, ago: timedelta) -> None:
        """The first look of the sensor was that long ago, and nothing was told since."""
        (Path(self.telemetry.folder) / "traces.jsonl").unlink(missing_ok=True)
        since = datetime.now(UTC) - ago
        self.cursors["alert_sensor"] = json.dumps({"since": since.isoformat(), "rows": []})

    def asks(self) -> tuple[str | None, list[dg.RunRequest]]:
        done, new = self.tick(alert_sensor)
        return done.skip_message, new


@pytest.fixture
def alerted(instance, tmp_path) -> Alerted:
    """A version that is live, and a sensor that has looked once."""
    made = Alerted(instance, LocalTelemetry(folder=str(tmp_path / "telemetry")))
    made.live()
    made.told(day(9))
    assert made.asks() == ("The first look: what is alerted of from now on counts.", [])
    return made


def test_it_is_off_until_somebody_switches_it_on():
    assert alert_sensor.default_status is dg.DefaultSensorStatus.STOPPED


def test_days_that_the_alert_tells_of_ask_once_with_the_reason_in_words_and_as_data(alerted):
    for ago in (3, 2):
        alerted.told(day(ago))
        alerted.outcomes(day(ago))
    _, (request,) = alerted.asks()
    assert request.tags[WHY].startswith("alert_sensor: 2 of the last 2 days violate, the newest among them; 1,200")
    evidence = json.loads(request.tags[EVIDENCE])
    assert evidence["violating_windows"] == [day(3), day(2)]
    assert evidence["violating_features"] == ["bill_amount_1", "credit_limit"]
    assert request.tags["credit_default/tables"] == "model"
    told, new = alerted.asks()
    assert new == []
    assert told.startswith(_NOTHING)


def test_what_was_alerted_of_before_the_first_look_counts_for_nothing(alerted):
    alerted.outcomes(day(9))
    assert alerted.asks()[1] == []


def test_calm_days_ask_for_nothing(alerted):
    for ago in (3, 2):
        alerted.told(day(ago), violation=False)
        alerted.outcomes(day(ago))
    told, new = alerted.asks()
    assert new == []
    assert told.startswith(_NOTHING)


def test_a_single_day_is_no_reason_and_a_second_one_is(alerted):
    for ago in (6, 5, 4, 3):
        alerted.drift(day(ago), violation=False)
        alerted.outcomes(day(ago))
    alerted.told(day(2))
    alerted.drift(day(2))
    alerted.outcomes(day(2))
    told, new = alerted.asks()
    assert new == []
    assert "1 of the last 5 days violates; 2 of 5 are needed" in told
    alerted.told(day(1))
    alerted.outcomes(day(1))
    assert len(alerted.asks()[1]) == 1


def test_a_calm_day_that_came_after_those_of_the_alert_ends_it(alerted):
    for ago in (4, 3):
        alerted.told(day(ago))
        alerted.outcomes(day(ago))
    alerted.drift(day(2), violation=False)
    assert alerted.asks() == (f"{day(2)} does not violate.", [])


def test_days_that_another_version_scored_are_none_of_its_business(alerted):
    for ago in (3, 2):
        alerted.told(day(ago), version="7")
        alerted.outcomes(day(ago))
    told, new = alerted.asks()
    assert new == []
    assert told == f"{day(3)}, {day(2)} violate, scored by another version than 1."
    assert alerted.asks()[0].startswith(_NOTHING)


def test_outcomes_that_come_later_are_waited_for_without_another_alert(alerted):
    for ago in (3, 2):
        alerted.told(day(ago))
    told, new = alerted.asks()
    assert new == []
    assert "0 rows since" in told
    alerted.outcomes(day(3), 700)
    assert alerted.asks()[1] == []
    alerted.outcomes(day(2), 700)
    assert len(alerted.asks()[1]) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [(Status.STARTED, "A retraining is under way."), (Status.SUCCESS, "the last retraining was asked for at")],
)
def test_one_retraining_at_a_time_and_a_cool_down_after_it_whoever_asked(alerted, status, words):
    for ago in (3, 2):
        alerted.told(day(ago))
        alerted.outcomes(day(ago))
    alerted.run(status)
    told, new = alerted.asks()
    assert new == []
    assert words in told


def test_a_restart_before_the_cursor_was_kept_asks_under_the_same_key(alerted):
    for ago in (3, 2):
        alerted.told(day(ago))
        alerted.outcomes(day(ago))
    before = dict(alerted.cursors)
    _, (first,) = alerted.asks()
    alerted.cursors = before
    done, new = alerted.tick(alert_sensor)
    assert new == []
    assert [request.run_key for request in done.run_requests] == [first.run_key]


def test_a_cursor_that_cannot_be_read_is_a_first_look(alerted):
    alerted.cursors["alert_sensor"] = "nonsense"
    assert alerted.asks()[0] == "The first look: what is alerted of from now on counts."


def test_without_a_live_version_there_is_nothing_to_retrain(instance, tmp_path):
    nothing = Alerted(instance, LocalTelemetry(folder=str(tmp_path / "telemetry")))
    nothing.asks()
    nothing.told(day(2))
    assert nothing.asks() == ("No version is live.", [])


def test_a_question_that_is_not_answered_fails_the_tick_and_loses_nothing(alerted, monkeypatch):
    for ago in (3, 2):
        alerted.told(day(ago))
        alerted.outcomes(day(ago))

    def broken(*_, **__):
        raise QueryError("Azure Monitor does not run this query")

    with monkeypatch.context() as patched:
        patched.setattr(LocalTelemetry, "query", broken)
        with pytest.raises(QueryError):
            alerted.asks()
    assert len(alerted.asks()[1]) == 1


def test_rows_that_come_late_and_out_of_order_are_seen_once(alerted):
    alerted.looked_first(timedelta(days=2))
    alerted.told(day(2))
    alerted.outcomes(day(2), 600)
    assert "1 of the last 1 day violates" in alerted.asks()[0]
    # Made before what was seen already: its telemetry waited on disk.
    alerted.outcomes(day(3), 600)
    alerted.told_late(day(3), timedelta(hours=20))
    _, (request,) = alerted.asks()
    assert json.loads(request.tags[EVIDENCE])["violating_windows"] == [day(3), day(2)]
    for _ in range(2):
        told, new = alerted.asks()
        assert new == []
        assert told.startswith(_NOTHING)


def test_what_a_cursor_remembers_is_bounded_and_what_it_forgets_does_not_come_back(alerted, monkeypatch):
    monkeypatch.setattr(alerting, "_MOST_ROWS", 2)
    alerted.looked_first(timedelta(days=2))
    for hours, ago in enumerate((6, 5, 4, 3)):
        alerted.told_late(day(ago), timedelta(hours=20 - hours), version="7")
    alerted.asks()
    kept = json.loads(alerted.cursors["alert_sensor"])
    assert [row[1] for row in kept["rows"]] == [day(4), day(3)]
    assert kept["since"] == kept["rows"][0][0]
    assert alerted.asks()[0].startswith(_NOTHING)


def test_it_looks_back_a_week_and_no_further(alerted):
    alerted.looked_first(timedelta(days=30))
    alerted.told_late(day(9), timedelta(days=8), version="7")
    alerted.asks()
    kept = json.loads(alerted.cursors["alert_sensor"])
    assert kept["rows"] == []
    assert timedelta(days=6, hours=23) < datetime.now(UTC) - datetime.fromisoformat(kept["since"]) < timedelta(days=8)


def test_production_says_that_a_retraining_is_due_and_asks_for_no_run(alerted, monkeypatch):
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "production")
    for ago in (3, 2):
        alerted.told(day(ago))
        alerted.outcomes(day(ago))
    told, new = alerted.asks()
    assert new == []
    assert "A retraining is due, and production trains nothing" in told
    assert [one["customDimensions"]["sensor"] for one in exceptions(alerted)] == ["alert_sensor"]
    assert alerted.asks()[0].startswith(_NOTHING)


@pytest.mark.slow
def test_on_azure_it_asks_azure_monitor(azure, instance, tmp_path):
    alerted = Alerted(instance, telemetry_of("azure", tmp_path / "telemetry", "opencensus"))
    alerted.live()
    alerted.looked_first(timedelta(hours=1))
    assert alerted.asks()[0].startswith(_NOTHING)
    for ago in (3, 2):
        alerted.told(day(ago))
        alerted.outcomes(day(ago))
    # What is on this machine does not count there.
    for file in (tmp_path / "telemetry").glob("*.jsonl"):
        file.unlink()
    _, (request,) = alerted.asks()
    assert json.loads(request.tags[EVIDENCE])["violating_windows"] == [day(3), day(2)]
    assert alerted.asks()[0].startswith(_NOTHING)
