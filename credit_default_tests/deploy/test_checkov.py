"""checkov finds nothing in the Bicep files but what is explained beside it, and asks nobody about it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from credit_default_tests import CHECKOUT
from credit_default_tests.deploy.deployed import FILES, INFRASTRUCTURE

pytestmark = pytest.mark.slow

PYTHON = CHECKOUT / ".venv" / "checkov" / "bin" / "python"
SKIP = re.compile(r"// checkov:skip=(CKV2?_AZURE_\d+):(.+)")
#: Runs checkov, and writes down whatever it, or a process that it forks, looks up or connects to.
PROGRAM = """
import os, runpy, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        os.write(told, f"{event} {arguments[1:]}\\n".encode())
told = os.open(os.environ["TOLD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(watch)
sys.argv = ["checkov", *sys.argv[1:]]
runpy.run_module("checkov.main", run_name="__main__")
"""
OFFLINE = ("--framework", "bicep", "--skip-download", "--skip-results-upload", "--compact", "--output", "json")

#: Without these it asks for its rules' numbers elsewhere, and once an hour for a newer version of itself.
QUIET = {"BC_SKIP_MAPPING": "TRUE", "CKV_SKIP_PACKAGE_UPDATE_CHECK": "TRUE", "LOG_LEVEL": "ERROR"}


def scan(folder: Path, tmp_path: Path) -> dict:
    """What checkov says of a folder."""
    assert PYTHON.exists(), "checkov is missing: make .venv/checkov/.installed"
    told = tmp_path / "asked.txt"
    # What it would take for a customer's key, and for where to send results.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BC_", "CKV_", "PRISMA_"))}
    done = subprocess.run(
        [PYTHON, "-c", PROGRAM, "--directory", folder, *OFFLINE],
        cwd=tmp_path,
        env={**clean, **QUIET, "TOLD": str(told)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert told.read_text() == ""
    return json.loads(done.stdout)


def identified(checks: list[dict]) -> set[tuple[str, str]]:
    return {(check["file_path"].lstrip("/"), check["check_id"]) for check in checks}


def test_checkov_passes_with_each_exception_explained_beside_it(tmp_path):
    found = scan(INFRASTRUCTURE, tmp_path)
    assert found["summary"]["parsing_errors"] == 0
    assert identified(found["results"]["failed_checks"]) == set()
    assert len(found["results"]["passed_checks"]) > 10
    # It leaves out in silence what it does not know; these it does.
    assert {check["file_path"] for check in found["results"]["passed_checks"]} >= {
        f"/modules/{module}.bicep" for module in ("images", "storage", "vault")
    }
    written = {
        (path.relative_to(INFRASTRUCTURE).as_posix(), check): reason
        for path in FILES
        for check, reason in SKIP.findall(path.read_text("utf-8"))
    }
    assert identified(found["results"]["skipped_checks"]) == set(written), "an exception that excepts nothing"
    assert all(len(reason) > 40 and reason.endswith(".") for reason in written.values())


def test_checkov_fails_when_a_setting_is_made_worse(tmp_path):
    folder = tmp_path / "worse"
    folder.mkdir()
    text = (INFRASTRUCTURE / "modules" / "images.bicep").read_text("utf-8")
    (folder / "images.bicep").write_text(text.replace("adminUserEnabled: false", "adminUserEnabled: true"), "utf-8")
    found = scan(folder, tmp_path)
    assert identified(found["results"]["failed_checks"]) == {("images.bicep", "CKV_AZURE_137")}
