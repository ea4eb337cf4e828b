"""Dagster loads the definitions in the code server and again in every run: loading must stay light."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = {
    *("pandas", "numpy", "scipy", "pyarrow", "sklearn", "skops", "mlflow", "evidently", "azure", "opencensus"),
    *("matplotlib", "duckdb", "polars", "lightgbm", "dagster_azure"),
}
LOAD = """
import json, sys
from credit_default.definitions import defs
defs.get_repository_def().load_all_definitions()
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def load(tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CREDIT_DEFAULT", "DAGSTER"))}
    return subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**clean, "CREDIT_DEFAULT_HOME": str(tmp_path / "home"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("connection", [None, "InstrumentationKey=00000000-0000-0000-0000-000000000001"])
def test_loading_the_definitions_imports_no_heavy_library_and_touches_no_folder(tmp_path, connection):
    more = {"APPLICATIONINSIGHTS_CONNECTION_STRING": connection} if connection else {}
    done = load(tmp_path, **more)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert {"dagster", "credit_default"} <= loaded
    assert loaded & HEAVY == set()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("prod", "CREDIT_DEFAULT_ENV is 'prod'; set it to one of local, development, staging, production"),
        ("production", "CREDIT_DEFAULT_ENV is 'production', an Azure environment, and this version runs locally only"),
    ],
)
def test_an_environment_that_cannot_be_used_stops_the_loading_with_words(tmp_path, name, told):
    done = load(tmp_path, CREDIT_DEFAULT_ENV=name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("credit_default.errors.SettingsError: ")
    assert told in last
