"""Runs the `run:` steps of our workflows as GitHub does: in order, job after job, with their inputs and outputs.

A shell is what GitHub makes of it: `bash -e` where nothing is said, and with pipefail where it says `bash`.

What comes from elsewhere (`actions/checkout`) is skipped, and must be named in `SKIPPED`, as is what sets up the
environment that the tests run in anyway; our own composite actions and reusable workflows are gone into. A job that may
ask who it is gets that from a stand-in for GitHub. Of expressions it knows what ours say, and no more: anything else is
an error, not an empty string.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from credit_default_tests import CHECKOUT
from credit_default_tests.id_token_server import REPOSITORY, IdTokenServer

WORKFLOWS = CHECKOUT / ".github" / "workflows"
SKIPPED = {"actions/checkout", "./.github/actions/environment"}
#: What GitHub tells every workflow of itself.
GITHUB = {
    "server_url": "https://github.com",
    "repository": REPOSITORY,
    "run_id": "4711",
    "actor": "ada",
    "workflow": "of no matter",
}
#: By the names that GitHub gives them.
_SHELLS = {"": ["bash", "-e"], "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"]}
#: A job that says these runs whatever was skipped before it; one that failed ends the run here.
_WHATEVER_WAS_SKIPPED = ("!failure()", "!cancelled()")
_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
_COMPARISON = re.compile(r"(\S+) (==|!=) '([^']*)'")

Contexts = dict[str, Any]


class StepFailed(Exception):
    """A step ended with another status than 0."""


@dataclass
class Repository:
    """What GitHub keeps of a repository, and where the runner of each job works.

    Attributes
    ----------
    variables, secrets
        Name of a GitHub environment to its variables, and to its secrets.
    machine
        Environment variables of a runner, per GitHub environment.
    id_tokens
        Who tells a job's commands which environment it belongs to.
    ran
        Every step that ran, as (environment, its name).
    """

    folder: Path
    variables: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]
    machine: Mapping[str, Mapping[str, str]]
    id_tokens: IdTokenServer
    ran: list[tuple[str, str]] = field(default_factory=list)

    def run(self, workflow: str, inputs: Mapping[str, str]) -> dict[str, str]:
        """Run a workflow to its end; returns its outputs.

        Raises `StepFailed` as soon as a step fails; what follows it is not run, as on GitHub.
        """
        content = yaml.safe_load((WORKFLOWS / workflow).read_text())
        shell = content.get("defaults", {}).get("run", {}).get("shell", "")
        needs: Contexts = {}
        after_skipped: set[str] = set()
        for name, job in content["jobs"].items():
            contexts: Contexts = {
                "github": GITHUB,
                "inputs": dict(inputs),
                "needs": {one: needs[one] for one in _listed(job.get("needs"))},
                "shell": shell,
            }
            anyway = any(said in str(job.get("if", "")) for said in _WHATEVER_WAS_SKIPPED)
            skipped = any(one in after_skipped for one in _listed(job.get("needs")))
            if skipped:
                after_skipped.add(name)
            if (skipped and not anyway) or not _holds(job, contexts):
                needs[name] = {"result": "skipped", "outputs": {}}
                after_skipped.add(name)
                continue
            outputs: dict[str, str] = {}
            for cell in _cells(job):
                outputs |= self._job(job, {**contexts, "matrix": cell})
            needs[name] = {"result": "success", "outputs": outputs}
        called = content[True].get("workflow_call") or {}  # YAML reads the key `on` as true
        return {name: _filled(one["value"], {"jobs": needs}) for name, one in called.get("outputs", {}).items()}

    def _job(self, job: Mapping[str, Any], contexts: Contexts) -> dict[str, str]:
        if "uses" in job:
            given = {name: _filled(value, contexts) for name, value in job.get("with", {}).items()}
            return self.run(job["uses"].removeprefix("./.github/workflows/"), given)
        environment = _filled(job.get("environment", ""), contexts)
        its_own = {"vars": self.variables.get(environment, {}), "secrets": self.secrets.get(environment, {})}
        contexts = {**contexts, **its_own, "steps": {}}
        contexts["env"] = {name: _filled(value, contexts) for name, value in job.get("env", {}).items()}
        if job.get("permissions", {}).get("id-token") == "write":
            contexts["env"] |= self.id_tokens.job(environment)
        folder = self._runner(environment or "none")
        for step in job["steps"]:
            if _holds(step, contexts):
                outputs = self._step(step, contexts, environment, folder)
                if "id" in step:
                    contexts["steps"][step["id"]] = {"outputs": outputs}
            elif "id" in step:
                contexts["steps"][step["id"]] = {"outputs": {}}
        return {name: _filled(value, contexts) for name, value in job.get("outputs", {}).items()}

    def _step(self, step: Mapping[str, Any], contexts: Contexts, environment: str, folder: Path) -> dict[str, str]:
        if "uses" not in step:
            return self._command(step, contexts, environment, folder)
        if step["uses"].partition("@")[0] in SKIPPED:
            return {}
        action = yaml.safe_load((CHECKOUT / step["uses"] / "action.yml").read_text())
        defaults = {name: one.get("default", "") for name, one in action.get("inputs", {}).items()}
        given = {name: _filled(value, contexts) for name, value in step.get("with", {}).items()}
        missing = [
            name for name, one in action.get("inputs", {}).items() if one.get("required") and not given.get(name)
        ]
        assert not missing, f"{step['uses']} lacks {missing}"
        for inner in action["runs"]["steps"]:
            self._step(inner, {**contexts, "inputs": {**defaults, **given}}, environment, folder)
        return {}

    def _command(self, step: Mapping[str, Any], contexts: Contexts, environment: str, folder: Path) -> dict[str, str]:
        self.ran.append((environment, step.get("name", step["run"])))
        told = folder / "output.txt"
        told.write_text("")
        own = {name: _filled(value, contexts) for name, value in step.get("env", {}).items()}
        assert not _EXPRESSION.search(step["run"]), "nothing is pasted into a shell"
        done = subprocess.run(
            [*_SHELLS[step.get("shell", contexts["shell"])], "-c", step["run"]],
            cwd=folder,
            env={
                **self.machine.get(environment, os.environ),
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTOR": GITHUB["actor"],
                "GITHUB_OUTPUT": str(told),
                "PYTHONPATH": str(folder),
                **contexts["env"],
                **own,
            },
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if done.returncode != 0:
            raise StepFailed(f"{environment}: {step.get('name')}: {done.stdout}{done.stderr}")
        return dict(line.split("=", 1) for line in told.read_text().splitlines())

    def _runner(self, environment: str) -> Path:
        """Return a checkout with our programs and nothing of any job before, for what steps write."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = self.folder / f"{environment}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        (folder / ".venv").symlink_to(sys.prefix)
        for name in ("credit_default", "pyproject.toml"):
            (folder / name).symlink_to(CHECKOUT / name)
        return folder


