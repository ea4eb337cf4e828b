"""A file of settings is the whole of what tells its environment from another, but for secrets and who we are."""

from __future__ import annotations

import os

import pytest

from credit_default.deploy.settings_file import entered, read
from credit_default.errors import SettingsError
from credit_default_tests.settings_of_azure import AZURE_SETTINGS

SHELL = {
    "PATH": "/bin",
    "AZURE_CLIENT_ID": "who we are",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "who tells it",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "what we ask with",
    "AZURE_ML_WORKSPACE": "ws-of-the-shell",
    "CREDIT_DEFAULT_BATCH_ENDPOINT": "be-of-the-shell",
    "CREDIT_DEFAULT_ENV": "production",
    "CREDIT_DEFAULT_COLLECTION_KEY": "secret",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "of the shell",
}


def put(tmp_path, text: str):
    path = tmp_path / "staging.env"
    path.write_text(text)
    return path


def test_nothing_of_another_environment_gets_through_but_secrets_and_who_we_are(tmp_path):
    path = put(
        tmp_path,
        "# staging\nCREDIT_DEFAULT_ENV=staging\nAZURE_RESOURCE_GROUP='rg-$HOME'\nCREDIT_DEFAULT_SPOT=\n"
        "AZURE_CLIENT_ID=the orchestrator\n",
    )
    assert read(path, SHELL) == {
        "PATH": "/bin",
        "AZURE_CLIENT_ID": "who we are",
        "ACTIONS_ID_TOKEN_REQUEST_URL": "who tells it",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "what we ask with",
        "CREDIT_DEFAULT_ENV": "staging",
        "AZURE_RESOURCE_GROUP": "rg-$HOME",
        "CREDIT_DEFAULT_SPOT": "",
        "CREDIT_DEFAULT_COLLECTION_KEY": "secret",
        "APPLICATIONINSIGHTS_CONNECTION_STRING": "of the shell",
    }


def test_every_setting_of_an_azure_environment_is_read_as_it_is_written(tmp_path):
    told = {"CREDIT_DEFAULT_ENV": "development", **AZURE_SETTINGS}
    path = put(tmp_path, "".join(f"{name}={value}\n" for name, value in told.items()))
    assert told.items() <= read(path, SHELL).items()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("AZURE_ML_WORKSPACE=ws\n", "does not set CREDIT_DEFAULT_ENV; set it to development, staging or production"),
        ("CREDIT_DEFAULT_ENV=local\n", "does not set CREDIT_DEFAULT_ENV"),
        ("CREDIT_DEFAULT_ENV=prod\n", "CREDIT_DEFAULT_ENV is 'prod'; set it to one of"),
        ("CREDIT_DEFAULT_ENV=staging\nAZURE_ML_WORKSPACE\n", "no settings: AZURE_ML_WORKSPACE; expected NAME=value"),
    ],
)
def test_a_file_that_names_no_azure_environment_is_refused(tmp_path, text, told):
    with pytest.raises(SettingsError, match=told):
        read(put(tmp_path, text), SHELL)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.env is not there; expected a file"):
        read(tmp_path / "nowhere.env", SHELL)
    (tmp_path / "binary.env").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"binary\.env cannot be read \(UnicodeDecodeError\)"):
        read(tmp_path / "binary.env", SHELL)


def test_the_process_is_as_before_whatever_happens_inside(monkeypatch):
    monkeypatch.setenv("AZURE_ML_WORKSPACE", "ws-of-the-shell")
    before = dict(os.environ)

    def fail() -> None:
        with entered({"CREDIT_DEFAULT_ENV": "staging"}):
            assert dict(os.environ) == {"CREDIT_DEFAULT_ENV": "staging"}
            os.environ["LEFT"] = "behind"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert dict(os.environ) == before
