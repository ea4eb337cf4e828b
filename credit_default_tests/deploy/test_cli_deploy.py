"""The commands below `credit-default deploy`: what they say of themselves, and refuse before anybody is asked."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from credit_default.cli.deploy import deploy
from credit_default.cli.main import main
from credit_default_tests.settings_of_azure import AZURE_SETTINGS

NESTED = [(name, below) for name, group in deploy.commands.items() for below in getattr(group, "commands", {})]
CHANGE_SOMETHING = [
    *(("environments",), ("data-assets",), ("endpoint",), ("train",), ("deployment",), ("online",)),
    *(("model", "share"), ("model", "promote", "1"), ("invoke", "2026-01-31")),
]


@pytest.fixture
def call(tmp_path, monkeypatch):
    for name in (*AZURE_SETTINGS, "CREDIT_DEFAULT_ENV", "CREDIT_DEFAULT_START"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path / "home"))
    return lambda *arguments: CliRunner().invoke(main, ["deploy", *map(str, arguments)])


@pytest.fixture
def staging(tmp_path):
    path = tmp_path / "staging.env"
    told = {**AZURE_SETTINGS, "CREDIT_DEFAULT_ENV": "staging", "CREDIT_DEFAULT_HOME": str(tmp_path / "staging")}
    path.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    return path


def test_the_promised_commands_are_there():
    promised = {"environments", "data-assets", "endpoint", "train", "deployment", "online", "model", "status", "invoke"}
    assert set(deploy.commands) == promised
    assert {below for _, below in NESTED} == {"share", "promote"}


@pytest.mark.parametrize("names", NESTED, ids=" ".join)
def test_nested_commands_say_what_they_and_their_options_do(call, names):
    assert call(*names, "--help").exit_code == 0
    command = deploy.commands[names[0]].commands[names[1]]
    assert len(command.help) > 20
    assert all(one.help for one in command.params if isinstance(one, click.Option))


@pytest.mark.parametrize("arguments", CHANGE_SOMETHING, ids=" ".join)
def test_whatever_changes_something_can_be_tried_first(call, arguments):
    told = call(*arguments, "--help").output
    assert "--dry-run" in told
    assert "--json" in told


@pytest.mark.parametrize("arguments", CHANGE_SOMETHING, ids=" ".join)
def test_commands_work_on_azure_environments_only(call, arguments):
    result = call(*arguments)
    assert result.exit_code == 1
    assert "Error: Deploy commands work on an Azure environment, and CREDIT_DEFAULT_ENV is" in result.stderr


def test_wrong_usage_has_an_exit_code_of_its_own(call, staging):
    assert call("model", "promote").exit_code == 2
    assert call("invoke", "yesterday").exit_code == 2
    assert call("deployment", "--reason", " ").exit_code == 2
    twice = call("--settings", staging, "--settings", staging, "endpoint")
    assert twice.exit_code == 2
    assert "which only `deploy status` takes" in twice.stderr


def test_settings_that_are_missing_are_named_all_at_once(call, tmp_path):
    path = tmp_path / "few.env"
    path.write_text("CREDIT_DEFAULT_ENV=production\n")
    result = call("--settings", path, "endpoint")
    assert result.exit_code == 1
    assert all(f"- {name} is not set" in result.stderr for name in AZURE_SETTINGS)


def test_nothing_is_shared_or_promoted_from_where_it_does_not_belong(call, staging, tmp_path):
    wrong = call("--settings", staging, "model", "promote", "1")
    assert wrong.exit_code == 1
    assert "Versions are promoted to production, and CREDIT_DEFAULT_ENV is 'staging'; set it to 'prod" in wrong.stderr
    production = tmp_path / "production.env"
    production.write_text(staging.read_text().replace("ENV=staging", "ENV=production"))
    assert "staging, and CREDIT_DEFAULT_ENV is 'production'" in call("--settings", production, "model", "share").stderr


@pytest.mark.parametrize("day", ["2024-12-31", "9999-12-31"])
def test_a_day_that_is_none_of_ours_is_refused(call, staging, day):
    result = call("--settings", staging, "invoke", day)
    assert result.exit_code == 1
    assert f"Error: {day} is no day of ours; expected one from 2025-01-01 to today" in result.stderr


def test_an_environment_without_settings_says_so(call):
    result = call("status", "--json")
    assert result.exit_code == 0
    missing = {"problem": "no settings", "given": False}
    told = json.loads(result.stdout)
    assert told == {"environments": dict.fromkeys(["development", "staging", "production"], missing), "registries": {}}
    assert call("status").output.count("no settings") == 3


def test_two_files_for_one_environment_are_refused(call, staging):
    result = call("--settings", staging, "--settings", staging, "status")
    assert result.exit_code == 1
    assert "is the second file with settings of staging; name one of them" in result.stderr


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from credit_default.cli.main import main; print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.replace("'", "").strip("[]\n").split(", "))
    assert "click" in loaded
    assert loaded & {"dagster", "azure", "pandas", "pyarrow", "rich", "dotenv", "pydantic"} == set()
