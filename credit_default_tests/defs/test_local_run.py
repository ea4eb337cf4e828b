"""A run on this machine, in the very processes that it consists of: none of them needs anything of Azure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

AZURE = ("azure", "azureml", "dagster_azure", "msal", "credit_default.resources.azure")

#: Python imports a module of this name when it starts: each process writes down at its end what it has imported.
SITECUSTOMIZE = """
import atexit, json, os, pathlib, sys
def tell():
    # One that is there as None is one that may not be imported.
    modules = [name for name, module in sys.modules.items() if module is not None]
    told = {"program": sys.argv[0], "modules": sorted(modules)}
    pathlib.Path(os.environ["TOLD"], f"{os.getpid()}.json").write_text(json.dumps(told))
atexit.register(tell)
leave = os._exit
def tell_and_leave(status):  # as steps do
    tell()
    leave(status)
os._exit = tell_and_leave
"""
RUN = """
import dagster as dg
from credit_default.runs.instance import enter
enter()
from credit_default.definitions import defs
with dg.DagsterInstance.get() as instance:
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("curated_data")]).success
"""
#: MLflow loads every plugin that is installed, the one for Azure ML among them.
TRACK = """
import os, sys
from credit_default.core.model.tracking import training_run
from credit_default.resources.local.registry import LocalModelRegistry
uri = os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{sys.argv[1]}/mlflow.db"
registry = LocalModelRegistry(name="model", tracking_uri=uri, files="file:///lake")
with training_run("job", {}, warn=sys.exit) as run:
    registry.register("models/abc", sha256="abc", tags={"mlflow_run_id": run.run_id})
registry.set_alias("champion", "1")
import mlflow.sklearn
"""


def processes(tmp_path: Path, program: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a program on this machine; return what each process that it consisted of had imported."""
    told = tmp_path / "told"
    told.mkdir()
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    ours = ("CREDIT_DEFAULT", "DAGSTER", "AZURE", "APPLICATIONINSIGHTS", "MLFLOW")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={
            **clean,
            "CREDIT_DEFAULT_ENV": "local",
            "CREDIT_DEFAULT_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(tmp_path),
            "TOLD": str(told),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1500:]
    assert "azure" not in done.stderr
    return [json.loads(path.read_text()) for path in told.iterdir()]


def of_azure(process: dict[str, Any]) -> list[str]:
    return [name for name in process["modules"] if name.startswith(AZURE)]


def test_a_local_run_imports_nothing_of_azure_in_any_of_its_processes(tmp_path):
    found = {Path(process["program"]).name: of_azure(process) for process in processes(tmp_path, RUN)}
    # The run, and the step that it started.
    assert {"-c", "curated_data.py"} <= set(found)
    assert not any(found.values()), found


@pytest.mark.slow
def test_tracking_and_registering_at_home_import_nothing_of_azure(tmp_path):
    (process,) = processes(tmp_path, TRACK, str(tmp_path))
    assert "mlflow.sklearn" in process["modules"]
    assert of_azure(process) == []
