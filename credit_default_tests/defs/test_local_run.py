"""A run on this machine, in the very processes that it consists of: none of them needs anything of Azure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

AZURE = ("azure", "azureml", "dagster_azure", "msal", "credit_default.resources.azure")

#: Python imports a module of this name when it starts: each process writes down at its end what it has imported.
SITECUSTOMIZE = """
import atexit, json, os, pathlib, sys
def tell():
    told = {"program": sys.argv[0], "modules": sorted(sys.modules)}
    pathlib.Path(os.environ["TOLD"], f"{os.getpid()}.json").write_text(json.dumps(told))
atexit.register(tell)
"""
RUN = """
import dagster as dg
from credit_default.instance import enter
enter()
from credit_default.definitions import defs
with dg.DagsterInstance.get() as instance:
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, asset_selection=[dg.AssetKey("curated_data")]).success
"""


def test_a_local_run_imports_nothing_of_azure_in_any_of_its_processes(tmp_path):
    told = tmp_path / "told"
    told.mkdir()
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    ours = ("CREDIT_DEFAULT", "DAGSTER", "AZURE", "APPLICATIONINSIGHTS", "MLFLOW")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
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
    processes = [json.loads(path.read_text()) for path in told.iterdir()]
    # The run, and the step that it started.
    assert {"-c", "curated_data.py"} <= {Path(process["program"]).name for process in processes}
    for process in processes:
        of_azure = [name for name in process["modules"] if name.startswith(AZURE)]
        assert of_azure == [], process["program"]
