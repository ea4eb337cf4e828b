"""The guide from nothing to production, followed line by line against the stand-in for Azure."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credit_default_tests import CHECKOUT
from credit_default_tests.deploy.delivery import Delivery
from credit_default_tests.end_to_end.azure_world import ROWS
from credit_default_tests.end_to_end.world import new_clients
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

GUIDE = CHECKOUT / "docs" / "how-to" / "deploy.md"
DAY = "2026-01-31"
#: Programs whose lines were never run; the guide says so of each of them.
NEVER_RUN = {"az", "gh", "docker"}


def lines() -> Iterator[str]:
    """Every command of the guide, in its order."""
    for block in re.findall(r"```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        yield from (line for line in block.splitlines() if line.strip())


@pytest.fixture(scope="module")
def followed(delivery: Delivery, tmp_path_factory) -> Delivery:
    """What there is when somebody did all that the guide says, with clients landed where it says."""
    folder = tmp_path_factory.mktemp("guide")
    for name, path in delivery.files.items():
        (folder / f"{name}.env").write_text(path.read_text())
    with delivery.inside("staging") as place:
        place.storage.write("landing/curated/clients.csv", csv_text(new_clients(ROWS, target=True)).encode())
    for name in ("staging", "production"):
        with delivery.inside(name) as place:
            arrived = csv_text(new_clients(40, start=ROWS)).encode()
            place.storage.write(f"landing/inference/batch/{DAY}/clients.csv", arrived)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in lines():
        if line.split()[0] in NEVER_RUN:
            continue
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        # A dry run that found something to do ends with 3.
        assert done.returncode == (3 if "--dry-run" in line else 0), f"{line}: {done.stdout}{done.stderr}"
    return delivery


def test_a_model_is_live_in_production_at_the_end(followed):
    told, _ = followed.told("production", "invoke", DAY, "--verify")
    assert (told["rows"], told["model_version"]) == (40, "1")
    assert {one["action"] for one in told["changes"]} == {"unchanged"}


def test_the_guide_lets_main_into_a_github_environment_however_that_branch_is_protected():
    told = [line for line in lines() if line.startswith("gh api -X") and "/environments/" in line]
    put, policy = (shlex.split(line) for line in told)
    # A policy of protected branches lets none in that rulesets protect.
    assert {one.partition("[")[2] for one in put if "[" in one} == {
        "protected_branches]=false",
        "custom_branch_policies]=true",
    }
    assert policy[4] == f"{put[4]}/deployment-branch-policies"
    assert "name=main" in policy


def test_the_guide_says_of_every_program_that_was_never_run_that_it_was_not():
    (said,) = re.findall(r"The lines with (.*?) were never run", GUIDE.read_text().replace("\n", " "))
    programs = {line.split()[0] for line in lines()}
    assert {name for name in NEVER_RUN if name in programs} <= set(re.findall(r"`(\w+)`", said))
    assert programs - NEVER_RUN == {"credit-default"}
