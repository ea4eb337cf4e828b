"""The command: it says what it can do, does it, and tells errors in a line."""

from __future__ import annotations

import csv
import errno
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from credit_default import __version__, tracing
from credit_default.cli import dev_server
from credit_default.cli.main import main
from credit_default.telemetry.records import TraceRecord
from credit_default.telemetry.traces import TraceLog
from credit_default_tests import CHECKOUT
from credit_default_tests.settings_of_azure import AZURE_SETTINGS

COMMANDS = sorted(main.commands)
#: Those below another one, by its name and their own.
BELOW = [(name, below) for name in COMMANDS for below in sorted(getattr(main.commands[name], "commands", {}))]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    for name in ("CREDIT_DEFAULT_ENV", "CREDIT_DEFAULT_START", "APPLICATIONINSIGHTS_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def call(home):
    def run(*arguments: str, given: str | None = None):
        return CliRunner().invoke(main, list(map(str, arguments)), input=given)

    return run


def told(result) -> str:
    """The one line of an error."""
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "an error is told, not traced back"
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    return line


def test_the_promised_commands_are_there():
    assert {"demo", "sample-data", "score", "models", "query", "trace"} <= set(COMMANDS)
    of_models = {below for name, below in BELOW if name == "models"}
    assert of_models == {"history", "champion", "approve", "refuse", "rollback"}


@pytest.mark.parametrize("names", [*((name,) for name in COMMANDS), *BELOW], ids=" ".join)
def test_every_command_and_every_option_says_what_it_does(call, names):
    result = call(*names, "--help")
    assert result.exit_code == 0
    command = main
    for name in names:
        command = command.commands[name]
    assert len(command.help) > 20
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("names", [(), ("deploy",), ("deploy", "model"), ("models",)], ids=" ".join)
def test_the_help_of_a_group_says_of_each_command_what_it_does_to_the_end(call, names):
    listed = call(*names, "-h").output.partition("Commands:")[2]
    assert "..." not in listed
    group = main
    for name in names:
        group = group.commands[name]
    assert group.commands
    for command in group.commands.values():
        sentence = " ".join(command.help.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
        assert sentence in " ".join(listed.split())


def test_help_lists_every_command_and_the_version_is_told(call):
    listed = call("--help").output
    assert all(f"  {name} " in listed for name in COMMANDS)
    assert call("-h").output == listed
    assert __version__ in call("--version").output


def rows_of(folder: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for path in sorted(folder.rglob("*.csv")):
        with path.open(newline="") as stream:
            rows += csv.DictReader(stream)
    return rows


def test_sample_data_is_written_for_each_day_once(call, tmp_path):
    landing = tmp_path / "landing"
    arguments = ("sample-data", "--landing", landing, "--until", "2026-01-30", "--days", "6", "--shift-from-day", "5")
    first = call(*arguments)
    assert first.exit_code == 0, first.output
    batch, outcomes = landing / "inference" / "batch", landing / "outcomes"
    assert sorted(path.name for path in batch.iterdir() if path.is_dir()) == [f"2026-01-{day}" for day in range(25, 31)]
    assert sorted(path.name for path in outcomes.iterdir()) == [f"2026-01-{day}" for day in range(25, 29)]
    clients = [row["client_id"] for row in rows_of(batch)]
    assert len(clients) == len(set(clients))
    assert f"{len(clients):,} clients over 6 days, 2026-01-25 to 2026-01-30" in first.output
    assert "NT$ on 2 days from 2026-01-29" in first.output

    before = {path: path.stat().st_mtime_ns for path in landing.rglob("*")}
    assert "0 files written" in call(*arguments).output
    assert {path: path.stat().st_mtime_ns for path in landing.rglob("*")} == before


def test_sample_data_ends_yesterday_and_lands_in_the_lake_by_default(call, home):
    assert call("sample-data", "--days", "2").exit_code == 0
    days = sorted(path.name for path in (home / "lake" / "landing" / "inference" / "batch").iterdir() if path.is_dir())
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert days == [(yesterday - timedelta(days=1)).isoformat(), yesterday.isoformat()]


def test_a_malformed_option_is_told_with_the_usage(call):
    result = call("sample-data", "--until", "tomorrow")
    assert result.exit_code == 2
    assert "tomorrow" in result.stderr
    assert "%Y-%m-%d" in result.stderr


@pytest.mark.parametrize("name", ["nonsense", "0123456789abcdef-0", "../../0123456789abcdef-1"])
def test_what_is_no_prediction_id_is_told_with_the_usage(call, home, name):
    result = call("trace", name)
    assert result.exit_code == 2
    assert "is no prediction_id; expected 16 hex digits, a hyphen and a number from 1" in result.stderr
    assert not home.exists()


def test_a_file_that_the_system_does_not_let_be_read_is_no_alteration(call, monkeypatch):
    def refused(*_):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", "lake/taken_in/inference_data/2026-01-01.json")

    monkeypatch.setattr(tracing, "trace", refused)
    result = call("trace", "0123456789abcdef-1")
    assert result.exit_code == 3
    assert result.stderr.splitlines() == [
        "Error: the prediction cannot be examined. lake/taken_in/inference_data/2026-01-01.json: Is a directory."
    ]


@pytest.fixture
def traces(home) -> None:
    log = TraceLog(home / "telemetry" / "traces.jsonl")
    log.append([TraceRecord(f"message {n}", n, {"event_key": str(n)}) for n in range(3)])


def test_a_query_prints_a_table_or_a_document_a_row(call, traces):
    query = "traces | where severityLevel > 0 | project message, severityLevel | order by severityLevel asc"
    table = call("query", query)
    assert table.exit_code == 0
    assert "message 2" in table.output
    assert "message 0" not in table.output
    assert "2 rows" in table.output
    documents = call("query", query, "--json").stdout.splitlines()
    assert [json.loads(line) for line in documents] == [
        {"message": "message 1", "severityLevel": 1},
        {"message": "message 2", "severityLevel": 2},
    ]
    assert call("query", "-", "--json", given=query).stdout.splitlines() == documents


def test_a_query_before_anything_was_recorded_finds_no_rows(call):
    result = call("query", "traces | take 5")
    assert result.exit_code == 0
    assert "0 rows" in result.output


QUESTIONS = {
    "query": ("traces",),
    "models": (),
    "models history": (),
    "models champion": (),
    "trace": ("0123456789abcdef-1",),
    "score": ("a.csv", "b.parquet"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_where_nothing_is_yet_says_where_it_looked_and_creates_nothing(call, home, question):
    result = call(*question.split(), *QUESTIONS[question])
    assert str(home) in result.stderr.replace("\n", "")
    assert not home.exists()


@pytest.mark.slow
def test_a_question_from_another_folder_is_about_the_home_of_the_checkout(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CREDIT_", "DAGSTER_"))}
    command = Path(sys.executable).with_name("credit-default")
    home = CHECKOUT / ".credit_default"
    done = subprocess.run(
        # Of 1970, so that nothing is found in a home that is in use.
        [command, "query", "traces | where timestamp < datetime(1970-01-02)", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert done.stderr.startswith(f"Looked in {home}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("demo",), ("sample-data",), ("dev",)])
@pytest.mark.parametrize("place", ["below a file", "where root may not write either"])
def test_a_home_that_cannot_be_made_is_told_in_a_line(call, monkeypatch, tmp_path, arguments, place):
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home" if place == "below a file" else Path("/proc/home")
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(home))
    assert told(call(*arguments)).startswith(f"Error: CREDIT_DEFAULT_HOME is {home}, ")


def test_the_ui_opens_from_any_folder_since_the_server_runs_in_the_checkout(call, monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(dev_server, "run", lambda command, *, folder: started.append((command, folder)) or 0)
    monkeypatch.chdir(tmp_path)
    assert call("dev", "--port", "3456", "--log-level", "error").exit_code == 0
    monkeypatch.setattr("credit_default.cli.main.checkout", lambda: None)  # an installed wheel
    assert call("dev", "--port", "3456").exit_code == 0
    (dg, *rest), folder = started[0]
    assert (Path(dg).name, *rest[:1], folder) == ("dg", "dev", CHECKOUT)
    assert rest[1:] == ["--host", "127.0.0.1", "--port", "3456", "--log-level", "error"]
    (dagster, *rest), folder = started[1]
    assert (Path(dagster).name, *rest[:3], folder) == ("dagster", "dev", "-m", "credit_default.definitions", None)


@pytest.mark.parametrize("port", ["0", "99999"])
def test_a_port_that_is_none_is_wrong_usage(call, monkeypatch, port):
    monkeypatch.setattr(dev_server, "run", lambda *_, **__: 0)
    result = call("dev", "--port", port)
    assert result.exit_code == 2
    assert "is not in the range" in result.stderr


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_port_that_is_taken_is_told_before_anything_is_started(call, monkeypatch, command):
    monkeypatch.setattr(dev_server, "run", lambda *_, **__: pytest.fail("it was started"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = told(call(command, "--port", str(port)))
    assert line.startswith(f"Error: Port {port} of 127.0.0.1 cannot be used (Address already in use); end what listens")


@pytest.mark.parametrize("value", ["[/oops]", "[bold]", "[null] and [red]text", "a | b"])
def test_values_are_shown_as_they_are_whatever_brackets_they_hold(call, home, value):
    TraceLog(home / "telemetry" / "traces.jsonl").append([TraceRecord(value, 1, {"event_key": "k"})])
    result = call("query", "traces | project message")
    assert result.exit_code == 0, result.output
    assert value in result.output
    long = call("query", f"traces | project message, padding = '{'x' * 200}'")
    assert value in long.output


def test_a_query_that_cannot_be_run_here_says_what_can(call):
    line = told(call("query", "traces | make-series n = count() on timestamp step 1d"))
    assert line.startswith("Error: ")
    assert "make-series" in line


def test_a_malformed_query_is_told_in_a_line(call):
    assert call("query", "traces | where (").stderr.startswith("Error: ")
    assert call("query", "traces | where (").exit_code == 1


@pytest.mark.slow
def test_scoring_before_a_model_is_live_says_what_to_do(call, tmp_path, home):
    (tmp_path / "clients.csv").write_text("client_id\nA\n")
    line = told(call("score", tmp_path / "clients.csv", tmp_path / "out.parquet"))
    assert f"Error: Nothing is deployed to credit-card-default-be in {home}; run `credit-default demo`" in line
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("out", ["scored", "scored.txt", "scored.csv.gz", "clients.csv", "folder.csv"])
def test_an_output_that_is_no_csv_or_parquet_file_of_its_own_is_wrong_usage(call, tmp_path, out):
    (tmp_path / "clients.csv").write_text("client_id\nA\n")
    (tmp_path / "folder.csv").mkdir()
    result = call("score", tmp_path / "clients.csv", tmp_path / out)
    assert result.exit_code == 2
    assert f"Error: Invalid value for OUT: '{tmp_path / out}' " in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clients.csv", "folder.csv"]


@pytest.mark.slow
def test_an_empty_registry_lists_no_models(call):
    result = call("models")
    assert result.exit_code == 0, result.output
    assert "0 rows" in result.output
    assert call("models", "--json").stdout == ""


def test_before_anything_was_live_the_ledger_says_nothing(call):
    assert "0 lines" in call("models", "history").output
    assert call("models", "history", "--json").stdout == ""
    assert "By the ledger of promotions nothing was live at 2" in told(call("models", "champion"))
    assert "nothing is entered in file:///" in told(call("models", "champion"))


@pytest.mark.parametrize(
    "arguments", [("query", "traces"), ("models",), ("score", "a.csv", "b.parquet"), ("sample-data",), ("demo",)]
)
def test_a_malformed_setting_is_told_in_one_line_by_every_command(call, monkeypatch, arguments):
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "prod")
    monkeypatch.setenv("CREDIT_DEFAULT_START", "soon")
    line = told(call(*arguments))
    assert line.startswith("Error: CREDIT_DEFAULT_ENV is 'prod'; set it to one of local, ")
    assert "CREDIT_DEFAULT_START is 'soon'" in line


def test_help_needs_no_settings(call, monkeypatch):
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "prod")
    assert call("--help").exit_code == 0
    assert call("demo", "--help").exit_code == 0


@pytest.mark.parametrize("arguments", [("models",), ("score", "a.csv", "b.parquet")])
def test_commands_that_need_an_azure_environment_name_every_setting_that_is_missing(call, monkeypatch, arguments):
    for name in AZURE_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "production")
    result = call(*arguments)
    assert result.exit_code == 1
    assert "Error: 8 settings of this Azure environment are missing or malformed" in result.stderr
    assert all(f"- {name} is not set" in result.stderr for name in AZURE_SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [("prod", "CREDIT_DEFAULT_ENV is 'prod'"), ("production", "The demo lets made-up days arrive and trains")],
)
def test_the_installed_command_tells_a_wrong_environment_in_one_line(tmp_path, name, told):
    # In a fresh process, where the modules that read the settings when imported are not loaded yet.
    done = subprocess.run(
        [Path(sys.executable).with_name("credit-default"), "demo"],
        env={**os.environ, "CREDIT_DEFAULT_ENV": name, "CREDIT_DEFAULT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"Error: {told}")


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_demo_does_not_touch_an_environment_that_others_rely_on(call, monkeypatch, home, environment):
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", environment)
    line = told(call("demo"))
    assert f"CREDIT_DEFAULT_ENV is '{environment}'; unset it, or set it to 'local' or 'development'" in line
    assert not home.exists()


def test_what_only_makes_sense_on_this_machine_is_refused_in_an_azure_environment(call, monkeypatch, home):
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "staging")
    line = told(call("sample-data"))
    assert "on this machine" in line
    assert "CREDIT_DEFAULT_ENV is 'staging', an Azure environment; unset it" in line
    assert not home.exists()


def test_sample_data_can_be_written_anywhere_in_an_azure_environment(call, monkeypatch, tmp_path):
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "staging")
    assert call("sample-data", "--landing", tmp_path / "sample", "--days", "2").exit_code == 0
    assert any((tmp_path / "sample").rglob("*.csv"))


def test_a_collection_key_is_printed_alone_and_is_a_new_one_each_time(call, home):
    first, second = (call("collection-key").stdout for _ in range(2))
    key = json.loads(first)
    assert {"kty": "EC", "crv": "P-256"}.items() <= key.items()
    assert key["d"] != json.loads(second)["d"]
    assert first.count("\n") == 1
    assert not home.exists(), "it is nobody's yet"


def test_the_live_model_is_served_on_this_machine_only(call, monkeypatch, home):
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "staging")
    assert "CREDIT_DEFAULT_ENV is 'staging', an Azure environment; unset it" in told(call("serve"))
    assert not home.exists()


@pytest.mark.slow
def test_serving_before_a_model_is_live_says_what_to_do(call):
    assert told(call("serve")).startswith("Error: Nothing is deployed to credit-card-default-be in /")


def test_a_name_from_outside_in_what_a_query_shows_does_nothing_to_the_terminal(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path))
    (tmp_path / "telemetry").mkdir()
    row = {"timestamp": "2026-01-01T00:00:00Z", "message": "a\x1b]0;title\x07.csv", "severityLevel": 1}
    (tmp_path / "telemetry" / "traces.jsonl").write_text(json.dumps({**row, "customDimensions": {}}) + "\n")
    done = CliRunner().invoke(main, ["query", "traces | project message"])
    assert r"a\x1b]0;title\x07.csv" in done.output
    assert "\x1b" not in done.output
