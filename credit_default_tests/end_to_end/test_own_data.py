"""A user's own files, and nothing of ours: from labelled clients to a live model, scored days and telemetry."""

from __future__ import annotations

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default.core.schema import FEATURE_NAMES, TARGET
from credit_default_tests.end_to_end.world import ONE_TRIAL, World, ago, new_clients
from credit_default_tests.published_queries import FEATURE_DRIFT, OVERALL_DRIFT
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

DAY = ago(0)  # files of today are scored today
LABELLED, UNLABELLED = 6_000, 400


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> World:
    """A home in which the user's files were trained on, deployed and scored by the jobs."""
    world = World(tmp_path_factory.mktemp("own") / "home")
    labelled = new_clients(LABELLED, target=True)
    half = LABELLED // 2
    curated = world.landing / "curated"
    (curated / "own_1.csv").write_text(csv_text(labelled[:half], [TARGET, *FEATURE_NAMES, "client_id"]))
    pq.write_table(pa.Table.from_pylist(labelled[half:]), curated / "own_2.parquet")

    unlabelled = [{"ID": 70_000 + number, **row} for number, row in enumerate(new_clients(UNLABELLED, start=LABELLED))]
    columns = ["branch", *reversed(FEATURE_NAMES), "ID"]
    world.land(DAY, "my clients.csv", csv_text([{"branch": "north", **row} for row in unlabelled], columns))

    for arguments in (("retrain", None, None, "--config", ONE_TRIAL), ("score_batch", DAY)):
        done = world.run_job(*arguments)
        assert done.returncode == 0, done.stderr
    return world


def test_a_model_is_made_of_the_users_rows_and_of_no_others(own):
    curated = pq.read_table(own.lake / "curated_data" / "curated_data.parquet")
    assert set(curated["source_file"].to_pylist()) == {"own_1.csv", "own_2.parquet"}
    labels = {row["client_id"]: row[TARGET] == "True" for row in new_clients(LABELLED, target=True)}
    assert dict(zip(curated["client_id"].to_pylist(), map(bool, curated[TARGET].to_pylist()), strict=True)) == labels

    live = own.live()
    prepared = own.lake / "prepared" / live["prepared_data_version"]
    clients = [
        client
        for part in ("development", "calibration", "test")
        for client in pq.read_table(prepared / f"{part}.parquet")["client_id"].to_pylist()
    ]
    assert sorted(clients) == sorted(labels)
    assert live["metrics"]["test"]["roc_auc"] > 0.7
    reference = pq.read_table(live["folder"] / "reference.parquet")
    assert reference.num_rows < LABELLED


def test_an_unseen_file_is_scored_whatever_the_order_of_its_columns_and_the_spelling_of_its_numbers(own):
    predictions = own.predictions(DAY)
    assert predictions["client_id"].to_pylist() == [str(70_000 + number) for number in range(UNLABELLED)]
    assert len(set(predictions["probability_of_default"].to_pylist())) > UNLABELLED / 10
    metadata = own.made_days("inference_data")[DAY].metadata
    assert metadata["rejected"].value == 0
    assert metadata["extra_columns"].value == "branch"


def test_its_drift_is_measured_and_both_published_queries_return_its_rows(own):
    drift = own.drift(DAY)
    assert drift["n_rows"] == UNLABELLED
    (overall,) = own.query(OVERALL_DRIFT)
    assert overall["partition"] == DAY
    assert overall["share_drifted_features"] == drift["overall"]["share_drifted_features"]
    assert overall["dataset_drift"] == drift["overall"]["dataset_drift"]
    features = own.query(FEATURE_DRIFT)
    assert sorted(row["feature_name"] for row in features) == sorted(FEATURE_NAMES)
    stored = {feature["feature_name"]: feature["drift_score"] for feature in drift["features"]}
    assert {row["feature_name"]: row["drift_score"] for row in features} == stored


def test_one_file_is_scored_on_the_side_like_the_day_that_holds_it(own, tmp_path):
    file, out = own.landing / "inference/batch" / DAY / "my clients.csv", tmp_path / "scored.parquet"
    done = own.command("score", str(file), str(out))
    assert done.returncode == 0, done.stderr
    assert f"{UNLABELLED} of {UNLABELLED} rows scored" in done.stdout
    of_the_day = own.predictions(DAY)
    assert pq.read_table(out)["probability_of_default"].equals(of_the_day["probability_of_default"])

    done = own.command("score", str(file), str(tmp_path / "new folder" / "scored.CSV"))
    assert done.returncode == 0, done.stderr
    with (tmp_path / "new folder" / "scored.CSV").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == of_the_day.column_names
    for name, kind in (("probability_of_default", float), ("client_id", str)):
        assert [kind(row[name]) for row in rows] == of_the_day[name].to_pylist()
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["scored.CSV"]
