"""Managed online endpoints as the SDK uses them: deployments that really answer, traffic, keys and refusals."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from credit_default_tests.azure_emulator import Emulator
from credit_default_tests.emulator.clients import client_of

pytestmark = pytest.mark.slow

#: Says the word that is in its model; does what a request asks for: a status, a nap, an error.
SCRIPT = """
import json, os, pathlib, time
import flask
def init():
    global word
    word = next(pathlib.Path(os.environ["AZUREML_MODEL_DIR"]).rglob("word")).read_text()
    if word == "broken":
        raise RuntimeError("no good model")
    print("ready with", word)
def run(raw_data):
    asked = json.loads(raw_data)
    time.sleep(asked.get("nap", 0))
    if asked.get("error"):
        raise ValueError("cannot score")
    if "status" in asked:
        return flask.Response(json.dumps({"message": "so it is"}), asked["status"], mimetype="application/json")
    if "variables" in asked:
        return sorted(os.environ)
    return {"word": word, "number": asked.get("number"), "greeting": os.environ.get("GREETING")}
"""
SCOPE = "https://ml.azure.com/.default"


@pytest.fixture(autouse=True)
def no_header_of_an_earlier_call():
    """The SDK keeps the deployment and the token of the last invocation, for every call that follows."""
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields

    before = dict(EndpointInvokeFields.DEFAULT_HEADER)
    yield
    EndpointInvokeFields.DEFAULT_HEADER.clear()
    EndpointInvokeFields.DEFAULT_HEADER.update(before)


@pytest.fixture
def client(azure):
    return client_of(azure)


def make_endpoint(client, auth_mode: str = "aad_token"):
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    endpoint = ManagedOnlineEndpoint(name="scoring", auth_mode=auth_mode)
    return client.online_endpoints.begin_create_or_update(endpoint).result()


def put_deployment(client, folder, name: str, word: str, **settings):
    """Put a deployment with a model of one word beside the others."""
    from azure.ai.ml.entities import CodeConfiguration, ManagedOnlineDeployment, Model

    (folder / word).mkdir(exist_ok=True)
    (folder / word / "word").write_text(word)
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "score.py").write_text(SCRIPT)
    model = client.models.create_or_update(Model(name=f"m-{word}", version="1", path=folder / word))
    usual = {
        "model": f"{model.name}:{model.version}",
        "environment": "plain:1",
        "instance_type": "Standard_DS3_v2",
        "instance_count": 1,
        "environment_variables": {"GREETING": "hello"},
    }
    deployment = ManagedOnlineDeployment(
        name=name,
        endpoint_name="scoring",
        code_configuration=CodeConfiguration(code=str(folder / "code"), scoring_script="score.py"),
        **{**usual, **settings},
    )
    return client.online_deployments.begin_create_or_update(deployment).result()


@pytest.fixture
def deploy(client, tmp_path):
    """Put a deployment beside the others, and at first the endpoint; `live` sends the traffic there."""

    def put(name: str, word: str = "model", *, auth_mode: str = "aad_token", live: bool = False, **settings):
        if not list(client.online_endpoints.list()):
            make_endpoint(client, auth_mode)
        made = put_deployment(client, tmp_path, name, word, **settings)
        if live:
            turn(client, **{name: 100})
        return made

    return put


def turn(client, **traffic: int):
    """Send the traffic to these deployments."""
    endpoint = client.online_endpoints.get("scoring")
    endpoint.traffic = traffic
    return client.online_endpoints.begin_create_or_update(endpoint).result()


@pytest.fixture
def invoke(client, tmp_path):
    """Ask the endpoint through the SDK."""

    def ask(deployment: str | None = None, **asked):
        file = tmp_path / "request.json"
        file.write_text(json.dumps(asked))
        answer = client.online_endpoints.invoke("scoring", request_file=file, deployment_name=deployment)
        return json.loads(answer)

    return ask


@pytest.fixture
def post(client):
    """Ask the endpoint as any program does."""
    from azure.identity import DefaultAzureCredential

    address = {}

    def ask(body: object, *, token: str | None = None, deployment: str | None = None):
        if not address:
            address["uri"] = client.online_endpoints.get("scoring").scoring_uri
            address["token"] = DefaultAzureCredential().get_token(SCOPE).token
        headers = {"Authorization": f"Bearer {address['token'] if token is None else token}"}
        if deployment:
            headers["azureml-model-deployment"] = deployment
        headers["Content-Type"] = "application/json"
        data = body if isinstance(body, str) else json.dumps(body)
        return requests.post(address["uri"], data=data, headers=headers, timeout=60)

    return ask


def servers() -> list[psutil.Process]:
    """The processes of inference servers below this one."""
    below = psutil.Process().children(recursive=True)
    return [process for process in below if "online_driver.py" in " ".join(process.cmdline())]


def test_a_deployment_answers_with_its_model_its_code_and_its_variables(client, deploy, invoke):
    made = deploy("first", "one", live=True)
    assert made.provisioning_state == "Succeeded"
    assert (made.instance_type, made.instance_count) == ("Standard_DS3_v2", 1)
    assert invoke(number=1) == {"word": "one", "number": 1, "greeting": "hello"}
    endpoint = client.online_endpoints.get("scoring")
    assert endpoint.scoring_uri.endswith(".westeurope.inference.ml.azure.com/score")
    assert (endpoint.auth_mode, endpoint.traffic) == ("aad_token", {"first": 100})


def test_a_program_finds_only_what_azure_gives_it(deploy, invoke, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_TEST", "x")
    deploy("first", live=True)
    variables = invoke(variables=True)
    assert {"AZUREML_MODEL_DIR", "AML_APP_ROOT", "GREETING", "HTTPS_PROXY"} < set(variables)
    assert not {"SECRET_OF_THE_TEST", "AZURE_CLIENT_SECRET", "AZURE_ML_WORKSPACE"} & set(variables)


def test_traffic_goes_where_it_is_sent_and_a_request_may_name_its_deployment(client, deploy, post):
    deploy("first", "one")
    deploy("second", "two")
    turn(client, first=50, second=50)
    words = Counter(post({}).json()["word"] for _ in range(40))
    assert set(words) == {"one", "two"}
    turn(client, second=100)
    assert {post({}).json()["word"] for _ in range(5)} == {"two"}
    named = post({}, deployment="first")
    assert named.json()["word"] == "one"
    assert named.headers["azureml-model-deployment"] == "first"
    assert client.online_endpoints.get("scoring").traffic == {"second": 100, "first": 0}


def test_two_hundred_requests_at_once_are_all_answered(deploy, post):
    from azure.ai.ml.entities import OnlineRequestSettings

    settings = OnlineRequestSettings(max_concurrent_requests_per_instance=100, request_timeout_ms=60_000)
    deploy("only", live=True, request_settings=settings, environment_variables={"WORKER_COUNT": "2"})
    post({})  # gets the token
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda number: post({"number": number}), range(200)))
    assert [answer.json()["number"] for answer in answers] == list(range(200))


def test_more_requests_than_a_deployment_may_have_waiting_are_refused(deploy, post):
    deploy("only", live=True)
    post({})
    with ThreadPoolExecutor(5) as pool:
        statuses = Counter(pool.map(lambda _: post({"nap": 1.5}).status_code, range(5)))
    assert statuses == {200: 2, 429: 3}


def test_what_the_script_refuses_is_a_failed_dependency_with_its_status_and_its_body(deploy, post):
    deploy("only", live=True)
    refused = post({"status": 422})
    assert (refused.status_code, refused.json()) == (424, {"message": "so it is"})
    assert refused.headers["ms-azureml-model-error-statuscode"] == "422"
    for broken in ({"error": True}, "no json"):
        failed = post(broken)
        assert (failed.status_code, failed.headers["ms-azureml-model-error-statuscode"]) == (424, "500")


def test_a_request_that_takes_longer_than_it_may_is_given_up(deploy, post):
    from azure.ai.ml.entities import OnlineRequestSettings

    deploy("only", live=True, request_settings=OnlineRequestSettings(request_timeout_ms=500))
    assert post({"nap": 2}).status_code == 408


def test_a_script_that_cannot_begin_fails_its_deployment_and_the_log_says_why(client, deploy, post):
    deploy("good", "one", live=True)
    with pytest.raises(HttpResponseError, match="User container has crashed"):
        deploy("bad", "broken")
    assert client.online_deployments.get("bad", "scoring").provisioning_state == "Failed"
    assert "RuntimeError: no good model" in client.online_deployments.get_logs("bad", "scoring", lines=100)
    assert post({}, deployment="bad").status_code == 404
    assert post({}).json()["word"] == "one"
    assert "ready with one" in client.online_deployments.get_logs("good", "scoring", lines=100)
    assert len(client.online_deployments.get_logs("good", "scoring", lines=2).splitlines()) == 2


def test_a_deployment_that_is_put_again_answers_with_what_is_new_and_stays_when_that_fails(deploy, post):
    deploy("only", "one", live=True)
    deploy("only", "two")
    assert post({}).json()["word"] == "two"
    with pytest.raises(HttpResponseError):
        deploy("only", "broken")
    assert post({}).json()["word"] == "two"


def test_a_token_for_another_service_is_refused(deploy, post):
    from azure.identity import DefaultAzureCredential

    deploy("only", live=True)
    other = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    assert [post({}, token=token).status_code for token in ("", "nonsense", other)] == [401] * 3


def test_keys_open_an_endpoint_that_has_keys(client, deploy, invoke, post):
    deploy("only", auth_mode="key", live=True)
    keys = client.online_endpoints.get_keys("scoring")
    assert invoke()["word"] == "model"
    assert post({}, token=keys.secondary_key).status_code == 200
    assert [post({}, token=token).status_code for token in ("", keys.primary_key[:-1])] == [401] * 2
    assert post({}).status_code == 401  # a token of Entra's is no key


def test_tokens_of_azure_ml_open_an_endpoint_that_asks_for_them(deploy, invoke, post):
    deploy("only", auth_mode="aml_token", live=True)
    assert invoke()["word"] == "model"
    assert post({}).status_code == 401


def test_what_is_not_there_and_what_cannot_be_is_refused(client, deploy, post):
    with pytest.raises(ResourceNotFoundError):
        client.online_endpoints.get("scoring")
    make_endpoint(client)
    with pytest.raises(ResourceNotFoundError):
        client.online_deployments.get("none", "scoring")
    with pytest.raises(ResourceNotFoundError):
        turn(client, none=100)
    with pytest.raises(HttpResponseError, match="was not found"):
        deploy("first", environment="other:1")
    deploy("first")
    assert post({}).status_code == 404  # nothing has traffic
    assert post({}, deployment="none").status_code == 404
    with pytest.raises(HttpResponseError, match="adds up to 50 %"):
        turn(client, first=50)
    turn(client, first=100)
    with pytest.raises((HttpResponseError, ResourceExistsError), match="cannot be deleted"):
        client.online_deployments.begin_delete("first", "scoring").result()


def test_processes_end_with_what_they_are_for(client, deploy, post):
    before = set(servers())
    deploy("first")
    deploy("second", live=True)
    running = set(servers()) - before
    assert len(running) == 4  # a master and a worker each
    client.online_deployments.begin_delete("first", "scoring").result()
    assert len([process for process in running if process.is_running()]) == 2
    assert post({}).status_code == 200
    client.online_endpoints.begin_delete("scoring").result()
    assert psutil.wait_procs(running, 5)[1] == []
    assert list(client.online_endpoints.list()) == []


def test_no_server_outlives_the_emulator(tmp_path, monkeypatch):
    with Emulator.started(tmp_path / "home") as own:
        workspace = own.workspace()
        for name, value in {**own.environment, "AZUREML_CURRENT_CLOUD": "AzureCloud"}.items():
            monkeypatch.setenv(name, value)
        client = client_of(workspace)
        before = set(servers())
        make_endpoint(client)
        put_deployment(client, tmp_path, "only", "model")
        running = set(servers()) - before
        assert len(running) == 2
    assert psutil.wait_procs(running, 5)[1] == []
