"""When a retraining is asked for, as the event log tells it: once, in words, and never twice for the same."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RemoteJobOrigin

from credit_default.definitions import defs
from credit_default.defs.assets.deployment import WHY
from credit_default.defs.automation import retraining
from credit_default.defs.automation.retraining import EVIDENCE, drift_sensor, freshness_sensor, performance_sensor
from credit_default.errors import NotThere
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default_tests.defs.conftest import ORIGIN, day

Status = dg.DagsterRunStatus


class Loop:
    """The events that the sensors read, and ticks of a sensor whose cursor is kept from one to the next."""

    def __init__(self, instance, telemetry) -> None:
        self.instance = instance
        self.telemetry = telemetry
        self.cursors: dict[str, str | None] = {}
        self.asked: list[dg.RunRequest] = []

    def made(self, asset: str, partition: str | None = None, **metadata) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition, metadata=metadata))

    def live(self, version: str = "1") -> None:
        self.made("registered_model", version=version, roc_auc=0.78)
        self.made("batch_deployment", live_version=version)

    def drift(self, partition: str, *, violation: bool = True, version: str = "1") -> None:
        features = "bill_amount_1, credit_limit" if violation else "none"
        self.made("drift_metrics", partition, violation=violation, violating_features=features, model_version=version)

    def outcomes(self, partition: str, rows: int = 600) -> None:
        self.made("outcomes", partition, **{"dagster/row_count": rows})

    def performance(self, partition: str, roc_auc: float, *, mean_pd: float = 0.22) -> None:
        figures = {"n_joined": 500, "bad_rate": 0.22, "mean_pd": mean_pd, "roc_auc": roc_auc}
        self.made("model_performance", partition, model_version="1", **figures)

    def tick(self, sensor=drift_sensor):
        """Evaluate, and launch what is asked for unless its run key was seen: what the daemon does."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(sensor.name),
            resources={"telemetry": self.telemetry},
            repository_def=defs.get_repository_def(),
            sensor_name=sensor.name,
        ) as context:
            done = sensor.evaluate_tick(context)
        self.cursors[sensor.name] = done.cursor
        seen = {request.run_key for request in self.asked}
        new = [request for request in done.run_requests if request.run_key not in seen]
        self.asked += new
        return done, new

    def run(self, status: Status, **tags: str) -> None:
        origin = RemoteJobOrigin(ORIGIN, "retrain")
        self.instance.add_run(
            dg.DagsterRun(
                job_name="retrain", run_id=str(uuid.uuid4()), status=status, tags=tags, remote_job_origin=origin
            )
        )


@pytest.fixture
def loop(instance, tmp_path) -> Loop:
    return Loop(instance, LocalTelemetry(folder=str(tmp_path / "telemetry")))


@pytest.fixture
def drifting(loop) -> Loop:
    """A version that is live, and two days that drift, with outcomes; the sensor has read none of them."""
    loop.live()
    loop.tick()
    for ago in (3, 2):
        loop.drift(day(ago))
        loop.outcomes(day(ago))
    return loop


def test_a_drift_that_persists_asks_once_with_the_reason_in_words_and_as_data(drifting):
    _, (request,) = drifting.tick()
    assert request.tags[WHY].startswith("drift_sensor: 2 of the last 2 days violate, the newest among them; 1,200")
    evidence = json.loads(request.tags[EVIDENCE])
    assert evidence["violating_windows"] == [day(3), day(2)]
    assert evidence["violating_features"] == ["bill_amount_1", "credit_limit"]
    assert request.tags["credit_default/tables"] == "model"
    done, new = drifting.tick()
    assert new == []
    assert done.skip_message == "Nothing was measured since the last look."


def test_history_from_before_the_first_look_is_not_acted_upon(loop):
    loop.live()
    for ago in (5, 4, 3):
        loop.drift(day(ago))
        loop.outcomes(day(ago))
    done, new = loop.tick()
    assert (new, done.skip_message) == ([], "The first look: what is measured from now on counts.")
    # It is known all the same.
    loop.drift(day(2))
    assert len(loop.tick()[1]) == 1


def test_a_single_noisy_day_asks_for_nothing(loop):
    loop.live()
    loop.tick()
    for ago in (6, 5, 4, 3):
        loop.drift(day(ago), violation=False)
    loop.drift(day(2))
    done, new = loop.tick()
    assert new == []
    assert "1 of the last 5 days violates; 2 of 5 are needed" in done.skip_message


def test_days_that_another_version_scored_do_not_count(drifting):
    drifting.live("2")
    done, new = drifting.tick()
    assert new == []
    assert done.skip_message == "No day was measured since the live version is live."


def test_labelled_rows_that_come_later_are_waited_for(loop):
    loop.live()
    loop.tick()
    for ago in (3, 2):
        loop.drift(day(ago))
    done, new = loop.tick()
    assert new == []
    assert "0 rows since" in done.skip_message
    loop.outcomes(day(3), 700)
    assert loop.tick()[1] == []
    loop.outcomes(day(2), 700)
    _, (request,) = loop.tick()
    assert json.loads(request.tags[EVIDENCE])["labelled_rows_since"] == 1_400


