"""The telemetry port, on every platform: each record once, whoever emits it, and found again by KQL."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from credit_default.errors import QueryError
from credit_default.telemetry.records import Failure, Measurement, TraceRecord, drift_measurements, drift_records
from credit_default_tests.platforms import platforms, telemetry_of
from credit_default_tests.published_queries import FEATURE_DRIFT, OVERALL_DRIFT

pytestmark = pytest.mark.slow

DRIFT = {
    "partition": "2026-01-31",
    "model_name": "credit-card-default",
    "model_version": "3",
    "violation": True,
    "overall": {
        "n_features": 2,
        "n_drifted_features": 1,
        "share_drifted_features": 0.5,
        "dataset_drift": True,
        "psi": 0.3,
    },
    "features": [
        {"feature_name": "age", "drift_score": 0.25, "drift_detected": True, "feature_type": "num", "csi": None},
        {"feature_name": "sex", "drift_score": 0.0, "drift_detected": False, "feature_type": "cat", "csi": 0.1},
    ],
}


@pytest.fixture(params=platforms())
def make(request, tmp_path):
    """Open the telemetry of a platform, as a new process does."""
    if request.param == "azure":
        request.getfixturevalue("azure")
    return lambda: telemetry_of(request.param, tmp_path / "telemetry")


@pytest.fixture
def telemetry(make):
    return make()


@pytest.fixture
def mark() -> str:
    """Tells the records of a test: a real workspace keeps those of others."""
    return uuid.uuid4().hex


def trace(key: str, mark: str) -> TraceRecord:
    return TraceRecord(f"message {key}", 1, {"event_key": f"{mark}-{key}", "mark": mark})


def rows(telemetry, query: str, expected: int) -> list:
    """Ask until there are as many rows as are expected: Azure takes minutes to show what it was sent."""
    deadline = time.monotonic() + (600 if "workspace" in platforms() else 5)
    while len(found := telemetry.query(query)) < expected and time.monotonic() < deadline:
        time.sleep(1)
    return found


def messages(telemetry, mark: str, expected: int) -> list[str]:
    query = f"traces | where tostring(customDimensions.mark) == '{mark}' | project message | order by message asc"
    return [row["message"] for row in rows(telemetry, query, expected)]


def test_records_are_kept_and_counted_once(telemetry, mark):
    assert telemetry.emit([trace("a", mark), trace("b", mark)]) == 2
    assert telemetry.emit([trace("b", mark), trace("c", mark)]) == 1
    assert messages(telemetry, mark, 3) == ["message a", "message b", "message c"]


def test_every_record_says_who_told_it_and_counts_as_one(telemetry, mark):
    about = {"mark": mark}
    telemetry.emit(
        [trace("a", mark), Measurement("credit_default/psi", 0.25, about), Failure("JobFailed", "Job a failed", about)]
    )
    common = {"itemCount": 1, "operation_Id": "0" * 32, "cloud_RoleName": "credit-default"}
    ours = f"where tostring(customDimensions.mark) == '{mark}'"
    for table, more in (("traces", {}), ("customMetrics", {"valueCount": 1, "valueSum": 0.25}), ("exceptions", {})):
        query = f"{table} | {ours} | project {', '.join([*common, *more])}"
        assert rows(telemetry, query, 1) == [{**common, **more}], table
    spans = f"traces | {ours} | project none = timestamp - timestamp, wait = -1d - 90s"
    assert rows(telemetry, spans, 1) == [{"none": "00:00:00", "wait": "-1.00:01:30"}]


def test_a_run_that_is_repeated_in_another_process_emits_nothing_twice(make, mark):
    assert make().emit([trace("a", mark)]) == 1
    assert make().emit([trace("a", mark), trace("b", mark)]) == 1
    assert messages(make(), mark, 2) == ["message a", "message b"]


def test_nothing_is_made_of_nothing(telemetry):
    assert telemetry.emit([]) == 0


def test_a_metric_has_its_name_its_value_and_what_it_is_about(telemetry, mark):
    assert telemetry.emit([Measurement(f"credit_default/{mark}", 0.25, {"feature": "age", "partition": "d"})]) == 1
    query = f"customMetrics | where name == 'credit_default/{mark}' | project value, tostring(customDimensions.feature)"
    (row,) = rows(telemetry, query, 1)
    assert list(row.values()) == [0.25, "age"]


def test_a_failure_has_its_kind_its_words_and_its_run(telemetry, mark):
    failure = Failure("ContractError", "clients.csv, line 3: age is missing", {"run_id": mark, "job": "score_batch"})
    assert telemetry.emit([failure]) == 1
    assert telemetry.emit([failure]) == 0
    query = (
        f"exceptions | where tostring(customDimensions.run_id) == '{mark}' | project type, outerMessage, severityLevel"
    )
    (row,) = rows(telemetry, query, 1)
    assert list(row.values()) == ["ContractError", "clients.csv, line 3: age is missing", 3]


def test_both_published_queries_return_the_drift_that_was_emitted(telemetry, mark):
    telemetry.emit([*drift_records(DRIFT, run_id=mark), *drift_measurements(DRIFT, run_id=mark)])
    (overall,) = [row for row in rows(telemetry, OVERALL_DRIFT, 1) if row["run_id"] == mark]
    assert (overall["n_features"], overall["n_drifted_features"]) == (2, 1)
    assert (overall["share_drifted_features"], overall["psi"]) == (0.5, 0.3)
    assert (overall["dataset_drift"], overall["violation"]) == (True, True)
    assert (overall["partition"], overall["model_version"]) == ("2026-01-31", "3")
    assert isinstance(overall["timestamp"], datetime)
    features = {row["feature_name"]: row for row in rows(telemetry, FEATURE_DRIFT, 2) if row["run_id"] == mark}
    assert features["age"]["drift_score"] == 0.25
    assert features["sex"]["drift_detected"] is False
    assert (features["age"]["csi"], features["sex"]["csi"]) == (None, 0.1)


def test_a_query_is_held_to_its_time(telemetry, mark):
    telemetry.emit([trace("a", mark)])
    assert messages(telemetry, mark, 1) == ["message a"]
    now = datetime.now(UTC)
    query = f"traces | where tostring(customDimensions.mark) == '{mark}'"
    assert len(telemetry.query(query, since=now - timedelta(hours=1), until=now + timedelta(hours=1))) == 1
    assert telemetry.query(query, since=now - timedelta(days=3), until=now - timedelta(days=2)) == []


@pytest.mark.parametrize("query", ["traces | where", "nothing_like_it | take 1"])
def test_a_query_that_cannot_be_run_is_refused(telemetry, query):
    with pytest.raises(QueryError):
        telemetry.query(query)
