"""`credit-default run`: what cannot be run is a usage error before anything starts, in a line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from credit_default.cli.main import main
from credit_default.definitions import defs
from credit_default.defs.automation.jobs import JOBS

FUTURE = "2999-01-01"


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("CREDIT_DEFAULT_ENV", "CREDIT_DEFAULT_START"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def refused(*arguments) -> str:
    """What is told about wrong usage: one line after the usage itself."""
    result = CliRunner().invoke(main, ["run", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert result.stderr.splitlines()[-1] == line
    assert line.endswith(".")
    return line


def test_every_job_of_the_definitions_can_be_run():
    defined = {job.name for job in defs.get_repository_def().get_all_jobs()}
    assert {job.name for job in JOBS} == {name for name in defined if not name.startswith("__")}


def test_the_help_names_every_job_with_what_it_does():
    told = CliRunner().invoke(main, ["run", "-h"]).output
    for job in JOBS:
        assert f"\n  {job.name} " in told
    assert "..." not in told.partition("Jobs:")[2]


WRONG = {
    ("nonsense",): "'nonsense' is no job; expected one of train_model, ",
    ("score_batch",): "score_batch works on days; give --day, or --from and --to.",
    ("train_model", "--day", "2026-01-01"): "train_model does not work on days; leave out",
    ("score_batch", "--day", "01.02.2026"): "'01.02.2026' is no day; expected YYYY-MM-DD.",
    ("score_batch", "--day", "20260102"): "'20260102' is no day; expected YYYY-MM-DD.",
    ("score_batch", "--day", "2024-12-31"): "2024-12-31 is out of range; expected a day from 2025-01-01 to today, ",
    ("outcomes",): "'outcomes' is no job",
    ("judge_predictions", "--day", FUTURE): f"{FUTURE} is out of range; expected a day from 2025-01-01 to ",
    ("judge_predictions", "--from", "2026-01-01", "--to", FUTURE): f"{FUTURE} is out of range",
    ("score_batch", "--from", "2026-01-02", "--to", "2026-01-01"): "--from is 2026-01-02, after --to, 2026-01-01",
    ("score_batch", "--from", "2026-01-02"): "--from and --to go together",
    ("score_batch", "--to", "2026-01-02"): "--from and --to go together",
    ("score_batch", "--day", "2026-01-02", "--to", "2026-01-02"): "give one or the others",
}


@pytest.mark.parametrize(("arguments", "told"), WRONG.items(), ids=[" ".join(arguments) for arguments in WRONG])
def test_a_job_or_day_that_cannot_be_run_is_wrong_usage_and_nothing_is_made(home, arguments, told):
    assert told in refused(*arguments)
    assert not home.exists()


FILES = {
    "not there": (None, "cannot be read (No such file or directory)"),
    "no YAML": ("ops: [", "is neither YAML nor JSON: "),
    "no JSON": ("ops: {}", "is neither YAML nor JSON: "),
    "JSON with tabs": ('{\t"ops": {"nonsense": {}}}', 'unexpected config entry "nonsense" at path root:ops'),
    "no text": (b"\xff\xfe", "is neither YAML nor JSON: "),
    "a list": ("- 1", "holds a list; expected a mapping"),
    "a date": ("ops: 2026-01-01", "holds a value that JSON does not know"),
    "no asset": ("ops: {nonsense: {}}", 'unexpected config entry "nonsense" at path root:ops'),
    "no option": ("ops: {trained_model: {config: {seeed: 1}}}", 'entry "seeed" at path root:ops:trained_model:config'),
    "another type": ("ops: {trained_model: {config: {trials: many}}}", "at path root:ops:trained_model:config:trials"),
    "out of bounds": (
        "ops: {trained_model: {config: {trials: 0}}}",
        "Input should be greater than or equal to 1 at path root:ops:trained_model:config:trials.",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_run_configuration_that_does_not_fit_is_wrong_usage_and_nothing_is_made(home, tmp_path, kind):
    content, told = FILES[kind]
    file = tmp_path / f"config.{'json' if 'JSON' in kind else 'yaml'}"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert told in refused("train_model", "--config", file)
    assert not home.exists()
