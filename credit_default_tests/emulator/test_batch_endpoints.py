"""Batch endpoints as the SDK uses them: deployments that really score, and refusals as Azure's."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from credit_default_tests.emulator.clients import client_of, log, wait

pytestmark = pytest.mark.slow

#: Copies what it is given, with the word that is in its model; a file whose name begins with `bad` fails.
SCRIPT = """
import os, pathlib
def init():
    global word
    word = next(pathlib.Path(os.environ["AZUREML_MODEL_DIR"]).rglob("word")).read_text()
def run(mini_batch):
    output = pathlib.Path(os.environ["AZUREML_BI_OUTPUT_PATH"])
    print("mini-batch of", len(mini_batch), os.environ["GREETING"])
    for path in map(pathlib.Path, mini_batch):
        if path.name.startswith("bad"):
            raise ValueError("cannot score")
        (output / path.name).write_text(f"{word} {path.read_text()}")
    return [pathlib.Path(path).name for path in mini_batch]
"""


@pytest.fixture(autouse=True)
def no_routing_header_of_an_earlier_call():
    """The SDK keeps the name of the deployment that was last invoked by name, for every call that follows."""
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields

    yield
    EndpointInvokeFields.DEFAULT_HEADER.pop(EndpointInvokeFields.MODEL_DEPLOYMENT, None)


@pytest.fixture
def client(azure):
    return client_of(azure)


@pytest.fixture
def lake(azure):
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import ContainerClient

    account = f"https://{azure.account}.blob.core.windows.net"
    with DefaultAzureCredential() as credential, ContainerClient(account, azure.artifacts, credential) as container:
        yield container


@pytest.fixture
def endpoint(client):
    from azure.ai.ml.entities import BatchEndpoint

    return client.batch_endpoints.begin_create_or_update(BatchEndpoint(name="scoring")).result()


@pytest.fixture
def deploy(client, endpoint, tmp_path):
    """Put a deployment with a model of one word beside the others."""
    from azure.ai.ml.entities import BatchRetrySettings, CodeConfiguration, Environment, Model, ModelBatchDeployment
    from azure.ai.ml.entities import ModelBatchDeploymentSettings as Settings

    conda = tmp_path / "conda.yml"
    conda.write_text("dependencies:\n  - pip:\n    - azureml-core\n")
    client.environments.create_or_update(
        Environment(name="batch", version="1", image="ubuntu:22.04", conda_file=str(conda))
    )

    def make(name, word="model", *, script="score.py", content=SCRIPT, environment="batch:1", **settings):
        folder = tmp_path / word
        folder.mkdir(exist_ok=True)
        (folder / "word").write_text(word)
        (tmp_path / "code" / script).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "code" / script).write_text(content)
        model = client.models.create_or_update(Model(name=f"m-{word}", version="1", path=folder))
        usual = {
            "mini_batch_size": 2,
            "error_threshold": 0,
            "output_action": "summary_only",
            "environment_variables": {"GREETING": "hello"},
            "retry_settings": BatchRetrySettings(max_retries=0, timeout=60),
        }
        deployment = ModelBatchDeployment(
            name=name,
            endpoint_name=endpoint.name,
            model=f"{model.name}:{model.version}",
            environment=environment,
            code_configuration=CodeConfiguration(code=str(tmp_path / "code"), scoring_script=script),
            compute="cpu-cluster",
            settings=Settings(**{**usual, **settings}),
        )
        return client.batch_deployments.begin_create_or_update(deployment).result()

    return make


def make_default(client, name: str):
    endpoint = client.batch_endpoints.get("scoring")
    endpoint.defaults.deployment_name = name
    return client.batch_endpoints.begin_create_or_update(endpoint).result()


def invoke(client, lake, *names: str, **options):
    from azure.ai.ml import Input

    for name in names:
        lake.upload_blob(f"arrived/{name}", f"content of {name}", overwrite=True)
    folder = Input(type="uri_folder", path="azureml://datastores/workspaceblobstore/paths/arrived")
    return client.batch_endpoints.invoke("scoring", inputs={"data": folder}, **options)


def scored(lake, folder: str) -> dict[str, str]:
    prefix = f"{folder}/"
    names = list(lake.list_blob_names(name_starts_with=prefix))
    return {name.removeprefix(prefix): lake.download_blob(name).readall().decode() for name in names}


def output(folder: str):
    from azure.ai.ml import Output

    return {"score": Output(type="uri_folder", path=f"azureml://datastores/workspaceblobstore/paths/{folder}")}


def test_an_invocation_scores_every_file_in_mini_batches_with_the_default_deployment(client, lake, deploy, tmp_path):
    deploy("first", "one")
    deploy("second", "two")
    make_default(client, "first")
    invoke(client, lake, "a", "b", "c", job_name="day-1", outputs=output("out"))
    ended = wait(client, "day-1")
    assert ended.status == "Completed", log(client, "day-1", tmp_path)
    assert scored(lake, "out") == {name: f"one content of {name}" for name in "abc"}
    assert [job.name for job in client.batch_endpoints.list_jobs("scoring")] == ["day-1"]


def test_a_deployment_is_invoked_by_name_and_the_default_can_be_turned(client, lake, deploy):
    deploy("first", "one")
    deploy("second", "two")
    make_default(client, "first")
    invoke(client, lake, "a", job_name="by-name", outputs=output("named"), deployment_name="second")
    assert wait(client, "by-name").status == "Completed"
    assert scored(lake, "named") == {"a": "two content of a"}
    assert make_default(client, "second").defaults.deployment_name == "second"
    assert {deployment.name for deployment in client.batch_deployments.list("scoring")} == {"first", "second"}


@pytest.mark.parametrize(("threshold", "status"), [(0, "Failed"), (2, "Completed"), (-1, "Completed")])
def test_files_of_a_failed_mini_batch_count_against_the_error_threshold(client, lake, deploy, threshold, status):
    deploy("only", error_threshold=threshold)
    make_default(client, "only")
    invoke(client, lake, "a", "b", "bad", job_name="some-bad", outputs=output("out"))
    assert wait(client, "some-bad").status == status
    assert set(scored(lake, "out")) == {"a", "b"}


def test_a_jobs_name_is_used_once(client, lake, deploy):
    deploy("only")
    make_default(client, "only")
    invoke(client, lake, "a", job_name="once", outputs=output("out"))
    with pytest.raises(HttpResponseError) as caught:
        invoke(client, lake, "a", job_name="once", outputs=output("out"))
    assert caught.value.status_code == 409
    wait(client, "once")


def test_what_is_not_there_is_refused(client, lake, endpoint, deploy):
    with pytest.raises(ResourceNotFoundError):
        client.batch_endpoints.get("another")
    with pytest.raises(ResourceNotFoundError):
        client.batch_deployments.get("none", "scoring")
    with pytest.raises(HttpResponseError, match="does not exist"):
        make_default(client, "none")
    with pytest.raises(HttpResponseError, match="no default deployment"):
        invoke(client, lake, "a", outputs=output("out"))
    deploy("only")
    make_default(client, "only")
    with pytest.raises((HttpResponseError, ResourceExistsError), match="cannot be deleted"):
        client.batch_deployments.begin_delete("only", "scoring").result()


def test_a_deployment_takes_no_model_of_a_registry(client, deploy):
    deploy("first")
    other = client.batch_deployments.get("first", "scoring")
    other.name, other.model = "second", "azureml://registries/shared/models/m/versions/1"
    with pytest.raises(HttpResponseError, match="is not registered in this workspace; register the model there"):
        client.batch_deployments.begin_create_or_update(other, skip_script_validation=True).result()


def test_an_environment_without_the_package_that_batch_jobs_run_with_is_refused(client, deploy, tmp_path):
    from azure.ai.ml.entities import BuildContext, Environment

    with pytest.raises(HttpResponseError, match=r"No module named 'azureml'.*azureml-core.*'plain/versions/1'"):
        deploy("plain", environment="plain:1")
    for version, pinned in (("1", "azureml-mlflow==1.0"), ("2", "azureml-core==1.0")):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "Dockerfile").write_text("# azureml-core is said to be needed.\nFROM ubuntu:22.04\n")
        (folder / "requirements.txt").write_text(f"{pinned}\n")
        client.environments.create_or_update(Environment(name="b", version=version, build=BuildContext(path=folder)))
    with pytest.raises(HttpResponseError, match="No module named 'azureml'"):
        deploy("built", environment="b:1")
    assert deploy("built", environment="b:2").name == "built"


def test_a_script_finds_what_lies_beside_it_and_neither_the_root_of_the_code_nor_the_project(
    client, lake, deploy, tmp_path
):
    (tmp_path / "code" / "deep").mkdir(parents=True)
    (tmp_path / "code" / "deep" / "beside.py").touch()
    (tmp_path / "code" / "at_the_root.py").touch()
    imports = """
import importlib.util
found = [name for name in ("beside", "at_the_root", "credit_default") if importlib.util.find_spec(name)]
assert found == ["beside"], found
"""
    deploy("deep", script="deep/score.py", content=imports + SCRIPT)
    make_default(client, "deep")
    invoke(client, lake, "a", job_name="deep", outputs=output("out"))
    assert wait(client, "deep").status == "Completed", log(client, "deep", tmp_path)
