"""The whole demo on the real data, as `make demo` plays it: what it shows, stores, records and sends."""

from __future__ import annotations

import json
import re

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default_tests.end_to_end.world import ago, days_from
from credit_default_tests.published_queries import FEATURE_DRIFT, OVERALL_DRIFT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ASSETS = {
    *("curated_data", "prepared_data", "data_quality_report", "trained_model", "registered_model", "batch_deployment"),
    *("inference_data", "batch_predictions", "drift_metrics", "outcomes", "model_performance"),
}
SHIFT = 18  # position of day 19, the first with amounts in NT$
RETRAINED = 27  # position of day 28, the first that arrives after the retraining
COLUMNS = {
    "prediction_id": pa.string(),
    "client_id": pa.string(),
    "as_of": pa.date32(),
    "probability_of_default": pa.float64(),
    "predicted_default": pa.bool_(),
    "model_name": pa.string(),
    "model_version": pa.string(),
    "model_sha256": pa.string(),
    "input_data_version": pa.string(),
    "run_id": pa.string(),
    "scored_at": pa.timestamp("us", tz="UTC"),
}
TABLES = ("predictions", "drift", "inference_data", "models", "curated_data", "prepared", "outcomes", "performance")
#: What the queries show beside the figures of the stored drift.
ABOUT = {"timestamp", "run_id"}


@pytest.fixture(scope="module")
def days(demo_home) -> list[str]:
    """The days of the sample; a demo played around midnight ends on another day than today's."""
    made = sorted(demo_home.made_days("inference_data"))
    assert made == days_from(made[0], 30)
    assert made[-1] in {ago(1), ago(2)}
    return made


def _told(value: object) -> object:
    return json.loads(value) if isinstance(value, str) and value.startswith("[") else value


def data_version(event: dg.AssetMaterialization) -> str:
    return event.tags["dagster/data_version"]


def test_the_model_is_as_good_as_promised_and_the_demo_shows_its_figures(demo_home):
    manifest = demo_home.live()
    test = manifest["metrics"]["test"]
    assert manifest["version"] == "2"
    assert test["roc_auc"] >= 0.765
    printed = (demo_home.home / "printed.txt").read_text()
    for title, name in (("ROC AUC", "roc_auc"), ("Gini", "gini"), ("KS", "ks"), ("Brier score", "brier")):
        assert re.search(rf"{title}\s+{test[name]:.4f}\b", printed), title


def test_every_asset_was_made_by_runs_of_the_jobs(demo_home):
    assert {key.to_user_string() for key in demo_home.instance.all_asset_keys()} == ASSETS
    runs = demo_home.runs()
    assert [run.job_name for run in reversed(runs)] == [
        *("train_model", "deploy_model", "score_batch", "judge_predictions"),
        # Outcomes of the shift, what the sensor asked for, the days after that, and back and forth.
        *("judge_predictions", "retrain", "score_batch", "rollback_model", "deploy_model"),
    ]
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}


def test_thirty_days_from_two_runs_have_each_their_own_rows_versions_and_drift(demo_home, days):
    runs = {run.run_id for run in demo_home.runs("score_batch")}
    assert len(runs) == 2
    for asset in ("inference_data", "batch_predictions", "drift_metrics"):
        assert [event.partition for event in demo_home.made(asset)] == days
        assert len({data_version(event) for event in demo_home.made_days(asset).values()}) == 30, asset

    rows = {
        day: event.metadata["dagster/row_count"].value for day, event in demo_home.made_days("inference_data").items()
    }
    assert sum(rows.values()) == 15_000
    landed = {
        day: (demo_home.landing / "inference/batch" / day / "clients.csv").read_text().count("\n") - 1 for day in days
    }
    assert rows == landed
    assert rows == {day: demo_home.predictions(day).num_rows for day in days}
    assert rows == {day: demo_home.drift(day)["n_rows"] for day in days}

    figures = {tuple(feature["drift_score"] for feature in demo_home.drift(day)["features"]) for day in days}
    assert len(figures) == 30
    shown = {day: event.metadata["psi"].value for day, event in demo_home.made_days("drift_metrics").items()}
    assert shown == {day: demo_home.drift(day)["overall"]["psi"] for day in days}
    assert {row["run_id"] for row in demo_home.query(OVERALL_DRIFT)} == runs


def test_the_drift_history_shows_the_shift_on_its_day_and_is_calm_once_a_model_knows_it(demo_home, days):
    events = demo_home.made_days("drift_metrics")
    violations = [events[day].metadata["violation"].value for day in days]
    assert violations == [False] * SHIFT + [True] * (RETRAINED - SHIFT) + [False] * (30 - RETRAINED)
    printed = (demo_home.home / "printed.txt").read_text()
    shown = re.findall(r"^\s*(20\d\d-\d\d-\d\d) .*\b(yes|no)\b", printed, re.MULTILINE)
    assert shown == [(day, "yes" if violated else "no") for day, violated in zip(days, violations, strict=True)]


