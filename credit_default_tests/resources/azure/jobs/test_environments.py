"""The environments of Azure ML: made from the lock, complete for what runs in them, made once."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.version import Version

from credit_default import steps as steps_package
from credit_default.resources.azure.jobs import job_environments
from credit_default.resources.azure.jobs.job_environments import BATCH, ONLINE
from credit_default.settings.azure_compute import Kind, kind_of
from credit_default_tests import CHECKOUT
from credit_default_tests.platforms import azure_workspace

#: What a batch deployment has in another version than the lock, as the Makefile says.
UNLOCKED = re.compile(re.search(r"^UNLOCKED := (.*)$", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE)[1])
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
BASE = re.compile(r"mcr\.microsoft\.com/(azureml|mirror/docker/library)/[a-z0-9.:-]+@sha256:[0-9a-f]{64}")
STEPS = sorted(
    path.stem
    for path in Path(steps_package.__file__).parent.glob("*.py")
    if not path.stem.startswith("_") and path.stem not in ("reporting", "azure_messages", "online_scoring")
)


ENVIRONMENTS = [*Kind, BATCH, ONLINE]
#: What scoring needs for a model to give the probabilities that it gave in training.
OF_MODELS = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy", "skops", "threadpoolctl")


def environment_of(step: str) -> str:
    """What a step runs in; the scoring scripts of deployments are none that a job runs."""
    return {"online_scoring": ONLINE, "batch_scoring": BATCH}.get(step) or kind_of(step)


def pins(text: str) -> dict[str, set[str]]:
    """Versions of each package; a lock for every platform may hold several."""
    found: dict[str, set[str]] = {}
    for name, version in PIN.findall(text):
        found.setdefault(_normal(name), set()).add(version)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(kind: str) -> str:
    return job_environments.build_files(kind)["requirements.txt"].decode()


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_every_version_is_the_locks_and_has_a_hash(kind):
    locked, wanted = pins((CHECKOUT / "requirements.lock").read_text()), pins(requirements(kind))
    assert len(wanted) > 20
    others = {name for name, versions in wanted.items() if not versions <= locked.get(name, set())}
    # The inference server, and what else of Azure ML a deployment needs, are in no lock.
    assert {name for name in others & locked.keys() if not (kind == BATCH and UNLOCKED.match(f"{name}=="))} == set()
    assert kind in (BATCH, ONLINE) or others == set()
    for block in re.split(r"\n(?=[A-Za-z0-9])", requirements(kind)):
        assert not PIN.match(block) or "--hash=sha256:" in block


@pytest.mark.parametrize(("kind", "others"), [(Kind.SCORE, set()), (ONLINE, set()), (BATCH, {"numpy", "pyarrow"})])
def test_what_scores_has_the_packages_that_models_are_trained_with(kind, others):
    """numpy and pyarrow differ where Azure ML's own packages want them older; a test scores golden rows there."""
    trains, has = pins(requirements(Kind.TRAIN)), pins(requirements(kind))
    assert {name for name in OF_MODELS if trains[name] != has[name]} == others


def test_a_batch_deployment_has_what_azure_runs_it_with_in_versions_of_these_years():
    """A resolver that finds no way with the present ones goes back to an `azureml-core` of 2020, without a word."""
    has = {name: next(iter(versions)) for name, versions in pins(requirements(BATCH)).items()}
    assert Version(has["azureml-core"]) >= Version("1.61.0.post4")
    assert Version(has["azureml-dataset-runtime"]) >= Version("1.62")
    assert "fusepy" in has
    assert Version(has["setuptools"]) < Version("81")  # azureml.dataprep imports pkg_resources


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_images_start_from_microsofts_registry_by_digest_and_have_no_findings(kind, tmp_path):
    path = tmp_path / "Dockerfile"
    path.write_bytes(job_environments.build_files(kind)["Dockerfile"])
    bases = re.findall(r"^FROM (.*)$", path.read_text("utf-8"), re.MULTILINE)
    assert [base for base in bases if not BASE.fullmatch(base)] == []
    assert len(bases) == 1
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), "--no-color", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_of_an_online_deployment_starts_the_server_over_the_script_that_azure_names(tmp_path):
    dockerfile = job_environments.build_files(ONLINE)["Dockerfile"].decode()
    command = json.loads(re.search(r"^CMD (.*)$", dockerfile, re.MULTILINE)[1])
    server = tmp_path / "azmlinfsrv"
    server.write_text('#!/bin/sh\necho "$PWD" "$@"\n')
    server.chmod(0o755)
    root = tmp_path / "a b"
    root.mkdir()
    script = "/credit_default/steps/online_scoring.py"
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin", "AML_APP_ROOT": str(root), "AZUREML_ENTRY_SCRIPT": script}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == f"{root} --entry_script credit_default/steps/online_scoring.py --port 5001\n"


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_an_image_holds_nothing_of_dagster_but_pipes_and_names_no_address(kind):
    # A batch deployment reports to nobody: Azure ML starts it.
    expected = set() if kind == BATCH else {"dagster-pipes"}
    assert {name for name in pins(requirements(kind)) if name.startswith("dagster")} == expected
    for content in job_environments.build_files(kind).values():
        assert b"://" not in content


