"""The environment of batch deployments, installed for real from its lock: a model scores there as in its training."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import distributions

import pyarrow.parquet as pq
import pytest

from credit_default.core.lake import GOLDEN_FILE
from credit_default.core.schema import PROBABILITY
from credit_default.resources.azure.jobs import job_environments
from credit_default.resources.azure.jobs.snapshot import SCORING_SCRIPT, snapshot
from credit_default_tests import CHECKOUT, trained
from credit_default_tests.azure_emulator import batch_driver
from credit_default_tests.resources.azure.jobs.test_environments import pins

pytestmark = pytest.mark.slow

ENVIRONMENT = CHECKOUT / ".venv" / "batch"
PYTHON = ENVIRONMENT / "bin" / "python"


@pytest.fixture(autouse=True, scope="module")
def installed():
    assert PYTHON.exists(), "the environment of batch deployments is missing: make .venv/batch/.installed"


def run(*command: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run something in the environment, with nothing of this process' own."""
    return subprocess.run(
        [str(PYTHON), *map(str, command)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(ENVIRONMENT), "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_installed_is_the_lock_and_nothing_of_the_project():
    (packages,) = (ENVIRONMENT / "lib").glob("python3*/site-packages")
    found = {re.sub(r"[-_.]+", "-", one.name).lower(): {one.version} for one in distributions(path=[str(packages)])}
    del found["pip"]  # which installed them
    assert found == pins(job_environments.build_files(job_environments.BATCH)["requirements.txt"].decode())


def test_what_azure_runs_a_deployment_with_can_be_imported():
    done = run(
        "-W", "error::ImportWarning", "-c", "import azureml.core, azureml.dataprep, azureml.data.dataset_factory"
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_mini_batch_that_is_tried_again_scores_golden_rows_as_in_training_and_leaves_one_file(tmp_path):
    model, arrived, output = tmp_path / "model" / "3", tmp_path / "arrived", tmp_path / "output"
    trained.save(model)
    arrived.mkdir()
    (arrived / "golden.parquet").write_bytes((model / GOLDEN_FILE).read_bytes())
    # It fails the mini-batch that both are in, which is tried again where the files lie elsewhere.
    (arrived / "spoilt.csv").write_text("no table of clients\n")
    known = trained.registered(model)
    with snapshot(["credit_default"]) as code:
        done = run(
            *("-P", batch_driver.__file__, "--script", code / SCORING_SCRIPT, "--input", arrived, "--output", output),
            *("--mini-batch-size", 2, "--error-threshold", -1, "--retries", 1),
            AZUREML_MODEL_DIR=str(model.parent),
            AZUREML_BI_OUTPUT_PATH=str(output),
            CREDIT_DEFAULT_MODEL_NAME="credit-card-default",
            CREDIT_DEFAULT_MODEL_VERSION="3",
            CREDIT_DEFAULT_MODEL_SHA256=known.sha256,
            CREDIT_DEFAULT_MANIFEST_SHA256=known.manifest_text,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    (scored,), (failure,) = output.glob("*.scores.parquet"), output.glob("*.failure.json")
    golden = trained.model().golden[PROBABILITY].to_pylist()
    assert len(golden) >= 64
    assert pq.read_table(scored)[PROBABILITY].to_pylist() == pytest.approx(golden, abs=1e-9)
    assert json.loads(failure.read_text())["file"] == "spoilt.csv"
    assert len(list(output.iterdir())) == 2