def test_predictions_are_one_file_a_day_with_the_published_columns_and_a_row_for_each_client(demo_home, days):
    models, inputs = demo_home.versions(), demo_home.made_days("inference_data")
    assert sorted(path.name for path in (demo_home.lake / "predictions").iterdir()) == days
    identifiers: set[str] = set()
    for day in days:
        predictions = demo_home.predictions(day)
        assert dict(zip(predictions.column_names, predictions.schema.types, strict=True)) == COLUMNS
        clients = pq.read_table(demo_home.lake / "inference_data" / day / "inference_data.parquet")
        assert predictions["client_id"].to_pylist() == clients["client_id"].to_pylist()
        identifiers |= set(predictions["prediction_id"].to_pylist())
        said = {name: set(predictions[name].to_pylist()) for name in COLUMNS}
        assert {str(as_of) for as_of in said["as_of"]} == {day}
        version = "1" if days.index(day) < RETRAINED else "2"
        assert said["model_version"] == {version}
        assert said["model_sha256"] == {models[version]}
        assert said["model_name"] == {"credit-card-default"}
        assert said["input_data_version"] == {data_version(inputs[day])}
        assert all(0 <= probability <= 1 for probability in said["probability_of_default"])
    assert len(identifiers) == 15_000


def test_days_whose_outcomes_are_known_are_judged_by_them(demo_home, days):
    judged = demo_home.made_days("model_performance")
    assert sorted(judged) == days[:RETRAINED]
    aucs = [event.metadata["roc_auc"].value for event in judged.values()]
    assert len(set(aucs)) == RETRAINED
    assert all(0.65 < auc < 0.9 for auc in aucs)


def test_the_sensor_asked_for_the_retraining_once_its_drift_could_be_learnt_from(demo_home, days):
    (run,) = demo_home.runs("retrain")
    assert run.tags["credit_default/why"].startswith("drift_sensor: 5 of the last 5 days violate")
    evidence = json.loads(run.tags["credit_default/evidence"])
    assert (evidence["drift_since"], evidence["labelled_rows_since"]) == (days[SHIFT], 500 * (RETRAINED - SHIFT))
    printed = " ".join((demo_home.home / "printed.txt").read_text().split())
    assert f"0 rows since {days[SHIFT]} have an outcome, and 1,000 are needed." in printed
    assert "4,500 rows since" in printed


def test_the_challenger_was_promoted_on_its_merit_by_rows_that_neither_had_seen(demo_home):
    first, second = demo_home.made("registered_model")
    assert (first.metadata["verdict"].value, second.metadata["verdict"].value) == ("promote", "promote")
    assert second.metadata["compared_with_version"].value == "1"
    assert second.metadata["compared_rows"].value == 2_000
    assert second.metadata["auc_gain_low"].value > 0
    verdict = json.loads((demo_home.lake / "verdicts/2.json").read_text())
    assert verdict["figures"]["auc_gain"]["low"] == second.metadata["auc_gain_low"].value
    assert all(criterion["passed"] for criterion in verdict["criteria"])


def test_the_ledger_tells_who_went_live_when_and_why_and_each_entry_follows_from_the_one_before(demo_home):
    done = demo_home.command("models", "history", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    entries = [json.loads(line) for line in reversed(done.stdout.splitlines())]
    assert all(entry["trusted"] for entry in entries)
    told = [(entry["action"], entry["from_version"], entry["to_version"]) for entry in entries]
    assert told == [("promote", None, "1"), ("promote", "1", "2"), ("rollback", "2", "1"), ("promote", "1", "2")]
    assert entries[1]["reason"].startswith("drift_sensor: ")


def test_the_published_queries_return_the_stored_figures_of_every_day(demo_home, days):
    overall = demo_home.query(OVERALL_DRIFT)
    assert sorted(row["partition"] for row in overall) == days
    for row in overall:
        stored = demo_home.drift(row["partition"])["overall"]
        assert row.keys() - ABOUT == stored.keys()
        # A list is `dynamic`, which comes as JSON text.
        assert {name: _told(row[name]) for name in stored} == stored

    features = demo_home.query(FEATURE_DRIFT)
    assert len(features) == 30 * 23
    told = {(row["partition"], row["feature_name"]): row for row in features}
    stored = {(day, feature["feature_name"]): feature for day in days for feature in demo_home.drift(day)["features"]}
    assert told.keys() == stored.keys()
    for key, feature in stored.items():
        assert {name: told[key][name] for name in feature} == feature


def test_a_second_demo_on_top_changes_no_row(demo_home):
    before = demo_home.hashes(*TABLES)
    traces = (demo_home.home / "telemetry" / "traces.jsonl").read_bytes()
    runs = [run.run_id for run in demo_home.runs()]
    made = {asset: len(demo_home.made(asset)) for asset in ASSETS}

    done = demo_home.command("demo")

    assert done.returncode == 0, done.stdout + done.stderr
    assert demo_home.hashes(*TABLES) == before
    assert (demo_home.home / "telemetry" / "traces.jsonl").read_bytes() == traces
    assert [run.run_id for run in demo_home.runs()] == runs
    assert {asset: len(demo_home.made(asset)) for asset in ASSETS} == made
    first_days_table = (demo_home.home / "printed.txt").read_text().partition("\nDays")[2].partition("\nDone")[0]
    assert first_days_table in done.stdout
