"""When the alert on violations asks for a retraining: by its own query, in words, and only if the rule holds, too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from credit_default.core.telemetry import drift_records
from credit_default.defs.alerting import alert_sensor
from credit_default.defs.deployment import WHY
from credit_default.defs.retraining import EVIDENCE
from credit_default.errors import QueryError
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default_tests.defs.conftest import day
from credit_default_tests.defs.test_retraining import Loop, Status
from credit_default_tests.platforms import telemetry_of


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
    assert request.tags[WHY].startswith("alert_sensor: 2 of the last 2 day(s) violate, the newest among them; 1,200")
    evidence = json.loads(request.tags[EVIDENCE])
    assert evidence["violating_windows"] == [day(3), day(2)]
    assert evidence["violating_features"] == ["bill_amount_1", "credit_limit"]
    assert request.tags["credit_default/tables"] == "model"
    told, new = alerted.asks()
    assert new == []
    assert told.startswith("The query of the alert returns nothing since ")


def test_what_was_alerted_of_before_the_first_look_counts_for_nothing(alerted):
    alerted.outcomes(day(9))
    assert alerted.asks()[1] == []


def test_calm_days_ask_for_nothing(alerted):
    for ago in (3, 2):
        alerted.told(day(ago), violation=False)
        alerted.outcomes(day(ago))
    told, new = alerted.asks()
    assert new == []
    assert told.startswith("The query of the alert returns nothing since ")


def test_a_single_day_is_no_reason_and_a_second_one_is(alerted):
    for ago in (6, 5, 4, 3):
        alerted.drift(day(ago), violation=False)
        alerted.outcomes(day(ago))
    alerted.told(day(2))
    alerted.drift(day(2))
    alerted.outcomes(day(2))
    told, new = alerted.asks()
    assert new == []
    assert "1 of the last 5 day(s) violate; 2 of 5 are needed" in told
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
    assert told == f"{day(3)}, {day(2)} violate(s), scored by another version than 1."
    assert alerted.asks()[0].startswith("The query of the alert returns nothing since ")


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


@pytest.mark.slow
def test_on_azure_it_asks_azure_monitor(azure, instance, tmp_path):
    alerted = Alerted(instance, telemetry_of("azure", tmp_path / "telemetry", "opencensus"))
    alerted.live()
    alerted.cursors["alert_sensor"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert alerted.asks()[0].startswith("The query of the alert returns nothing since ")
    for ago in (3, 2):
        alerted.told(day(ago))
        alerted.outcomes(day(ago))
    # What is on this machine does not count there.
    for file in (tmp_path / "telemetry").glob("*.jsonl"):
        file.unlink()
    _, (request,) = alerted.asks()
    assert json.loads(request.tags[EVIDENCE])["violating_windows"] == [day(3), day(2)]
    assert alerted.asks()[0].startswith("The query of the alert returns nothing since ")
