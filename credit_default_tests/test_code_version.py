"""The code version follows from what runs on compute: all of it, and nothing else."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

import credit_default
from credit_default.code_version import COMPUTE, ONLINE, hash_sources

PACKAGE = Path(credit_default.__file__).parent
MODULES = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}


def sources(patterns):
    return {path.relative_to(PACKAGE).as_posix() for pattern in patterns for path in PACKAGE.glob(pattern)}


def imported(module, *, by_the_way):
    """Return the modules that one imports; inside its functions too, unless it is only imported by the way."""
    nodes = list(ast.parse((PACKAGE / module).read_text("utf-8")).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "credit_default":
            for name in node.names:
                path = "/".join([*node.module.split(".")[1:], name.name])
                parent = path.rpartition("/")[0]
                candidates = (f"{path}.py", f"{path}/__init__.py", f"{parent}.py", f"{parent}/__init__.py".lstrip("/"))
                yield next(candidate for candidate in candidates if candidate in MODULES)
        type_checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        deferred = by_the_way and isinstance(node, ast.FunctionDef)
        if not type_checking and not deferred:
            nodes += ast.iter_child_nodes(node)


def reached(start):
    """Return the modules that some reach, whatever they do; to import a module imports the packages that it is in."""
    todo, found = [(module, False) for module in start], {}
    while todo:
        module, by_the_way = todo.pop()
        if found.get(module, True) <= by_the_way and module in found:
            continue
        found[module] = by_the_way
        todo += [(other, False) for other in imported(module, by_the_way=by_the_way)]
        packages = [f"{folder.as_posix()}/__init__.py".removeprefix("./") for folder in Path(module).parents]
        todo += [(package, True) for package in packages]
    return set(found)


def outside(modules, patterns):
    """Return those that are in none of the patterns; packages that hold a docstring only make nothing."""
    others = modules - sources(patterns)
    return sorted(module for module in others if len(ast.parse((PACKAGE / module).read_text("utf-8")).body) > 1)


STEPS = {module for module in MODULES if module.startswith("steps/")}


def test_a_step_reaches_no_source_that_the_code_version_does_not_know():
    assert outside(reached(STEPS - {"steps/online_scoring.py"}), COMPUTE) == ["__init__.py"]  # the project's version


def test_an_online_deployment_reaches_no_source_that_its_name_does_not_follow_from():
    assert outside(reached({"steps/online_scoring.py"}), (*COMPUTE, *ONLINE)) == ["__init__.py"]


def test_the_code_version_knows_no_folder_that_no_step_reaches():
    modules = reached(STEPS)
    assert [pattern for pattern in COMPUTE if not sources([pattern]) & modules] == []


@pytest.mark.parametrize("pattern", COMPUTE)
def test_an_edited_source_is_another_version(pattern, tmp_path):
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.parquet", "infrastructure"))
    before = hash_sources(COMPUTE, copy)
    edited = max(copy.glob(pattern))
    edited.write_text(edited.read_text("utf-8") + "\n")
    assert hash_sources(COMPUTE, copy) != before


def test_an_edited_ledger_or_query_engine_leaves_deployments_as_they_are(tmp_path):
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.parquet", "infrastructure"))
    before = hash_sources((*COMPUTE, *ONLINE), copy)
    for path in (copy / "core/promotion/ledger.py", copy / "telemetry/kql/kql.py", copy / "core/lineage/runs.py"):
        path.write_text(path.read_text("utf-8") + "\n")
    assert hash_sources((*COMPUTE, *ONLINE), copy) == before
