import base64
import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest

from credit_default.core import tables
from credit_default.core.model import model_directory
from credit_default.core.schema import PROBABILITY, PROTECTED
from credit_default.steps import train
from credit_default_tests import trained


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return trained.write_prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def untracked(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "CREDIT_DEFAULT_JOB"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tracked(tmp_path, monkeypatch, untracked):
    database = tmp_path / "mlflow" / "mlflow.db"
    database.parent.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    return database


def _train(capsys, prepared, output, *options) -> dict:
    train.main(["--prepared", str(prepared), "--output", str(output), "--seed", "1", *options])
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_it_stores_a_model_directory_that_can_be_loaded_and_leads_back_to_its_data(
    capsys, prepared, tmp_path, untracked, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # as compute sets it that tracks nothing
    told = _train(capsys, prepared, tmp_path, "--trials", "1", "--code-version", "c0de", "--reference-rows", "100")
    result = told["result"]
    directory = tmp_path / told["files"]["model"]
    written = (directory / "manifest.json").read_bytes()
    assert result == {**json.loads(written), "manifest_sha256": hashlib.sha256(written).hexdigest()}
    model = model_directory.load(directory, trained.registered(directory))
    assert model_directory.smoke_test(model)["rows"] == 64
    assert told["data_version"] == result["content_hash"]
    assert result["prepared_data_version"] == tables.data_version_of(prepared / "development.parquet")
    assert (result["code_version"], result["seed"], result["mlflow_run_id"]) == ("c0de", 1, None)
    # Rows without a day are not more or less recent: a first model keeps them all.
    assert tables.read(directory / "reference.parquet").num_rows == trained.training_rows().num_rows
    assert PROBABILITY in json.loads((directory / "bins.json").read_text())["columns"]
    for plot in result["plots"]:
        assert len(base64.b64encode((directory / plot).read_bytes())) < 40_000
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def test_protected_attributes_are_inputs_only_when_asked_for(capsys, prepared, tmp_path, untracked):
    without = _train(capsys, prepared, tmp_path / "a", "--trials", "1")["result"]
    allowed = _train(capsys, prepared, tmp_path / "b", "--trials", "1", "--protected-attributes")["result"]
    assert not set(PROTECTED) & set(without["features"])
    assert set(PROTECTED) < set(allowed["features"])
    assert (without["protected_attributes"], allowed["protected_attributes"]) == (False, True)


@pytest.mark.slow
def test_every_trial_is_a_nested_run_and_the_run_tells_figures_and_plots(capsys, prepared, tmp_path, tracked):
    result = _train(capsys, prepared, tmp_path / "out", "--trials", "2", "--job-name", "train-1")["result"]
    import mlflow

    client = mlflow.MlflowClient()
    run = client.get_run(result["mlflow_run_id"])
    nested = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert sorted(trial.info.run_name for trial in nested) == ["trial-0", "trial-1"]
    told = {trial.data.metrics["mean_auc"] for trial in nested}
    assert told == {trial["mean_auc"] for trial in result["trials"]}
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_roc_auc"] == result["metrics"]["test"]["roc_auc"]
    assert run.data.tags["model_sha256"] == result["model_sha256"]
    plots = {file.path for file in client.list_artifacts(run.info.run_id, "plots")}
    assert plots == set(result["plots"])
    # Beside the database, not in the folder that the process happens to be in.
    assert run.info.artifact_uri.startswith(tracked.parent.as_uri())


@pytest.mark.slow
def test_a_trial_that_is_a_job_of_its_own_tells_its_figure_in_the_run_it_was_given(
    capsys, prepared, tmp_path, tracked, monkeypatch
):
    from credit_default.core.model.tracking import open_client

    client = open_client(os.environ["MLFLOW_TRACKING_URI"])
    given = client.create_run(
        client.create_experiment("sweep", artifact_location=(tracked.parent / "artifacts").as_uri())
    )
    monkeypatch.setenv("MLFLOW_RUN_ID", given.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "sweep")
    result = _train(capsys, prepared, tmp_path / "out", "--trials", "2", "--only-trial", "1")["result"]
    run = client.get_run(given.info.run_id)
    assert [trial["number"] for trial in result["trials"]] == [1]
    assert run.data.metrics["mean_auc"] == result["trials"][0]["mean_auc"]
    assert len(client.search_runs([run.info.experiment_id])) == 1


@pytest.mark.slow
def test_the_run_of_a_killed_attempt_is_closed_by_the_next_one(capsys, prepared, tmp_path, tracked, monkeypatch):
    killed = (
        "import os, signal, sys\n"
        "from credit_default.core.model.tracking import training_run\n"
        "with training_run('train-0a1b2c3d-00000000', {}, warn=sys.exit) as run:\n"
        "    print(run.run_id, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    first = subprocess.run([sys.executable, "-c", killed], check=False, capture_output=True, text=True)
    assert first.returncode == -signal.SIGKILL
    import mlflow

    client = mlflow.MlflowClient()
    left_open = first.stdout.strip()
    assert client.get_run(left_open).info.status == "RUNNING"
    # What compute calls the second attempt at the same job.
    monkeypatch.setenv("CREDIT_DEFAULT_JOB", "train-0a1b2c3d-00000000-2")
    second = _train(capsys, prepared, tmp_path / "out", "--trials", "1")["result"]["mlflow_run_id"]
    assert client.get_run(left_open).info.status == "KILLED"
    assert client.get_run(second).info.status == "FINISHED"


@pytest.mark.slow
def test_a_failed_training_is_a_failed_run(prepared, tmp_path, tracked):
    import mlflow

    with pytest.raises(SystemExit, match=r"Error: .*only_trial=9"):
        train.main(["--prepared", str(prepared), "--output", str(tmp_path), "--only-trial", "9"])
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("credit-default")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]


@pytest.mark.slow
@pytest.mark.usefixtures("untracked")
@pytest.mark.parametrize("uri", ["sqlite:///{folder}/text.db", "http://127.0.0.1:9/", "azureml://no-workspace"])
def test_a_tracking_server_that_cannot_be_used_fails_no_training(capsys, prepared, tmp_path, monkeypatch, uri):
    (tmp_path / "text.db").write_text("no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(folder=tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    train.main(["--prepared", str(prepared), "--output", str(tmp_path / "out"), "--trials", "1", "--job-name", "a"])
    told = capsys.readouterr()
    assert json.loads(told.out.splitlines()[-1])["result"]["mlflow_run_id"] is None
    assert (told.out + told.err).count(
        "This training is not tracked in MLflow from here on, and goes on without ("
    ) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("tracked")
def test_a_tracking_server_that_is_gone_in_the_middle_leaves_the_run_and_the_model(
    capsys, prepared, tmp_path, monkeypatch
):
    import mlflow

    def gone(*_: object, **__: object) -> None:
        raise ConnectionError("https://storage/?sig=secret")

    monkeypatch.setattr(mlflow, "log_params", gone)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    train.main(["--prepared", str(prepared), "--output", str(tmp_path / "out"), "--trials", "2"])
    told = capsys.readouterr()
    run_id = json.loads(told.out.splitlines()[-1])["result"]["mlflow_run_id"]
    assert mlflow.MlflowClient().get_run(run_id).info.run_id == run_id
    assert (told.out + told.err).count("goes on without (ConnectionError; see whether its server answers)") == 1
    assert "sig=" not in told.out + told.err
    mlflow.end_run()


def test_prepared_data_that_is_not_there_is_named(tmp_path, untracked):
    with pytest.raises(SystemExit, match=r"Error: .*development\.parquet"):
        train.main(["--prepared", str(tmp_path), "--output", str(tmp_path)])
