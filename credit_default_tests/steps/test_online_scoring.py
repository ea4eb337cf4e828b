"""The scoring script of online deployments, called as Azure ML's server calls it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import flask
import numpy as np
import pytest

from credit_default.core import tables
from credit_default.core.model import golden_rows
from credit_default.core.model.model_folder import open_folder
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES
from credit_default.errors import HashMismatch, NotThere, SettingsError
from credit_default.steps import online_scoring
from credit_default.telemetry.collected_inputs import open_message
from credit_default.telemetry.encryption import PrivateKeys, new_key
from credit_default_tests import trained
from credit_default_tests.strategies import client, clients

KEYS = PrivateKeys.read(new_key(), "KEY")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    # Azure ML puts the model into a folder of the asset's own name.
    root = tmp_path_factory.mktemp("model")
    return root, trained.save(root / "3")["model_sha256"]


def golden_request(model) -> bytes:
    folder = model[0] / "3"
    return golden_rows.as_request(golden_rows.read(open_folder(folder, trained.registered(folder))))


@pytest.fixture
def environment(model, tmp_path, monkeypatch) -> pytest.MonkeyPatch:
    """The environment of a deployment's process."""
    root, sha256 = model
    for name in ("APPLICATIONINSIGHTS_CONNECTION_STRING", "CREDIT_DEFAULT_TELEMETRY", "AML_APP_INSIGHTS_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AZUREML_MODEL_DIR": str(root),
        "CREDIT_DEFAULT_MODEL_NAME": "credit-card-default",
        "CREDIT_DEFAULT_MODEL_VERSION": "3",
        "CREDIT_DEFAULT_MODEL_SHA256": sha256,
        "CREDIT_DEFAULT_MANIFEST_SHA256": trained.registered(root / "3").manifest_text,
        "CREDIT_DEFAULT_COLLECTION_PUBLIC_KEY": KEYS.public(),
        "CREDIT_DEFAULT_TELEMETRY_FOLDER": str(tmp_path / "telemetry"),
    }.items():
        monkeypatch.setenv(name, value)
    yield monkeypatch
    online_scoring.close()


@pytest.fixture
def ask(environment):
    online_scoring.init()

    def post(body: object) -> tuple[int, dict]:
        response = online_scoring.run(body if isinstance(body, str) else json.dumps(body))
        assert isinstance(response, flask.Response)
        assert response.mimetype == "application/json"
        return response.status_code, response.get_json()

    return post


@pytest.fixture
def collected(tmp_path):
    """What lies in the telemetry folder, opened."""

    def look() -> list:
        file = tmp_path / "telemetry" / "traces.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [open_message(json.loads(line)["message"], KEYS) for line in lines]

    return look


def test_each_client_gets_the_models_probability_in_the_order_of_the_request(ask):
    rows = trained.parts()["test"].select(tables.schema().names)
    status, told = ask(rows.slice(0, 50).to_pylist())
    assert status == 200
    assert told.keys() == {"request_id", "model_name", "model_version", "predictions"}
    assert (told["model_name"], told["model_version"]) == ("credit-card-default", "3")
    expected = trained.model().probabilities(rows.slice(0, 50))
    assert [row["client_id"] for row in told["predictions"]] == rows[CLIENT_ID].to_pylist()[:50]
    np.testing.assert_allclose(
        [row["probability_of_default"] for row in told["predictions"]], expected, rtol=0, atol=1e-12
    )
    threshold = trained.model().threshold
    assert [row["predicted_default"] for row in told["predictions"]] == [value >= threshold for value in expected]


def test_a_client_is_called_what_the_request_calls_it(ask):
    row = client(0)
    del row[CLIENT_ID]
    names = [{"client_id": " A "}, {"id": 17}, {"ID": "x", "branch": "north"}, {}, {"client_id": None}]
    _, told = ask({"data": [{**row, **name} for name in names]})
    assert [prediction["client_id"] for prediction in told["predictions"]] == [" A ", 17, "x", None, None]


