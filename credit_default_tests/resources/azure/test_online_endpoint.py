"""The managed online endpoint on Azure ML: what is there, who may ask, many requests at once, and no value told."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from credit_default.errors import JobFailed, ModelError, NotAllowed, SettingsError
from credit_default.ports import ModelVersion
from credit_default.resources import resources_for
from credit_default.settings import COLLECTION_KEY_VARIABLE, read
from credit_default.telemetry.collected_inputs import open_message
from credit_default.telemetry.encryption import PrivateKeys, new_key
from credit_default_tests import trained
from credit_default_tests.platforms import azure_online_endpoint, online_platform
from credit_default_tests.resources.served_models import in_a_run, model_files, register

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SCOPE = "https://ml.azure.com/.default"
#: Values by which a client would be known again, wherever they turned up.
SENTINELS = {"client_id": "sentinel-client-4711", "age": 73.0625, "credit_limit": 123456.78125}
REQUESTS = 200


@pytest.fixture(scope="module")
def key() -> str:
    return new_key()


@pytest.fixture(scope="module")
def workspace(emulator, key) -> Iterator[Any]:
    """A workspace for the module, at which this process's environment points."""
    made = emulator.workspace(with_code=True)
    with patch.dict(os.environ, {**emulator.environment_in(made), COLLECTION_KEY_VARIABLE: key}):
        yield made
    assert emulator.unknown() == []


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture(scope="module")
def ports(workspace, tmp_path_factory) -> dict[str, Any]:
    return online_platform("azure", tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def model(ports, files) -> ModelVersion:
    return register(ports["storage"], ports["registry"], files, "models/m1")


@pytest.fixture(scope="module")
def live(ports, model):
    """An endpoint at which the model is live, in two processes."""
    endpoint = azure_online_endpoint(name="online", workers=2)
    deploy(endpoint, model)
    endpoint.make_default(model.version, changed_by="run")
    yield endpoint
    endpoint._endpoints.begin_delete(endpoint.name).result()


@pytest.fixture(scope="module")
def post(live):
    """Ask the endpoint as any program does; returns the answer."""
    from azure.identity import DefaultAzureCredential

    address, token = live.scoring_uri(), DefaultAzureCredential().get_token(SCOPE).token

    def ask(body: object, token: str = token) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(address, json=body, headers=headers, timeout=120)

    return ask


def deploy(endpoint, model):
    return in_a_run(lambda context: endpoint.deploy(context, model))


def clients(count: int, **changed: object) -> list[dict[str, Any]]:
    rows = trained.parts()["test"].drop_columns(["as_of", "default_payment_next_month"]).slice(0, count).to_pylist()
    return [{**row, **changed} for row in rows]


def deployment_puts(emulator, workspace) -> int:
    wanted = f"/{workspace.name}/onlineEndpoints/"
    found = [entry for entry in emulator.journal() if entry["method"] == "PUT" and wanted in entry["path"]]
    return sum("/deployments/" in entry["path"] for entry in found)


def collected(emulator, workspace, key: str) -> list:
    """What was ingested of requests, opened."""
    messages = [envelope["data"]["baseData"]["message"] for envelope in ingested(emulator, workspace)]
    keys = PrivateKeys.read(key, "the test's key")
    return [open_message(message, keys) for message in messages if '"InputData"' in message]


def ingested(emulator, workspace) -> list[dict[str, Any]]:
    return [envelope for envelope in emulator.ingested() if envelope["iKey"] == workspace.instrumentation_key]


def until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_is_there_is_found_again_and_another_model_under_its_name_is_refused(live, model, emulator, workspace):
    before = deployment_puts(emulator, workspace)
    deploy(live, model)
    assert deployment_puts(emulator, workspace) == before
    with pytest.raises(ModelError, match=r"Deployment version-1-\w+ of online is of another model"):
        deploy(live, dataclasses.replace(model, sha256="0" * 64))


def test_what_answers_with_another_key_or_on_other_machines_is_outdated(live, monkeypatch):
    assert not live.state().outdated
    assert azure_online_endpoint(name="online", workers=2, instance_count=3).state().outdated
    monkeypatch.setenv(COLLECTION_KEY_VARIABLE, new_key())
    assert live.state().outdated


def test_it_is_the_same_inside_a_run_and_outside(live):
    # Where a value is a variable at first, which Dagster replaces in a run.
    assert resources_for(read())["online_endpoint"]._code == live._code


def test_a_deployment_says_what_it_is_and_lets_nothing_be_logged_in_clear(live, model, workspace, key):
    (deployment,) = live._deployments.list(live.name)
    assert deployment.app_insights_enabled is False
    assert deployment.tags == {"model_version": "1", "model_sha256": model.sha256}
    assert json.loads(deployment.environment_variables["CREDIT_DEFAULT_COLLECTION_PUBLIC_KEY"]).keys().isdisjoint({"d"})
    assert json.loads(key)["d"] not in json.dumps(deployment.environment_variables)
    assert live._found().auth_mode == "aad_token"


def test_without_a_key_nothing_is_deployed_and_the_state_can_be_read(live, model, monkeypatch):
    monkeypatch.delenv(COLLECTION_KEY_VARIABLE)
    assert live.state().default == "1"
    with pytest.raises(SettingsError, match="CREDIT_DEFAULT_COLLECTION_KEY is not set"):
        deploy(live, model)


def test_without_an_identity_nothing_is_deployed_and_an_endpoint_of_another_is_left_as_it_is(live, model, workspace):
    (own,) = live._found().identity.user_assigned_identities
    assert own.resource_id == workspace.online_identity
    with pytest.raises(SettingsError, match="CREDIT_DEFAULT_ONLINE_IDENTITY is not set; expected the resource id"):
        deploy(azure_online_endpoint(name="without", identity=""), model)
    other = azure_online_endpoint(name="online", identity=f"{workspace.online_identity}-2")
    with pytest.raises(SettingsError, match="online acts as another identity than CREDIT_DEFAULT_ONLINE_IDENTITY says"):
        other.ensure()
    assert live.state().default == model.version


def test_a_client_is_scored_as_in_training(post):
    rows = clients(5)
    told = post(rows).json()
    assert (told["model_name"], told["model_version"]) == ("credit-card-default", "1")
    assert [one["client_id"] for one in told["predictions"]] == [row["client_id"] for row in rows]
    wanted = trained.model().test_probabilities[:5]
    assert [one["probability_of_default"] for one in told["predictions"]] == pytest.approx(list(wanted), abs=1e-9)


@pytest.mark.parametrize(
    "changed", [{"age": "thirty"}, {"age": "30"}, {"sex": 1}, {"age": True}, {"age": -5}, {"education": "kindergarten"}]
)
def test_a_value_that_breaks_the_contract_is_refused_with_its_reason_and_without_itself(post, changed):
    refused = post(clients(2, **changed))
    # What the script says is a failed dependency to Azure, which tells its status in a header.
    assert (refused.status_code, refused.headers["ms-azureml-model-error-statuscode"]) == (424, "422")
    (name,) = changed
    assert {problem["row"] for problem in refused.json()["problems"]} == {1, 2}
    assert all(problem["reason"].startswith(f"{name}: ") for problem in refused.json()["problems"])
    assert not any(isinstance(value, str) and value in refused.text for value in changed.values())


def test_nobody_is_answered_without_a_token(post):
    assert post(clients(1), token="none").status_code == 401


def test_two_hundred_requests_at_once_are_answered_and_collected_once_each_and_nothing_is_told_in_clear(
    live, post, emulator, workspace, key
):
    before = len(collected(emulator, workspace, key))
    rows = clients(1, **SENTINELS)
    with ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(lambda _: post(rows), range(REQUESTS)))
    assert Counter(answer.status_code for answer in answers) == {200: REQUESTS}
    wrong = post(clients(1, **{**SENTINELS, "sex": "sentinel-sex"}))
    assert wrong.status_code == 424
    until(lambda: len(collected(emulator, workspace, key)) >= before + REQUESTS)
    parts = collected(emulator, workspace, key)[before:]
    assert Counter(part.request.request_id for part in parts) == {one.json()["request_id"]: 1 for one in answers}
    assert all(part.rows[0]["client_id"] == SENTINELS["client_id"] for part in parts)
    (deployment,) = live._deployments.list(live.name)
    told = [
        json.dumps(ingested(emulator, workspace)),
        live._deployments.get_logs(deployment.name, live.name, lines=10_000),
        json.dumps(emulator.journal()),
        wrong.text,
    ]
    for value in (*SENTINELS.values(), "sentinel-sex"):
        assert [place for place, text in enumerate(told) if str(value) in text] == []


