"""The README of the infrastructure, followed with stand-ins for `az` and `gh`, and what that deploys."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from credit_default_tests.deploy.bicep import Deployment, deploy, symbols
from credit_default_tests.deploy.deployed import FEDERATED, INFRASTRUCTURE

README = (INFRASTRUCTURE / "README.md").read_text("utf-8")
#: Writes down what it was asked with, and what the shell had exported.
AZ = """#!/bin/bash
n=$(ls "$ASKED" | wc -l)
mkdir "$ASKED/$n"
printf '%s\\0' "$@" > "$ASKED/$n/arguments"
env -0 > "$ASKED/$n/environment"
"""
#: Knows one repository, as GitHub's API tells of it.
GH = """#!/bin/bash
case "$*" in
"api repos/example/credit-default/actions/oidc/customization/sub --jq .sub_claim_prefix") echo "$PREFIX";;
"api repos/example/credit-default --jq .owner.id") echo 1001;;
"api repos/example/credit-default --jq .id") echo 2002;;
*) echo "gh: unknown: $*" >&2; exit 1;;
esac
"""


def deployed_by(tmp_path: Path, *, prefix: str) -> dict[str, Deployment]:
    """Run the commands of *Make*; returns what each parameter file that they name deploys, in their order."""
    (commands, *_) = re.findall(r"```sh\n(.*?)```", README.partition("## Make")[2], re.DOTALL)
    checkout = tmp_path / "checkout"
    folder = checkout / "credit_default" / "deploy" / "infrastructure"
    shutil.copytree(INFRASTRUCTURE, folder)
    shutil.copytree(INFRASTRUCTURE.parent / "queries", folder.parent / "queries")
    programs, asked = tmp_path / "bin", tmp_path / "asked"
    asked.mkdir()
    programs.mkdir()
    for name, text in {"az": AZ, "gh": GH}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "ASKED": str(asked), "PREFIX": prefix}
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=checkout, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for one in sorted(asked.iterdir(), key=lambda path: int(path.name)):
        arguments = (one / "arguments").read_text().split("\0")[:-1]
        exported = dict(line.split("=", 1) for line in (one / "environment").read_text().split("\0")[:-1])
        if arguments[:3] == ["deployment", "group", "create"]:
            file = arguments[arguments.index("--parameters") + 1]
            group = arguments[arguments.index("--resource-group") + 1]
            found[file] = deploy(folder / file, exported, group)
    return found


@pytest.mark.parametrize(
    ("prefix", "subject"),
    [
        ("repo:example@1001/credit-default@2002", "repo:example@1001/credit-default@2002:environment:staging"),
        ("repo:example/credit-default", "repo:example/credit-default:environment:staging"),
        ("null", "repo:example/credit-default:environment:staging"),  # GitHub Enterprise Server knows one form
    ],
)
def test_whoever_follows_it_trusts_the_form_that_github_gives_the_repository(tmp_path, prefix, subject):
    made = deployed_by(tmp_path, prefix=prefix)
    assert list(made) == ["parameters/registry.bicepparam", "parameters/staging.bicepparam"]
    (credential,) = made["parameters/staging.bicepparam"].of(FEDERATED)
    assert credential.config["properties"]["subject"] == subject
    (registry,) = made["parameters/registry.bicepparam"].resources
    assert made["parameters/staging.bicepparam"].outputs["settings"]["AZURE_ML_REGISTRY"] == registry.name


def test_it_sets_every_variable_that_parameters_read():
    files = [path.read_text("utf-8") for path in (INFRASTRUCTURE / "parameters").glob("*.bicepparam")]
    read = {name for text in files for name in re.findall(r"readEnvironmentVariable\('(\w+)'", text)}
    assert {name for line in re.findall(r"export (.+)", README) for name in re.findall(r"(\w+)=", line)} == read


def test_it_names_parameters_that_are_there_and_says_when_to_change_each_that_may_have_to_be():
    declared, _ = symbols(INFRASTRUCTURE / "main.bicep")
    given = set(re.findall(r"--parameters (\w+)=", README))
    assert given
    rows = README.partition("| parameter |")[2].partition("\n\n")[0].splitlines()[2:]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1]) if not name.isupper()}
    assert len(told) > 5
    assert given | told <= declared


def test_it_tells_of_every_module():
    table = README.partition("| module |")[2].partition("\n\n")[0]
    modules = {path.stem for path in (INFRASTRUCTURE / "modules").glob("*.bicep")}
    assert {name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1])} == modules
