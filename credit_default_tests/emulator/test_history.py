"""Run history, the MLflow runs of jobs, and what is left of jobs when the emulator stops."""

import httpx
import psutil
import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from credit_default_tests.azure_emulator import Emulator
from credit_default_tests.emulator.clients import QUIET, client_of, details, job, log, python, run, wait


@pytest.fixture
def client(azure):
    return client_of(azure)


def tracked(emulator, run_id):
    """Return the MLflow run of that id, as the server tells it."""
    answer = httpx.get(f"{emulator.tracking_uri}/api/2.0/mlflow/runs/get", params={"run_id": run_id})
    return answer.raise_for_status().json()["run"]


def text_of_log(client, name):
    return httpx.get(details(client, name).log_files["user_logs/std_log.txt"]).text


@pytest.mark.parametrize(("line", "status"), [("true", "FINISHED"), ("false", "FAILED")])
def test_the_mlflow_run_of_a_job_ends_as_the_job_does(client, emulator, line, status):
    ended = run(client, job(f"echo $MLFLOW_RUN_ID; {line}", display_name="shown"))

    told = tracked(emulator, text_of_log(client, ended.name).strip())

    assert (told["info"]["status"], told["info"]["run_name"]) == (status, "shown")


@pytest.mark.slow
def test_what_a_job_logs_to_mlflow_is_in_the_run_that_it_was_given(client, emulator, azure):
    program = (
        'import mlflow; mlflow.log_metric("gini", 0.5); mlflow.log_param("depth", 3); '
        'mlflow.log_text("words", "note.txt")'
    )

    ended = run(client, job(f"echo $MLFLOW_RUN_ID; {python(program)}", environment_variables=QUIET))

    assert ended.status == "Completed"
    told = tracked(emulator, text_of_log(client, ended.name).split()[0])
    data = told["data"]
    assert [(one["key"], one["value"]) for one in data["metrics"]] == [("gini", 0.5)]
    assert [(one["key"], one["value"]) for one in data["params"]] == [("depth", "3")]
    store = ContainerClient(f"https://{azure.account}.blob.core.windows.net", azure.artifacts, DefaultAzureCredential())
    assert store.download_blob(f"ExperimentRun/dcid.{told['info']['run_id']}/note.txt").readall() == b"words"


@pytest.mark.slow
def test_a_job_reads_back_through_the_workspace_what_it_logged(client, tmp_path):
    program = (
        'import mlflow, os; from mlflow import MlflowClient; r = os.environ["MLFLOW_RUN_ID"]; '
        'mlflow.log_text("words", "a/note.txt"); '
        "print([f.path for f in MlflowClient().list_artifacts(r)], mlflow.artifacts.load_text("
        'MlflowClient().get_run(r).info.artifact_uri + "/a/note.txt"), mlflow.get_tracking_uri()[:10])'
    )

    ended = run(client, job(python(program), environment_variables=QUIET))

    assert "['a'] words azureml://" in log(client, ended.name, tmp_path)


@pytest.mark.parametrize("name", ["tags.`a.b`", 'tags."a.b"', "attributes.status", "attr.Status", "status"])
def test_a_filter_that_azure_does_not_support_is_refused(azure, name):
    token = DefaultAzureCredential().get_token("https://ml.azure.com/.default").token
    workspace = (
        f"/subscriptions/{azure.subscription}/resourceGroups/{azure.resource_group}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{azure.name}"
    )
    address = f"https://westeurope.api.azureml.ms/mlflow/v2.0{workspace}/api/2.0/mlflow/runs/search"

    def search(wanted: str) -> int:
        asked = {"experiment_ids": ["0"], "filter": wanted}
        return httpx.post(address, json=asked, headers={"Authorization": f"Bearer {token}"}, timeout=200).status_code

    assert search(f"params.x = '1' and {name} = 'RUNNING'") == 400
    assert search("tags.mlflow.parentRunId = 'status' and metrics.status > 1") == 200


def test_the_address_of_a_log_opens_that_log_and_nothing_else(client):
    name, other = run(client, job("echo mine")).name, run(client, job("echo other")).name

    address = details(client, name).log_files["user_logs/std_log.txt"]

    assert httpx.get(address).text == "mine\n"
    assert httpx.put(address, content=b"x", headers={"x-ms-blob-type": "BlockBlob"}).status_code == 403
    assert httpx.get(address.replace(f"dcid.{name}/", f"dcid.{other}/")).status_code == 403


def test_run_history_shows_a_run_and_its_settings(client):
    ended = run(client, job("true", tags={"step": "score"}, display_name="Score a day"))

    shown = client.jobs._runs_operations.get_run(ended.name)

    assert (shown.run_id, shown.status, shown.display_name) == (ended.name, "Completed", "Score a day")
    assert shown.compute.target == "cpu-cluster"
    assert shown.tags["step"] == "score"


def test_a_job_that_nobody_submitted_is_not_found(client):
    with pytest.raises(ResourceNotFoundError):
        client.jobs.get("nobody")
    with pytest.raises(HttpResponseError, match="nobody"):
        details(client, "nobody")
    with pytest.raises(HttpResponseError, match="nobody"):
        client.jobs.begin_cancel("nobody")


@pytest.mark.slow
def test_no_program_of_a_job_outlives_the_emulator(tmp_path, monkeypatch):
    with Emulator.started(tmp_path) as emulator:
        workspace = emulator.workspace()
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        client = client_of(workspace)
        running = client.jobs.create_or_update(job("sleep 987.25 & sleep 987.25"))
        wait(client, running.name, "Running")

    assert not [one for one in psutil.process_iter(["cmdline"]) if "987.25" in (one.info["cmdline"] or [])]
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or [])]
