"""The environment of online deployments: what scores has the versions of the lock, and nothing is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from credit_default_tests import CHECKOUT
from credit_default_tests.resources.azure.jobs.test_environments import ONLY, PIN, _normal, pins

REQUIREMENTS = (CHECKOUT / "credit_default/resources/azure/environments/online.txt").read_text()
MODEL = {"numpy", "scipy", "scikit-learn", "skops", "pandas", "pyarrow", "joblib", "threadpoolctl"}
SEALING = {"jwcrypto", "cryptography", "flask", "opencensus-ext-azure"}


def test_everything_has_the_locks_version_with_which_the_tests_run_the_server():
    locked, wanted = pins((CHECKOUT / "requirements.lock").read_text()), pins(REQUIREMENTS)
    assert set(wanted) >= MODEL | SEALING
    assert [name for name, versions in wanted.items() if name in locked and not versions <= locked[name]] == []


def test_every_package_has_a_hash_and_no_address():
    assert "://" not in REQUIREMENTS
    for block in re.split(r"\n(?=[A-Za-z0-9])", REQUIREMENTS):
        assert not PIN.match(block) or "--hash=sha256:" in block


def test_it_runs_the_same_inference_server_as_the_tests_do():
    assert pins(REQUIREMENTS)["azureml-inference-server-http"] == {"1.5.1"}
    of_the_tests = pins((CHECKOUT / "credit_default_tests/inference_server.txt").read_text())
    assert of_the_tests["azureml-inference-server-http"] == {"1.5.1"}


@pytest.mark.slow
def test_the_environment_holds_all_that_the_scoring_script_imports():
    have = set(pins(REQUIREMENTS))
    by_module = packages_distributions()
    allowed = {module for module, names in by_module.items() if {_normal(name) for name in names} & have}
    others = {module for module in by_module if module not in allowed} - {"credit_default", "credit_default_tests"}
    modules = [
        "credit_default.steps.online_scoring",
        "credit_default.telemetry.traces",
        "opencensus.ext.azure.log_exporter",
        "azure.monitor.opentelemetry.exporter",
    ]
    command = [sys.executable, "-c", ONLY, ",".join(allowed), ",".join(modules), ",".join(others)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr[-1500:]
