"""The version of the code that makes results: a hash of the sources that run on compute."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

#: Sources that steps and the scoring script of batch deployments run, as patterns below the package.
COMPUTE = (
    "errors.py",
    "settings/*.py",
    "core/*.py",
    "core/contract/*.py",
    "core/data/*.py",
    "core/files/*.py",
    "core/model/*.py",
    "core/monitoring/*.py",
    "core/scoring/*.py",
    "core/statistics/*.py",
    "core/promotion/comparison.py",
    "core/promotion/holdout_rows.py",
    "pipes/azure_messages.py",
    "pipes/azure_output.py",
    "pipes/process_variables.py",
    "pipes/program.py",
    "pipes/reporting.py",
    "steps/*.py",
)
#: What the scoring script of online deployments runs besides: it sends what it was asked.
ONLINE = ("telemetry/*.py",)


@cache
def code_version() -> str:
    """Return 12 hex digits that change when a source of `COMPUTE` does.

    It goes to every asset, so that Dagster shows what was made by older code, and to every model.
    """
    return hash_sources(COMPUTE)[:12]


@cache
def online_code() -> str:
    """Return a hash of what online deployments run and `code_version` does not know of."""
    return hash_sources(ONLINE)


def hash_sources(patterns: Iterable[str], package: Path = Path(__file__).parent) -> str:
    """Return the SHA-256 of the names and contents of the files that match."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in package.glob(pattern)}):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