def _listed(needs: str | list[str] | None) -> list[str]:
    return [needs] if isinstance(needs, str) else list(needs or [])


def _cells(job: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what a job's matrix, of one row, has it run with; one empty cell without a matrix."""
    rows = job.get("strategy", {}).get("matrix", {})
    assert len(rows) <= 1, rows
    return [{name: value} for name, values in rows.items() for value in values] or [{}]


def _holds(step: Mapping[str, Any], contexts: Contexts) -> bool:
    return all(_is_true(one, contexts) for one in _bare(str(step.get("if", ""))).split(" && "))


def _is_true(condition: str, contexts: Contexts) -> bool:
    if condition in {"", *_WHATEVER_WAS_SKIPPED}:
        return True
    found = _COMPARISON.fullmatch(condition)
    assert found, condition
    return (_value(found[1], contexts) == found[3]) == (found[2] == "==")


def _bare(expression: str) -> str:
    whole = _EXPRESSION.fullmatch(expression)
    return whole[1] if whole else expression


def _filled(text: str, contexts: Contexts) -> str:
    return _EXPRESSION.sub(lambda found: _either(found[1], contexts), str(text))


def _either(expression: str, contexts: Contexts) -> str:
    """Of `a || b`, the first that is not empty."""
    return next(filter(None, (_value(one, contexts) for one in expression.split(" || "))), "")


def _value(expression: str, contexts: Contexts) -> str:
    """Look up `needs.build.outputs.version`; what an environment, an input or a skipped step does not say is empty."""
    first, *names = expression.split(".")
    found = contexts[first]
    for name in names[:-1]:
        found = found[name]
    return str(found.get(names[-1], ""))