def test_golden_rows_that_are_refused_leave_nothing_behind(live, ports, files):
    rows = pq.read_table(io.BytesIO(files["golden.parquet"]))
    at = rows.schema.get_field_index("age")
    stream = io.BytesIO()
    pq.write_table(rows.set_column(at, "age", pa.array([-1.0] * rows.num_rows)), stream)
    model = register(ports["storage"], ports["registry"], files, "models/r1", **{"golden.parquet": stream.getvalue()})
    with pytest.raises(JobFailed, match=r"did not score golden rows \(status 422\): 64 of 64 clients break"):
        deploy(live, model)
    assert live.state().deployments == ("1",)


@pytest.mark.parametrize("fault", [{"status": 500, "times": 2}, {"status": 429, "retry_after": 1}, {"drop": True}])
def test_a_smoke_test_bears_with_an_address_that_does_not_answer_yet(live, model, emulator, fault):
    emulator.fault("POST", "^/score$", host="inference", **fault)
    assert deploy(live, model)["rows"] == 64
    emulator.clear_faults()


def test_production_refuses_what_did_not_come_through_the_shared_registry(ports, model):
    production = azure_online_endpoint(name="shared", only_from_registry=True)
    with pytest.raises(NotAllowed, match="Version 1 was registered in workspace"):
        deploy(production, model)
    assert not production.look().there