def test_a_lost_cursor_a_second_tick_and_a_restart_ask_for_nothing_twice(drifting):
    before = dict(drifting.cursors)
    _, (first,) = drifting.tick()
    drifting.cursors = before  # the daemon died before it kept the cursor
    done, new = drifting.tick()
    assert new == []
    assert [request.run_key for request in done.run_requests] == [first.run_key]
    drifting.cursors = {"drift_sensor": "nonsense"}
    assert drifting.tick()[1] == []
    assert drifting.tick()[1] == []


@pytest.mark.parametrize("status", [Status.QUEUED, Status.STARTED, Status.CANCELING])
def test_one_retraining_at_a_time(drifting, status):
    drifting.run(status)
    done, new = drifting.tick()
    assert (new, done.skip_message) == ([], "A retraining is under way.")


def test_one_that_was_killed_and_is_tried_again_is_under_way(drifting):
    drifting.run(Status.FAILURE, **{"dagster/will_retry": "true"})
    assert drifting.tick()[0].skip_message == "A retraining is under way."


def test_one_that_was_tried_again_or_came_to_nothing_is_not(drifting):
    drifting.run(Status.FAILURE, **{"dagster/will_retry": "true", "dagster/auto_retry_run_id": "another"})
    drifting.run(Status.FAILURE)
    drifting.run(Status.CANCELED)
    assert len(drifting.tick()[1]) == 1


def test_after_a_retraining_there_is_a_cool_down(drifting):
    drifting.run(Status.SUCCESS)
    done, new = drifting.tick()
    assert new == []
    assert "the last retraining was asked for at" in done.skip_message


def test_what_was_measured_in_one_go_is_read_in_order(loop):
    loop.live()
    loop.tick()
    for ago in (9, 8, 7, 6, 5):
        loop.drift(day(ago))
        loop.outcomes(day(ago), 600)
    _, (request,) = loop.tick()
    # The second day is where the rule first says yes; those after it are read at the next tick.
    assert json.loads(request.tags[EVIDENCE])["windows"] == [day(9), day(8)]
    loop.run(Status.STARTED)
    assert loop.tick()[0].skip_message == "A retraining is under way."


def test_a_model_that_does_clearly_worse_than_it_promised_is_retrained(loop):
    loop.live()
    loop.tick(performance_sensor)
    for ago, auc in ((6, 0.77), (5, 0.76), (4, 0.66), (3, 0.64)):
        loop.performance(day(ago), auc)
        loop.outcomes(day(ago))
    _, (request,) = loop.tick(performance_sensor)
    assert json.loads(request.tags[EVIDENCE])["violating_features"] == ["roc_auc"]


def test_so_is_one_whose_probabilities_are_off(loop):
    loop.live()
    loop.tick(performance_sensor)
    for ago in (3, 2):
        loop.performance(day(ago), 0.78, mean_pd=0.30)
        loop.outcomes(day(ago))
    _, (request,) = loop.tick(performance_sensor)
    assert json.loads(request.tags[EVIDENCE])["violating_features"] == ["calibration"]


def test_one_that_keeps_its_promise_is_not(loop):
    loop.live()
    loop.tick(performance_sensor)
    for ago in range(10, 2, -1):
        loop.performance(day(ago), 0.76)
        loop.outcomes(day(ago))
    assert loop.tick(performance_sensor)[1] == []


def test_an_old_model_is_retrained_once_a_day(loop, monkeypatch):
    loop.made("trained_model")
    loop.live()
    assert loop.tick(freshness_sensor)[1] == []
    later = datetime.now(UTC) + timedelta(days=45, hours=1)
    monkeypatch.setattr(retraining, "datetime", clock(later))
    _, (request,) = loop.tick(freshness_sensor)
    assert request.tags[WHY] == "freshness_sensor: the model is 45 days old, 45 are allowed"
    assert loop.tick(freshness_sensor)[1] == []


def test_a_yesterday_that_is_missing_fails_the_tick_and_is_told(loop, monkeypatch):
    loop.made("trained_model")
    loop.live()
    loop.made("batch_predictions", day(3))
    today = datetime.now(UTC).replace(hour=11)
    monkeypatch.setattr(retraining, "datetime", clock(today))
    # By that clock the model may be from the future: it is afternoon when this test runs.
    assert loop.tick(freshness_sensor)[0].skip_message.endswith("days old. Yesterday is there.")
    monkeypatch.setattr(retraining, "datetime", clock(today.replace(hour=12)))
    with pytest.raises(NotThere, match=rf"batch_predictions and drift_metrics of {day(1)} are missing; look whether"):
        loop.tick(freshness_sensor)
    (told,) = (Path(loop.telemetry.folder) / "exceptions.jsonl").read_text().splitlines()
    assert json.loads(told)["outerMessage"] == f"batch_predictions and drift_metrics of {day(1)} are missing"
    loop.made("batch_predictions", day(1))
    loop.drift(day(1), violation=False)
    assert loop.tick(freshness_sensor)[1] == []


