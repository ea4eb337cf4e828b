"""The project's sources as a folder of their own: what a job's code is."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

#: What jobs do not run, `credit_default.deploy` among it.
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "deploy")
#: The scoring script of batch deployments. It lies at the root, as in Microsoft's samples, whose scripts import what
#: lies beside them: whether another folder than the script's is on the path of a batch job is documented nowhere.
SCORING_SCRIPT = "batch_scoring.py"
_SCORING = "from credit_default.steps.batch_scoring import init, run\n"


@contextmanager
def snapshot(packages: Sequence[str]) -> Iterator[Path]:
    """Copy packages to a temporary folder from which ``python -m`` finds them, with the script of batch deployments.

    An installed wheel gives the same folder as a checkout does, and the same sources give the same content, by whose
    hash the SDK knows whether it was uploaded before.
    """
    # The SDK uploads to a folder of the same name, where it takes what it finds for the same code: no two share one.
    with tempfile.TemporaryDirectory(prefix="credit-default-") as temporary:
        folder = Path(temporary)
        for package in packages:
            spec = find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                raise ModuleNotFoundError(f"{package} is no package that can be imported")
            shutil.copytree(spec.submodule_search_locations[0], Path(folder, *package.split(".")), ignore=_LEFT_OUT)
        Path(folder, SCORING_SCRIPT).write_text(_SCORING, "utf-8")
        yield folder
