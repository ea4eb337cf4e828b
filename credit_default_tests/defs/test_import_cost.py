"""Dagster loads the definitions in the code server and again in every run: loading must stay light."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import credit_default
from credit_default_tests.settings_of_azure import AZURE_SETTINGS

HEAVY = {
    *("pandas", "numpy", "scipy", "pyarrow", "sklearn", "skops", "mlflow", "evidently", "azure", "opencensus"),
    *("matplotlib", "duckdb", "polars", "lightgbm", "dagster_azure", "msal", "requests_oauthlib"),
}
LOAD = """
import json, socket, sys
def connect(*_):
    raise AssertionError("the network was used")
socket.socket.connect = socket.getaddrinfo = connect
from credit_default.definitions import defs
defs.get_repository_def().load_all_definitions()
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def load(tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = ("CREDIT_DEFAULT", "DAGSTER", "AZURE", "APPLICATIONINSIGHTS", "MLFLOW")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**clean, "CREDIT_DEFAULT_HOME": str(tmp_path / "home"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=00000000-0000-0000-0000-000000000001"},
        {**AZURE_SETTINGS, "CREDIT_DEFAULT_ENV": "development"},
        {**AZURE_SETTINGS, "CREDIT_DEFAULT_ENV": "production"},
    ],
    ids=["local", "local, watched", "development", "production"],
)
def test_loading_the_definitions_imports_no_heavy_library_and_touches_no_folder_or_network(tmp_path, environment):
    done = load(tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert {"dagster", "credit_default"} <= loaded
    assert loaded & HEAVY == set()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("prod", "CREDIT_DEFAULT_ENV is 'prod'; set it to one of local, development, staging, production"),
        ("production", "(the compute that steps run on)"),
    ],
)
def test_an_environment_that_cannot_be_used_stops_the_loading_with_words(tmp_path, name, told):
    done = load(tmp_path, CREDIT_DEFAULT_ENV=name)
    assert done.returncode == 1
    error = done.stderr.rpartition("credit_default.errors.SettingsError: ")
    assert error[1]
    assert told in error[2]


def test_one_module_imports_what_is_private_to_dagster():
    package = Path(credit_default.__file__).parent
    private = re.compile(r"^\s*(?:from|import) (?:dagster\w*\._|dagster_shared\b)", re.MULTILINE)
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if private.search(path.read_text())}
    assert found == {"resources/dagster_internals.py"}