def test_a_host_that_never_trained_goes_by_what_the_deployment_tells_of_the_live_version(loop, monkeypatch):
    now = datetime.now(UTC).replace(hour=11)
    monkeypatch.setattr(retraining, "datetime", clock(now))
    for ago, asks in ((44, 0), (46, 1)):
        trained_at = dg.MetadataValue.timestamp(now - timedelta(days=ago))
        loop.made("batch_deployment", live_version="7", roc_auc=0.78, trained_at=trained_at)
        new = loop.tick(freshness_sensor)[1]
        assert len(new) == asks
    assert new[0].tags[WHY] == "freshness_sensor: the model is 46 days old, 45 are allowed"
    loop.tick(performance_sensor)
    for ago in (3, 2):
        loop.made("model_performance", day(ago), model_version="7", n_joined=500, bad_rate=0.22, roc_auc=0.64)
        loop.outcomes(day(ago))
    _, (request,) = loop.tick(performance_sensor)
    assert json.loads(request.tags[EVIDENCE])["violating_features"] == ["roc_auc"]


def test_a_training_whose_model_did_not_go_live_is_not_asked_for_again(loop):
    trained_at = dg.MetadataValue.timestamp(datetime.now(UTC) - timedelta(days=60))
    loop.made("batch_deployment", live_version="1", trained_at=trained_at)
    loop.made("trained_model")
    assert loop.tick(freshness_sensor)[0].skip_message.startswith("The model is 0 days old.")


def test_where_neither_age_nor_promise_is_on_record_nothing_is_asked_for(loop):
    loop.made("batch_deployment", live_version="7")
    done, new = loop.tick(freshness_sensor)
    assert (new, done.skip_message) == ([], "It is not on record when version 7 was trained. Yesterday is there.")
    loop.tick(performance_sensor)
    loop.performance(day(2), 0.5)
    done, new = loop.tick(performance_sensor)
    assert (new, done.skip_message) == ([], "It is not on record what version 7 promised.")


def exceptions(loop: Loop) -> list[dict]:
    file = Path(loop.telemetry.folder) / "exceptions.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def production(monkeypatch) -> None:
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "production")


def test_production_says_that_a_retraining_is_due_tells_telemetry_once_and_asks_for_no_run(drifting, production):
    before = dict(drifting.cursors)
    done, new = drifting.tick()
    assert (new, done.run_requests) == ([], [])
    assert "2 of the last 2 days violate, the newest among them" in done.skip_message
    assert "A retraining is due, and production trains nothing: train in staging" in done.skip_message
    assert "`credit-default deploy model promote`" in done.skip_message
    assert drifting.tick()[0].skip_message == "Nothing was measured since the last look."
    drifting.cursors = before  # the daemon died before it kept the cursor
    drifting.tick()
    (told,) = exceptions(drifting)
    assert (told["type"], told["customDimensions"]["sensor"]) == ("RetrainingDue", "drift_sensor")
    assert told["outerMessage"].startswith("drift_sensor: 2 of the last 2 days violate, the newest among them;")
    # Another day that drifts is another event.
    drifting.drift(day(1))
    drifting.tick()
    assert len(exceptions(drifting)) == 2


def test_in_production_an_old_model_is_told_once_a_day_and_does_not_hide_a_missing_yesterday(
    loop, production, monkeypatch
):
    noon = datetime.now(UTC).replace(hour=12)
    trained_at = dg.MetadataValue.timestamp(noon - timedelta(days=45, hours=1))
    loop.made("batch_deployment", live_version="1", trained_at=trained_at)
    monkeypatch.setattr(retraining, "datetime", clock(noon))
    for _ in range(2):
        done, new = loop.tick(freshness_sensor)
        assert (new, done.run_requests) == ([], [])
        assert done.skip_message.startswith("freshness_sensor: the model is 45 days old, 45 are allowed. A retrain")
    loop.made("batch_predictions", day(3))
    with pytest.raises(NotThere, match=f"batch_predictions and drift_metrics of {day(1)} are missing"):
        loop.tick(freshness_sensor)
    assert [told["type"] for told in exceptions(loop)] == ["RetrainingDue", "MissingDay"]
    monkeypatch.setattr(retraining, "datetime", clock(noon.replace(hour=1) + timedelta(days=1)))
    loop.tick(freshness_sensor)
    assert [told["type"] for told in exceptions(loop)] == ["RetrainingDue", "MissingDay", "RetrainingDue"]


def clock(moment: datetime) -> type[datetime]:
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return moment

    return Clock


@pytest.mark.parametrize("sensor", [drift_sensor, performance_sensor, freshness_sensor])
def test_without_a_live_version_there_is_nothing_to_retrain(loop, sensor):
    loop.tick(sensor) if sensor is not freshness_sensor else None
    loop.drift(day(2))
    loop.performance(day(2), 0.5)
    assert loop.tick(sensor)[0].skip_message == "No version is live."
