"""Drift results as trace records."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from credit_default.telemetry import records
from credit_default.telemetry.records import TraceRecord, drift_records


def drift(**changes):
    return {
        "partition": "2026-01-01",
        "model_name": "credit-card-default",
        "model_version": "3",
        "overall": {"n_features": 2, "dataset_drift": False, "violation": True},
        "features": [
            {"feature_name": "age", "drift_score": 0.5, "psi": 0.1},
            {"feature_name": "sex", "drift_score": float("nan"), "psi": float("inf")},
        ],
        **changes,
    }


def test_messages_keep_the_published_shape_with_our_keys_inside_data():
    overall, features = (json.loads(record.message) for record in drift_records(drift(), run_id="r1"))
    ours = {"partition": "2026-01-01", "model_version": "3", "run_id": "r1"}
    assert overall == {
        "model_name": "credit-card-default",
        "type": "OverallDriftMetrics",
        "data": {"n_features": 2, "dataset_drift": False, "violation": True, **ours},
    }
    assert features == {
        "model_name": "credit-card-default",
        "type": "FeatureDriftMetrics",
        "data": [
            {"feature_name": "age", "drift_score": 0.5, "psi": 0.1, **ours},
            {"feature_name": "sex", "drift_score": None, "psi": None, **ours},
        ],
    }


def test_a_second_run_over_the_same_result_makes_the_same_keys():
    first, second = drift_records(drift(), run_id="r1"), drift_records(drift(), run_id="r2")
    assert [record.key for record in first] == [record.key for record in second]
    assert first[0].message != second[0].message


@pytest.mark.parametrize(
    "change", [{"partition": "2026-01-02"}, {"model_version": "4"}, {"overall": {"violation": False}}]
)
def test_another_result_makes_other_keys(change):
    keys = {record.key for record in drift_records(drift())}
    assert len(keys) == 2
    assert keys.isdisjoint(record.key for record in drift_records(drift(**change)))


def test_a_message_is_split_before_application_insights_would_cut_it():
    features = [{"feature_name": f"feature_{number}", "note": "x" * 900} for number in range(100)]
    _, *parts = drift_records(drift(features=features))
    assert len(parts) > 1
    assert len({record.key for record in parts}) == len(parts)
    assert max(len(record.message) for record in parts) <= 32_768
    told = [each["feature_name"] for record in parts for each in json.loads(record.message)["data"]]
    assert told == [feature["feature_name"] for feature in features]


def test_a_record_without_a_key_is_known_by_its_message():
    assert TraceRecord("a").key == TraceRecord("a", 3).key != TraceRecord("b").key


def test_building_records_imports_nothing_heavy():
    heavy = {"pyarrow", "pandas", "numpy", "dagster"}
    code = f"import sys, {records.__name__}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
