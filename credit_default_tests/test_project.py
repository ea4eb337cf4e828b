"""The project's own files: the lock, the one code location, CI, and what must not be committed."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import credit_default
from credit_default_tests import CHECKOUT

PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))


def locked() -> dict[str, tuple[Version, list[str]]]:
    """Return each locked package's version and hashes."""
    text = (CHECKOUT / "requirements.lock").read_text("utf-8").replace("\\\n", " ")
    packages = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement, *hashes = line.split(" --hash=sha256:")
        parsed = Requirement(requirement.strip())
        (pin,) = parsed.specifier
        assert pin.operator == "==", line
        packages[canonicalize_name(parsed.name)] = (Version(pin.version), [digest.strip() for digest in hashes])
    return packages


def test_the_lock_holds_versions_and_hashes_and_no_address():
    packages = locked()
    assert len(packages) > 100
    for name, (_, hashes) in packages.items():
        assert hashes, name
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in hashes), name
    text = (CHECKOUT / "requirements.lock").read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*-(-index-url|-extra-index-url|-find-links|i|f)\b", text, re.MULTILINE)


def test_the_lock_satisfies_every_dependency():
    project = PYPROJECT["project"]
    packages = locked()
    for text in [*project["dependencies"], *chain(*project["optional-dependencies"].values())]:
        requirement = Requirement(text)
        version, _ = packages[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, text
    assert packages["pandas"][0] < Version("3")  # evidently cannot be imported with pandas 3


def test_every_setting_names_the_one_code_location():
    (location,) = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text("utf-8"))["load_from"]
    assert location == {
        "python_module": {"module_name": "credit_default.definitions", "location_name": "credit_default"}
    }
    assert PYPROJECT["tool"]["dagster"] == {
        "module_name": "credit_default.definitions",
        "code_location_name": "credit_default",
    }
    project = PYPROJECT["tool"]["dg"]["project"]
    assert project["code_location_name"] == "credit_default"
    assert project["code_location_target_module"] == "credit_default.definitions"


def imports(path: Path) -> set[str]:
    """Return every module that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize(
    "path", sorted((CHECKOUT / "credit_default" / "core").rglob("*.py")), ids=lambda path: path.name
)
def test_core_knows_neither_dagster_nor_azure_nor_the_layers_above_it(path):
    forbidden = re.compile(r"(dagster|azure|azureml|opencensus|credit_default\.(?!core\b|errors\b|__version__\b))")
    assert [name for name in imports(path) if forbidden.match(name)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_pin_their_actions_and_may_do_little(path):
    text = path.read_text("utf-8")
    used = re.findall(r"^\s*-?\s*uses:\s*(.*)$", text, re.MULTILINE)
    assert used
    for action in used:
        ours = action.startswith("./.github/") and (CHECKOUT / action).exists()
        assert ours or re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        written = {name for name, access in job["permissions"].items() if access != "read"}
        assert written <= {"id-token", "security-events"}
        checkouts = [step for step in job.get("steps", []) if "actions/checkout" in step.get("uses", "")]
        assert not any(step["with"]["persist-credentials"] for step in checkouts)


def test_ci_runs_every_supported_python_through_the_same_targets_as_a_person():
    job = yaml.safe_load((CHECKOUT / ".github" / "workflows" / "code-quality.yml").read_text("utf-8"))["jobs"]["check"]
    supported = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert job["strategy"]["matrix"]["python"] == [
        version for version in (f"3.{minor}" for minor in range(8, 20)) if Version(version) in supported
    ]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make lint", "make test"]
    assert os.access(CHECKOUT / ".ci" / "run", os.X_OK)
    assert "make lint test" in (CHECKOUT / ".ci" / "run").read_text("utf-8").splitlines()


@pytest.mark.parametrize("target", ["demo", "dev", "test", "test-fast", "lint", "clean"])
def test_make_knows_its_targets_and_sets_up_the_environment_by_itself(target, tmp_path):
    # Not in the checkout itself, where the environment is there already.
    (tmp_path / "credit_default_tests").mkdir()
    server, checkov = "credit_default_tests/inference_server.txt", "credit_default_tests/checkov.txt"
    batch = "credit_default/resources/azure/environments/batch.txt"
    (tmp_path / batch).parent.mkdir(parents=True)
    packages = ("package.json", "package-lock.json", ".npmrc")
    for name in ("Makefile", "pyproject.toml", "requirements.lock", server, checkov, batch, *packages):
        (tmp_path / name).write_bytes((CHECKOUT / name).read_bytes())
    done = subprocess.run(["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ("--require-hashes -r requirements.lock" in done.stdout) == (target != "clean")
    assert ("npm ci" in done.stdout) == target.startswith("test")
    assert (f"-r {server}" in done.stdout) == target.startswith("test")
    assert [f"-r {lock}" in done.stdout for lock in (checkov, batch)] == 2 * [target == "test"]
    assert ".credit_default" not in done.stdout


def test_the_lock_of_the_tests_blob_store_is_whole_and_names_no_registry():
    lock = json.loads((CHECKOUT / "package-lock.json").read_text("utf-8"))["packages"]
    wanted = json.loads((CHECKOUT / "package.json").read_text("utf-8"))["devDependencies"]
    assert lock[""]["devDependencies"] == wanted
    assert all("integrity" in package and "resolved" not in package for path, package in lock.items() if path)


def test_make_says_which_python_it_needs(tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((CHECKOUT / name).read_bytes())
    done = subprocess.run(
        ["make", "lint", "PYTHON=python2.7"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_no_committed_file_holds_a_path_of_somebodys_machine_or_a_registrys_address():
    # Put together here, so that this file does not hold what it looks for.
    folders = "work|home|root|Users"
    hosts = "|".join(re.escape(host) for host in ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org"))
    wrong = re.compile(rf"(?<![\w.~}}\])-])/({folders})/[\w.]|{hosts}|\"resolved\":")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    files = [CHECKOUT / name for name in done.stdout.split("\0") if name]
    assert len(files) > 50
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}"
        for path in files
        if path.is_file()
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), start=1)
        if wrong.search(line)
    ]
    assert found == []


def test_the_changelog_tells_of_the_present_version():
    assert f"## [{credit_default.__version__}]" in (CHECKOUT / "CHANGELOG.md").read_text("utf-8")


def test_make_dev_takes_a_port():
    told = [
        subprocess.run(["make", "-n", "dev", *port], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
        for port in ((), ("PORT=3456",))
    ]
    assert "credit-default dev --port 3000\n" in told[0]
    assert "credit-default dev --port 3456\n" in told[1]


def test_the_set_up_shows_how_far_it_is_and_no_address_of_a_registry():
    """The filter that the Makefile puts behind pip, fed with what pip prints where a registry is set up."""
    lines = ["Looking in indexes: https://registry.example/simple"]
    for number in range(60):
        lines += [f"Collecting p{number}==1 (from -r requirements.lock (line {number}))"]
        lines += [f"  Downloading https://registry.example/p{number}.whl (1 kB)"]
    lines += ["Installing collected packages: p0, p1", "Successfully installed p0-1 p1-1"]
    awk = ["awk", "-v", "all=62", "-f", CHECKOUT / ".ci" / "progress.awk"]
    done = subprocess.run(awk, input="\n".join(lines), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "  25 of about 62 packages fetched",
        "  50 of about 62 packages fetched",
        "  installing 60 packages",
        "  installed",
    ]
