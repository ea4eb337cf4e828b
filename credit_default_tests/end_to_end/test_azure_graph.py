"""The whole graph in `development`, on the emulator and Azurite: the same rows and figures as on this machine."""

from __future__ import annotations

import json
import re

import dagster as dg
import pytest

from credit_default_tests.end_to_end.azure_world import AzureWorld
from credit_default_tests.end_to_end.world import ago, new_clients
from credit_default_tests.published_queries import FEATURE_DRIFT, OVERALL_DRIFT
from credit_default_tests.same_results import in_figures, in_lakes
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

TRIALS = 2  # as in the small demo
ASSETS = {
    *("curated_data", "prepared_data", "data_quality_report", "trained_model", "registered_model", "batch_deployment"),
    *("inference_data", "batch_predictions", "drift_metrics", "outcomes", "model_performance"),
}
#: Each is one job, or one invocation, however many days it is for.
STEPS = (
    *("curated-data", "prepared-data", "data-quality-report", "train", "smoke-test"),
    *("inference-data", "score", "drift", "outcomes", "performance"),
)


@pytest.fixture(scope="module")
def azure(small_home, emulator, tmp_path_factory) -> AzureWorld:
    """What the small demo did on this machine, done in `development` with the same files."""
    world = AzureWorld(tmp_path_factory.mktemp("azure") / "home", emulator, emulator.workspace())
    world.land_all(small_home.landing)
    days = sorted(small_home.made_days("inference_data"))
    judged = sorted(small_home.made_days("outcomes"))
    trials = json.dumps({"ops": {"trained_model": {"config": {"trials": TRIALS}}}})
    for job, first, last, more in (
        ("train_model", None, None, ("--config", trials)),
        ("deploy_model", None, None, ()),
        ("score_batch", days[0], days[-1], ()),
        ("judge_predictions", judged[0], judged[-1], ()),
    ):
        done = world.run_job(job, first, last, *more)
        assert done.returncode == 0, done.stderr[-6000:]
    world.pull()
    return world


def test_every_asset_was_made_there_by_the_same_jobs(azure, small_home):
    assert {key.to_user_string() for key in azure.instance.all_asset_keys()} == ASSETS
    assert {run.status for run in azure.runs()} == {dg.DagsterRunStatus.SUCCESS}
    assert [run.job_name for run in azure.runs()] == [run.job_name for run in small_home.runs()]


def test_rows_taken_in_predictions_drift_performance_and_model_are_the_same(azure, small_home):
    assert len(small_home.made_days("batch_predictions")) > 1
    assert len(small_home.made_days("model_performance")) > 1
    assert list(in_lakes(small_home.lake, azure.lake)) == []


def test_curated_and_prepared_data_have_the_same_content(azure, small_home):
    for asset in ("curated_data", "prepared_data"):
        (here,), (there,) = small_home.made(asset), azure.made(asset)
        assert here.tags["dagster/data_version"] == there.tags["dagster/data_version"]


def test_the_model_is_the_same_though_its_trials_were_jobs_of_their_own(azure, small_home):
    here, there = small_home.live(), azure.live()
    assert here["content_hash"] == there["content_hash"]
    assert list(in_figures(here["metrics"], there["metrics"])) == []
    assert (here["best_trial"], here["parameters"]) == (there["best_trial"], there["parameters"])
    (sweep,) = azure.jobs("train")
    assert sweep["type"].lower() == "sweep"
    trials = [job for job in azure.emulator.jobs(azure.workspace.name) if job["parent"] == sweep["name"]]
    assert [job["status"] for job in trials] == ["Completed"] * TRIALS


def test_one_intent_was_one_job(azure):
    names = [job["name"] for job in azure.jobs()]
    assert len(names) == len(set(names))
    assert sorted(name.rsplit("-", 3)[0] for name in names) == sorted(STEPS)
    assert {job["status"] for job in azure.jobs()} == {"Completed"}


def test_an_assets_page_leads_to_the_job_on_azure(azure):
    for asset in ASSETS - {"registered_model", "batch_deployment"}:
        for event in azure.made(asset):
            metadata = event.metadata
            url = metadata["studio"].value
            assert url.startswith("https://ml.azure.com/runs/")
            assert azure.workspace.name in url
            assert {"job", "compute", "queue_seconds", "run_seconds"} <= metadata.keys()


def test_data_assets_are_registered_once_for_each_content(azure):
    (curated,) = azure.made("curated_data")
    assert curated.metadata["data_asset"].value
    days = azure.made_days("inference_data")
    assert len({event.metadata["data_asset"].value for event in days.values()}) == len(days)


def test_nothing_was_asked_of_azure_that_is_not_known(azure):
    assert azure.emulator.unknown() == []
    assert azure.emulator.refused_hosts() == []


