"""Documents say what is there: links, paths, commands and tables of every page are checked against the code."""

from __future__ import annotations

import importlib.util
import json
import posixpath
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import dagster as dg
import pytest
import yaml
from click.testing import CliRunner

from credit_default import settings
from credit_default.cli.main import main
from credit_default.core.scoring.predictions import PREDICTIONS
from credit_default.core.variables import VariableReader
from credit_default.defs.automation.jobs import JOBS
from credit_default.erasure.personal_data import PLACES, WITHOUT
from credit_default.runs.run_config import check_config
from credit_default.runs.run_job import job_named
from credit_default.settings import azure as azure_settings
from credit_default.telemetry import collected_inputs, records
from credit_default.telemetry.kql import kql
from credit_default_tests import CHECKOUT
from credit_default_tests.deploy.deployed import QUERIES
from credit_default_tests.settings_of_azure import AZURE_SETTINGS

MAX_LINES = 200
#: Programs whose lines are not checked; the pages say that they were never run.
OTHERS = {"az", "curl", "docker", "gh"}
#: Fields of an asset's run configuration are in a job that has the asset.
CONFIGURED = "train_model"


def tracked() -> list[str]:
    """Every file that belongs to the repository, also one that is not committed yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return sorted({name for name in done.stdout.split("\0") if name and (CHECKOUT / name).is_file()})


FILES = tracked()
FOLDERS = {str(parent) for name in FILES for parent in Path(name).parents}
DOCUMENTS = [name for name in FILES if name.endswith(".md")]
#: Pages about the project's own commands and files; the others describe what they lie beside.
PAGES = [name for name in DOCUMENTS if name in {"README.md", "CONTRIBUTING.md"} or name.startswith("docs/")]
WITH_COMMANDS = [*PAGES, "SECURITY.md", "credit_default/deploy/hosting/README.md"]


@cache
def text_of(document: str) -> str:
    return (CHECKOUT / document).read_text("utf-8")


def prose(document: str) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", text_of(document), flags=re.DOTALL | re.MULTILINE)


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text_of(document), re.DOTALL | re.MULTILINE)


def anchors(document: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ +(.+?) *#*$", prose(document), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        found[name] = found.get(name, -1) + 1
    return {name if number == 0 else f"{name}-{number}" for name, last in found.items() for number in range(last + 1)}


def table(document: str, header: str) -> list[list[str]]:
    """The cells of the rows of each table whose header begins like this."""
    found = []
    for part in text_of(document).split(f"\n| {header} |")[1:]:
        for line in part.partition("\n\n")[0].splitlines()[2:]:
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.append([cell.strip() for cell in cells])
    return found


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def first_names(document: str, header: str) -> list[str]:
    return [name for row in table(document, header) for name in names(row[0])]


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        linked = posixpath.normpath(posixpath.join(posixpath.dirname(document), path)) if path else document
        there = linked in FILES or linked in FOLDERS
        if not there or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


def test_every_page_is_listed():
    listed = {posixpath.normpath(f"docs/{target}") for target in re.findall(r"\]\(([^)#]+)\)", prose("docs/README.md"))}
    assert {name for name in DOCUMENTS if name.startswith("docs/")} - listed == {"docs/README.md"}


@pytest.mark.parametrize("document", PAGES)
def test_every_source_that_a_page_names_is_there(document):
    """Paths from the top, from the package or from its tests; a name alone is a file of any folder."""
    suffixes = r"(?:py|bicep|kql|ambr|toml|lock)"
    named = set(re.findall(rf"`([\w./-]+\.{suffixes})`", prose(document)))
    bases = (
        "",
        "credit_default/",
        "credit_default/deploy/",
        "credit_default/deploy/infrastructure/",
        "credit_default_tests/",
    )
    known = {Path(name).name for name in FILES}
    missing = [name for name in sorted(named) if not (name in known or any(f"{base}{name}" in FILES for base in bases))]
    assert missing == []


def whole_lines(block: str) -> Iterator[str]:
    """The lines of a shell block; what is quoted over several lines is one."""
    line = ""
    for part in block.splitlines():
        line = f"{line}\n{part}" if line else part.strip()
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quotation goes on
            continue
        if words:
            yield line
        line = ""
    assert not line, line


def commands(document: str) -> Iterator[str]:
    """Every command of a page: the lines of its shell blocks, and what its text quotes."""
    for block in blocks(document, "sh"):
        yield from whole_lines(block.replace("\\\n", " "))
    shown = " ".join(prose(document).split())
    yield from re.findall(r"`((?:credit-default|make|python -m) [^`]+)`", shown)


def program_and_rest(command: str) -> tuple[str, list[str]]:
    words = shlex.split(command.replace("\\|", "|"), comments=True)
    end = next((at for at, word in enumerate(words) if word in {"<", ">", "|", "&&"}), len(words))
    program, *rest = words[:end]
    return program.removeprefix(".venv/bin/"), rest


@pytest.mark.parametrize("document", WITH_COMMANDS)
def test_every_command_that_a_document_speaks_of_is_there_with_its_options(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("development", "staging", "production"):
        values = {"CREDIT_DEFAULT_ENV": name, **AZURE_SETTINGS}
        Path(f"{name}.env").write_text("".join(f"{variable}={value}\n" for variable, value in values.items()))
    for command in commands(document):
        program, words = program_and_rest(command)
        if program != "credit-default" or "..." in words:
            continue
        if words[:1] == ["run"] and "".join(words[1:2]).islower():
            assert words[1] in {job.name for job in JOBS}, command
        asked = CliRunner().invoke(main, [*words, "--help"])
        assert asked.exit_code == 0, f"{command}: {asked.output}"


@pytest.mark.parametrize("document", PAGES)
def test_every_other_program_of_a_page_is_one_of_the_projects(document):
    targets = set(re.findall(r"^([a-z-]+):.*  ## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for command in commands(document):
        program, words = program_and_rest(command)
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets, command
        elif program == "python":
            module = words[1]
            assert words[0] == "-m", command
            assert "<" in module or importlib.util.find_spec(module), command
        else:
            assert program == "credit-default" or program.partition("=$(")[0] == "TOKEN" or program in OTHERS, command


def test_every_target_of_the_makefile_is_in_the_reference():
    targets = set(re.findall(r"^([a-z-]+):.*  ## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    named = {name.removeprefix("make ") for name in first_names("docs/reference/commands.md", "target")}
    assert named == targets - {"help"}


def leaves(command: click.Command, path: str) -> Iterator[str]:
    """The commands that do something by themselves."""
    group = isinstance(command, click.Group)
    if not group or command.invoke_without_command:
        yield path
    if group:
        for name, one in command.commands.items():
            yield from leaves(one, f"{path} {name}")


def test_every_command_is_in_the_reference():
    named = first_names("docs/reference/commands.md", "command")
    assert sorted(named) == sorted(leaves(main, "credit-default"))


class Recorder(VariableReader):
    """Knows which variables were read."""

    def __init__(self) -> None:
        super().__init__({})
        self.read: set[str] = set()

    def text(self, variable: str, default: str = "") -> str:
        self.read.add(variable)
        return super().text(variable, default)


def test_the_reference_of_settings_has_each_of_them():
    everywhere, on_azure = Recorder(), Recorder()
    settings.read_into(everywhere)
    azure_settings.read_into(on_azure)
    # Of these, the reference says once that they have a form for each kind of step.
    kinds = {name for name in on_azure.read if name.rpartition("_")[2] in {"TRAIN", "SCORE", "DRIFT"}}
    elsewhere = {settings.COLLECTION_KEY_VARIABLE, settings.CONNECTION_STRING_VARIABLE}
    named = first_names("docs/reference/settings.md", "variable")
    settings_named = {name for name in named if re.fullmatch(r"[A-Z][A-Z_]+", name)}
    assert settings_named == (everywhere.read | on_azure.read - kinds | elsewhere)


@cache
def repository() -> dg.RepositoryDefinition:
    from credit_default.definitions import defs

    return defs.get_repository_def()


def test_the_picture_of_the_graph_has_its_assets_and_edges():
    graph = repository().asset_graph
    real = {
        (parent.to_user_string(), key.to_user_string())
        for key in graph.get_all_asset_keys()
        for parent in graph.get(key).parent_keys
    }
    (picture,) = blocks("README.md", "mermaid")
    assert set(re.findall(r"^ +(\w+) --> (\w+)$", picture, re.MULTILINE)) == real
    daily = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).partitions_def}
    assert set(re.findall(r"(\w+)\(\[\1 · daily\]\)", picture)) == daily
    groups = dict(re.findall(r"subgraph (\w+)\n(.*?) end\n", picture, re.DOTALL))
    shown = {
        (group, name) for group, inside in groups.items() for name in re.findall(r"^ +(\w+)", inside, re.MULTILINE)
    }
    assert shown == {(graph.get(key).group_name, key.to_user_string()) for key in graph.get_all_asset_keys()}


def test_the_picture_has_the_retraining_loop():
    (picture,) = blocks("README.md", "mermaid")
    sensors = set(re.findall(r"^ +\w+ -\. (\w+) \.-> retrain", picture, re.MULTILINE))
    assert sensors
    assert {repository().get_sensor_def(name).job_name for name in sensors} == {"retrain"}


def test_the_reference_of_assets_has_each_of_them():
    graph = repository().asset_graph
    rows = {names(row[0])[0]: (row[1], row[2]) for row in table("docs/reference/assets.md", "asset") if len(row) > 2}
    assert rows == {
        key.to_user_string(): (graph.get(key).group_name, "yes" if graph.get(key).partitions_def else "")
        for key in graph.get_all_asset_keys()
    }
    checks = {
        (asset, check)
        for row in table("docs/reference/assets.md", "asset")
        if len(row) == 2
        for asset in names(row[0])
        for check in names(row[1])
    }
    assert checks == {
        (key.to_user_string(), check.name) for key in graph.get_all_asset_keys() for check in graph.get(key).check_keys
    }
    assert sorted(first_names("docs/reference/assets.md", "job")) == sorted(job.name for job in JOBS)
    listed = text_of("docs/reference/assets.md").partition("## Columns of predictions")[2]
    assert names(listed) == PREDICTIONS.names


def test_the_reference_of_automation_has_each_sensor_and_schedule():
    off = dg.DefaultSensorStatus.STOPPED.value
    sensors = {names(row[0])[0]: "**off**" in row[1] for row in table("docs/reference/automation.md", "sensor")}
    assert sensors == {one.name: one.default_status.value == off for one in repository().sensor_defs}
    schedules = {
        names(row[0])[0]: (names(row[1])[0], "**off**" in row[1])
        for row in table("docs/reference/automation.md", "schedule")
    }
    assert schedules == {
        one.name: (one.cron_schedule, one.default_status.value == off) for one in repository().schedule_defs
    }


def test_the_reference_of_the_lake_has_each_of_its_folders():
    named = {key.split("/")[0] for key in first_names("docs/reference/lake.md", "key")}
    known = {place.key.split("/")[0] for place in PLACES if place.root == "lake"} | WITHOUT["lake"].keys()
    assert known <= named
    assert named - known == {"registry"}  # on Azure only


def test_the_reference_of_telemetry_has_each_record():
    named = set(names(text_of("docs/reference/telemetry.md")))
    kinds = {records.OVERALL, records.FEATURES, records.ACCEPTED, records.JOINED, collected_inputs.INPUT_DATA}
    assert kinds <= named
    assert {f"{table}.jsonl" for table in kql.TABLES} <= named


def test_the_reference_of_kql_has_each_query():
    named = first_names("docs/reference/kql.md", "file")
    assert sorted(named) == sorted(path.name for path in QUERIES.glob("*.kql"))


@pytest.mark.parametrize("document", [name for name in PAGES if blocks(name, "kql")])
def test_queries_of_a_page_run(document):
    for query in blocks(document, "kql"):
        message = '{"model_name": "credit-card-default", "type": "OverallDriftMetrics", "data": {"n_features": 23}}'
        row = json.dumps({"timestamp": "2026-01-31T00:00:00Z", "message": message})
        assert "n_features" in kql.run_over(query, {"traces": [row]}).schema.names


@pytest.mark.parametrize("document", [name for name in PAGES if blocks(name, "yaml")])
def test_run_configurations_of_a_page_are_valid(document):
    for block in blocks(document, "yaml"):
        check_config(job_named(CONFIGURED), yaml.safe_load(block))


def test_the_readme_names_each_room():
    tree = text_of("README.md").partition("## Where things are")[2].partition("```\n")[2].partition("```")[0]
    named = set(re.findall(r"^  ([\w.]+)", tree, re.MULTILINE))
    package = CHECKOUT / "credit_default"
    there = {name.split("/")[1] for name in FILES if name.startswith("credit_default/")}
    assert named == {name for name in there if not name.startswith("__") and (package / name).exists()} - {"py.typed"}