def test_what_was_accepted_is_collected_once_and_a_smoke_test_is_not(ask, collected, model):
    golden = golden_request(model)
    _, told = ask(clients(3))
    assert ask(json.loads(golden))[0] == 200
    assert ask({"data": clients(2, start=3)})[0] == 200
    first, second = collected()
    assert first.request.request_id == told["request_id"]
    assert (first.request.model_name, first.request.model_version) == ("credit-card-default", "3")
    assert [row[CLIENT_ID] for row in first.rows] == [row[CLIENT_ID] for row in clients(3)]
    assert first.rows[0].keys() == {CLIENT_ID, *FEATURE_NAMES}
    assert len(second.rows) == 2


def test_no_caller_can_mark_a_request_as_a_smoke_test(ask, collected, model):
    golden = json.loads(golden_request(model))["data"]
    assert ask({"data": clients(2), "smoke_test": True})[0] == 400
    others = (golden[:-1], [*golden, *clients(1)], golden[::-1], [{**golden[0], "client_id": "a"}, *golden[1:]])
    assert [ask(other)[0] for other in others] == [200] * 4
    assert sorted(len(part.rows) for part in collected()) == sorted(map(len, others))


def test_nobody_asked_about_is_answered_with_nothing(ask, collected):
    status, told = ask([])
    assert (status, told["predictions"], collected()) == (200, [], [])


NO_FORM = [
    "",
    "hunter2",
    '"hunter2"',
    "17",
    "null",
    "{}",
    '{"clients": []}',
    '{"data": {}}',
    '{"data": [], "smoke_test": true}',
    '[{"age": NaN}]',
    '[{"age": Infinity}]',
    '[{"age": 30, "age": 40}]',
    '["hunter2"]',
    "[[]]",
    "[" * 100_000,
    "[" + "9" * 10_000 + "]",
]


@pytest.mark.parametrize("body", NO_FORM, ids=range(len(NO_FORM)))
def test_what_is_no_json_or_of_another_form_is_refused_with_what_is_expected(ask, body, collected):
    status, told = ask(body)
    assert status == 400
    assert "a JSON array of clients" in told["message"]
    assert "hunter2" not in json.dumps(told)
    assert collected() == []


def test_too_many_clients_are_refused_and_as_many_as_are_allowed_are_not(ask, collected):
    status, told = ask(clients(1) * 1001)
    assert status == 413
    assert told["message"].startswith("got 1,001 clients; expected at most 1,000")
    assert ask(clients(1) * 1000)[0] == 200
    assert sum(len(part.rows) for part in collected()) == 1000


def test_clients_that_break_the_contract_are_told_by_row_and_nothing_is_scored(ask, collected, capfd, caplog):
    rows = clients(4)
    rows[1] |= {"age": "hunter2", "sex": 1}
    rows[2] |= {"age": 4711, "education": "hunter2"}
    del rows[3]["marriage"]
    status, told = ask(rows)
    assert status == 422
    assert told["message"] == "3 of 4 clients break the contract; nothing was scored"
    assert told["problems"] == [
        {"row": 2, "reason": "sex: not text"},
        {"row": 2, "reason": "age: not a number"},
        {"row": 3, "reason": "education: unknown category"},
        {"row": 3, "reason": "age: above the maximum 120"},
        {"row": 4, "reason": "marriage: is absent (null is a missing value)"},
    ]
    said = json.dumps(told) + caplog.text + "".join(capfd.readouterr())
    assert "hunter2" not in said
    assert "4711" not in said
    assert collected() == []


def test_clients_in_an_address_are_not_scored(ask):
    with flask.Flask("server").test_request_context("/score?data=[]", method="GET"):
        status, told = ask({"data": []})
    assert (status, told["message"].split(" with ")[0]) == (405, "expected POST")


def test_a_defect_of_ours_is_answered_and_logged_by_its_kind_alone(ask, environment, caplog, capfd):
    def broken(*_):
        raise ValueError("could not convert 'hunter2'")

    environment.setattr(online_scoring.json_rows, "check_rows", broken)
    status, told = ask(clients(1))
    assert status == 500
    assert told["message"] == "scoring ended in ValueError, a defect of this program"
    assert "hunter2" not in caplog.text + "".join(capfd.readouterr())
    assert "scoring ended in ValueError" in caplog.text