def test_both_published_queries_return_from_azure_monitor_what_the_run_emitted(azure):
    days = azure.made_days("drift_metrics")
    overall = {row["partition"]: row for row in azure.query(OVERALL_DRIFT)}
    assert set(overall) == set(days)
    features = azure.query(FEATURE_DRIFT)
    for day in days:
        stored = azure.drift(day)
        assert overall[day]["share_drifted_features"] == stored["overall"]["share_drifted_features"]
        assert overall[day]["violation"] == stored["overall"]["violation"]
        told = {row["feature_name"]: row["drift_score"] for row in features if row["partition"] == day}
        assert told == {feature["feature_name"]: feature["drift_score"] for feature in stored["features"]}


def test_a_prediction_is_traced_to_its_source_and_what_was_altered_there_is_found(azure):
    day = max(azure.made_days("batch_predictions"))
    prediction = azure.predictions(day)["prediction_id"][7].as_py()
    clean = azure.command("trace", prediction, "--json")
    document = json.loads(clean.stdout)
    assert clean.returncode == 0, document
    assert {finding["verdict"] for finding in document["findings"]} == {"ok"}, document

    blobs = ("landing/inference/batch/{}/clients.csv", "predictions/{}/predictions.parquet")
    landed, predictions = (name.format(day) for name in blobs)
    kept = {name: azure.container.download_blob(name).readall() for name in (landed, predictions)}
    azure.container.upload_blob(landed, kept[landed] + b"\n", overwrite=True)
    azure.container.upload_blob(predictions, b"", overwrite=True)
    altered = azure.command("trace", prediction, "--json")
    azure.container.upload_blob(predictions, kept[predictions], overwrite=True)
    assert (altered.returncode, json.loads(altered.stdout)["conclusion"]) == (1, "Altered: prediction (file).")
    altered = azure.command("trace", prediction, "--json")
    azure.container.upload_blob(landed, kept[landed], overwrite=True)
    assert (altered.returncode, json.loads(altered.stdout)["conclusion"]) == (1, "Altered: landing file (file).")


#: In a client's id, in a refused field, and as an amount: nobody else may ever say them.
PERSONAL = ("SENTINEL-7c41e9", "SENTINEL-refused", "8675309.25")


def test_no_secret_and_no_value_of_a_row_is_told_anywhere(azure):
    day, failing_day = ago(50), ago(51)
    rows = new_clients(30)
    rows[0] |= {"client_id": PERSONAL[0], "bill_amount_1": PERSONAL[2]}
    rows[1] |= {"sex": PERSONAL[1]}
    azure.land(day, "clients.csv", csv_text(rows))
    azure.land(failing_day, "clients.csv", csv_text(rows))
    done = azure.run_job("score_batch", day)
    assert done.returncode == 0, done.stderr[-6000:]
    # A failing run has the most to say; and it says it by the other way to send telemetry.
    azure.environment["CREDIT_DEFAULT_TELEMETRY"] = "opentelemetry"
    azure.environment["CREDIT_DEFAULT_RETRY_DELAY"] = "0.1"
    azure.emulator.job_fault("score-", kill=2)  # the day is given up then
    failed = azure.run_job("score_batch", failing_day)
    assert failed.returncode == 1

    printed = done.stdout + done.stderr + failed.stdout + failed.stderr
    told = {**azure.told(), **everything_told_on_azure(azure), "run_job": printed}
    assert any(day in text for text in told.values())
    assert any("user_logs" in name for name in told)
    assert "OverallDriftMetrics" in told["telemetry"]
    secret = azure.emulator.environment["AZURE_CLIENT_SECRET"]
    for name, text in told.items():
        for value in (*PERSONAL, secret):
            assert value not in text, f"{value} in {name}"
        # What every bearer token and every shared access signature begins with; the journal masks it by itself.
        assert not re.search(r"eyJ[A-Za-z0-9_-]{20}|[?&]sig=(?!%2A|\*)|AccountKey=", text), name
    azure.pull()
    assert azure.predictions(day).num_rows == 29  # the sentinels did arrive


def everything_told_on_azure(azure: AzureWorld) -> dict[str, str]:
    """Requests of jobs, the lake but for its tables, and the logs that Azure ML keeps."""
    emulator = azure.emulator
    told = {
        # What other tests send, to workspaces of theirs, may be sealed rows, which begin as a token does.
        "telemetry": json.dumps(
            [one for one in emulator.ingested() if one["iKey"] == azure.workspace.instrumentation_key]
        ),
        "jobs": json.dumps(emulator.jobs(azure.workspace.name)),
        "addresses": "\n".join(f"{one['host']}{one['path']}?{one.get('query', '')}" for one in emulator.journal()),
    }
    for name in azure.names():
        if name.startswith(("dagster/", "jobs/")) and "/output/" not in name:
            told[name] = azure.container.download_blob(name).readall().decode("utf-8", "replace")
    artifacts = azure.container_named(azure.workspace.artifacts)
    for name in artifacts.list_blob_names():
        if "logs" in name:
            told[name] = artifacts.download_blob(name).readall().decode("utf-8", "replace")
    return told
