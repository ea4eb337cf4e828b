"""What is different in a job of GitHub Actions: somebody else started it, and its files are gone when it ends."""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

_MOST_LINES = 5000
_SIGNATURE = re.compile(r"(?i)([?&]sig=)[^&\s\"']+")


def is_here(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a job of GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"


def actor(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return who started the workflow; None when this is none."""
    return (environ.get("GITHUB_ACTOR", "").strip() or None) if is_here(environ) else None


def show(title: str, log: Path, *, since: int, stream: TextIO | None = None) -> None:
    """Print what a log holds since an offset, folded, so that it is kept with the job's own log.

    It holds no row values and no secrets, as all our logs. Errors of the SDK may hold signed addresses all the same,
    and whoever reads a repository may read this, so signatures are left out. A line of it is no command to GitHub.
    """
    stream = stream or sys.stderr
    with log.open("rb") as file:
        file.seek(since)
        lines = file.read().decode("utf-8", "replace").splitlines()
    left_out = [f"... {len(lines) - _MOST_LINES} lines before"] if len(lines) > _MOST_LINES else []
    mark = secrets.token_hex(16)
    told = _SIGNATURE.sub(r"\1***", "\n".join([*left_out, *lines[-_MOST_LINES:]]))
    stream.write(f"::group::{title}\n::stop-commands::{mark}\n{told}\n::{mark}::\n::endgroup::\n")
    stream.flush()