def test_the_version_follows_from_the_content(monkeypatch):
    before = job_environments.reference(Kind.SCORE)
    assert re.fullmatch(r"credit-card-default-score:[0-9a-f]{12}", before)
    files = job_environments.build_files(Kind.SCORE)
    monkeypatch.setattr(job_environments, "build_files", lambda _: {**files, "Dockerfile": b"FROM another\n"})
    assert job_environments.reference(Kind.SCORE) != before


# Imports what the step imports when it starts and while it works, in a process where nothing else can be imported.
ONLY = """
import importlib, sys
allowed, modules = set(sys.argv[1].split(",")), sys.argv[2].split(",")

class Only:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is not in the environment of the job", name=name)

blocked = set(sys.argv[3].split(",")) - allowed
sys.meta_path.insert(0, Only())
for module in modules:
    importlib.import_module(module)
"""
#: What is imported inside functions, by the kind of step that comes there.
LATER = {
    Kind.TRAIN: ["mlflow.sklearn", "mlflow.models", "mlflow.types", "filelock", "matplotlib.figure", "azureml.mlflow"],
    Kind.SCORE: [],
    BATCH: [],
    Kind.DRIFT: ["evidently", "evidently.presets", "pandas"],
    ONLINE: [
        *("opencensus.ext.azure.log_exporter", "azure.monitor.opentelemetry.exporter"),
        *("credit_default.telemetry.destinations", "credit_default.telemetry.traces"),
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_the_environment_holds_all_that_a_step_imports(step):
    kind = environment_of(step)
    have = set(pins(requirements(kind)))
    by_module = packages_distributions()
    allowed = {module for module, names in by_module.items() if {_normal(name) for name in names} & have}
    # Of what is left, what is ours and what the interpreter itself brings may be imported.
    others = {module for module in by_module if module not in allowed} - {"credit_default", "credit_default_tests"}
    reports = [] if kind == BATCH else ["azure.identity", "azure.storage.blob"]
    modules = [f"credit_default.steps.{step}", *reports, *LATER[kind]]
    command = [sys.executable, "-c", ONLY, ",".join(allowed), ",".join(modules), ",".join(others)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr[-1500:]


@pytest.mark.slow
def test_an_environment_is_made_once_and_again_when_its_content_changed(azure, emulator, monkeypatch):
    client = azure_workspace().client()
    names = {job_environments.ensure(client, Kind.SCORE) for _ in range(2)}
    files = job_environments.build_files(Kind.SCORE)
    monkeypatch.setattr(job_environments, "build_files", lambda _: {**files, "Dockerfile": b"FROM another\n"})
    names.add(job_environments.ensure(client, Kind.SCORE))
    made = [
        entry
        for entry in emulator.journal()
        if entry["method"] == "PUT" and f"{azure.name}/environments/" in entry["path"]
    ]
    assert len(names) == len(made) == 2


@pytest.mark.slow
def test_an_environment_that_somebody_made_in_between_is_taken(azure, emulator):
    client = azure_workspace().client()
    job_environments.ensure(client, Kind.SCORE)
    # It is there, and yet is not seen when it is looked for.
    emulator.fault("GET", "/environments/credit-card-default-score/versions/", status=404)
    assert job_environments.ensure(client, Kind.SCORE) == job_environments.reference(Kind.SCORE)


@pytest.mark.slow
def test_an_online_environment_says_where_its_server_is_asked(azure):
    client = azure_workspace().client()
    name, _, version = job_environments.ensure(client, ONLINE).partition(":")
    routes = client.environments.get(name, version).inference_config
    assert (routes.scoring_route.port, routes.scoring_route.path) == (5001, "/score")
    assert (routes.liveness_route.path, routes.readiness_route.path) == ("/", "/")
