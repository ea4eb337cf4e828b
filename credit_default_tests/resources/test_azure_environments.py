"""The environments of Azure ML jobs: made from the lock, complete for their steps, made once."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from credit_default import steps as steps_package
from credit_default.resources.azure import job_environments
from credit_default.resources.azure.targets import Kind, kind_of
from credit_default_tests.platforms import azure_workspace

PROJECT = Path(__file__).parents[2]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
STEPS = sorted(
    path.stem
    for path in Path(steps_package.__file__).parent.glob("*.py")
    if not path.stem.startswith("_") and path.stem not in ("reporting", "azure_messages")
)


def pins(text: str) -> dict[str, set[str]]:
    """Versions of each package; a lock for every platform may hold several."""
    found: dict[str, set[str]] = {}
    for name, version in PIN.findall(text):
        found.setdefault(_normal(name), set()).add(version)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(kind: Kind) -> str:
    return job_environments.build_files(kind)["requirements.txt"].decode()


@pytest.mark.parametrize("kind", Kind)
def test_every_version_is_the_locks_and_has_a_hash(kind):
    locked, wanted = pins((PROJECT / "requirements.lock").read_text()), pins(requirements(kind))
    assert len(wanted) > 20
    assert {name: versions for name, versions in wanted.items() if not versions <= locked.get(name, set())} == {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", requirements(kind)):
        assert not PIN.match(block) or "--hash=sha256:" in block


@pytest.mark.parametrize("kind", Kind)
def test_an_image_holds_nothing_of_dagster_but_pipes_and_names_no_address(kind):
    assert {name for name in pins(requirements(kind)) if name.startswith("dagster")} == {"dagster-pipes"}
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
    Kind.DRIFT: ["evidently", "evidently.presets", "pandas"],
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_the_environment_holds_all_that_a_step_imports(step):
    kind = kind_of(step)
    have = set(pins(requirements(kind)))
    by_module = packages_distributions()
    allowed = {module for module, names in by_module.items() if {_normal(name) for name in names} & have}
    # Of what is left, what is ours and what the interpreter itself brings may be imported.
    others = {module for module in by_module if module not in allowed} - {"credit_default", "credit_default_tests"}
    modules = [f"credit_default.steps.{step}", "azure.identity", "azure.storage.blob", *LATER[kind]]
    command = [sys.executable, "-c", ONLY, ",".join(allowed), ",".join(modules), ",".join(others)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
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
