"""The version of the code that makes results: a hash of the compute plane's own sources."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


@cache
def code_version() -> str:
    """Return 12 hex digits that change when a file of ``core/`` or ``steps/`` does.

    It goes to every asset, so that Dagster shows what was made by older code, and to every model.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted((*package.glob("core/*.py"), *package.glob("steps/*.py"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