def test_a_disk_that_takes_nothing_changes_no_answer_and_is_told(ask, tmp_path, caplog):
    (tmp_path / "telemetry").write_text("a file where the folder should be")
    with caplog.at_level(logging.ERROR):
        status, told = ask(clients(2))
    assert (status, len(told["predictions"])) == (200, 2)
    assert f"request {told['request_id']} was answered and not collected: FileExistsError" in caplog.text


@pytest.mark.parametrize("value", ["true", "True", "1", "yes", " on "])
def test_a_server_that_logs_clients_in_clear_does_not_start(environment, value):
    environment.setenv("AML_APP_INSIGHTS_ENABLED", value)
    with pytest.raises(SettingsError, match="`app_insights_enabled: false`"):
        online_scoring.init()


def test_a_server_that_logs_nothing_starts(environment):
    environment.setenv("AML_APP_INSIGHTS_ENABLED", "false")
    online_scoring.init()


NEEDED = [
    "AZUREML_MODEL_DIR",
    "CREDIT_DEFAULT_MODEL_NAME",
    "CREDIT_DEFAULT_MODEL_VERSION",
    "CREDIT_DEFAULT_MODEL_SHA256",
    "CREDIT_DEFAULT_MANIFEST_SHA256",
    "CREDIT_DEFAULT_COLLECTION_PUBLIC_KEY",
    "CREDIT_DEFAULT_TELEMETRY_FOLDER",
]


@pytest.mark.parametrize("name", NEEDED)
def test_a_variable_that_is_missing_is_named(environment, name):
    environment.setenv(name, " ")
    with pytest.raises(SettingsError, match=rf"{name}.* is (not )?set"):
        online_scoring.init()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CREDIT_DEFAULT_COLLECTION_PUBLIC_KEY", "hunter2", "CREDIT_DEFAULT_COLLECTION_PUBLIC_KEY is malformed"),
        ("CREDIT_DEFAULT_COLLECTION_PUBLIC_KEY", new_key(), "holds a private key; expected its public part only"),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "hunter2", "APPLICATIONINSIGHTS_CONNECTION_STRING is malformed"),
    ],
    ids=["key", "private", "connection"],
)
def test_a_malformed_variable_is_named_before_anything_is_served_and_not_quoted(environment, name, value, told):
    environment.setenv(name, value)
    with pytest.raises(SettingsError, match=told) as caught:
        online_scoring.init()
    assert value not in str(caught.value)


def test_an_unknown_way_to_send_is_refused_with_those_there_are(environment):
    environment.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", "looked at later")
    environment.setenv("CREDIT_DEFAULT_TELEMETRY", "pigeon")
    with pytest.raises(
        SettingsError, match="CREDIT_DEFAULT_TELEMETRY is 'pigeon'; set it to opencensus or opentelemetry"
    ):
        online_scoring.init()


def test_no_other_model_than_the_registered_one_is_loaded(environment, tmp_path):
    environment.setenv("CREDIT_DEFAULT_MODEL_SHA256", "0" * 64)
    with pytest.raises(HashMismatch):
        online_scoring.init()
    environment.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    with pytest.raises(NotThere, match=r"holds no manifest\.json"):
        online_scoring.init()


LOADED_AS_AZURE_ML_DOES = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("entry_module", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.init()
print(module.run("[]").status_code)
print([name for name in ("dagster", "azure", "mlflow", "evidently") if name in sys.modules])
"""


@pytest.mark.slow
def test_the_script_is_loaded_from_its_file_as_azure_mls_server_does_and_imports_nothing_of_dagster(environment):
    script = Path(online_scoring.__file__)
    done = subprocess.run(
        [sys.executable, "-c", LOADED_AS_AZURE_ML_DOES, str(script)],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["200", "[]"]