def test_a_deployment_that_somebody_else_is_making_is_waited_for(ports, model):
    first, second = azure_online_endpoint(name="twice"), azure_online_endpoint(name="twice")
    with ThreadPoolExecutor(2) as pool:
        # The second has not seen that the first began: the one that died, and the one that goes on.
        making = pool.submit(deploy, first, model)
        until(lambda: second._found() is not None and list(second._deployments.list("twice")) != [])
        (begun,) = second._deployments.list("twice")
        assert begun.provisioning_state == "Creating"
        assert second._is_deployed(begun.name, model)
        assert second._deployments.get(begun.name, "twice").provisioning_state == "Succeeded"
        making.result()
    assert second.state().deployments == ("1",)
    second._endpoints.begin_delete("twice").result()


def test_old_deployments_are_removed_and_the_one_before_is_kept(ports, files, model):
    endpoint = azure_online_endpoint(name="keeps")
    others = [register(ports["storage"], ports["registry"], files, f"models/k{number}") for number in range(2)]
    for number, one in enumerate([model, *others]):
        deploy(endpoint, one)
        endpoint.make_default(one.version, changed_by=f"run {number}")
    assert endpoint.state().deployments == tuple(one.version for one in others)
    assert (endpoint.state().default, endpoint.state().previous) == (others[1].version, others[0].version)
    traffic = endpoint._endpoints.get("keeps").traffic
    assert sorted(traffic.values()) == [0, 100]
    endpoint._endpoints.begin_delete("keeps").result()
