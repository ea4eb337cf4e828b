"""The folder of the local state: where it is by default, whether it can be used, and how a command names it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

_NAME = ".credit_default"
_PROJECT = 'name = "credit-default"'


@cache
def checkout() -> Path | None:
    """Return the folder of the checkout that this package is imported from; None where it is installed as a wheel."""
    folder = Path(__file__).absolute().parents[2]
    try:
        return folder if _PROJECT in (folder / "pyproject.toml").read_text("utf-8").splitlines() else None
    except (OSError, UnicodeDecodeError):
        return None


def default_home(environment: str) -> Path:
    """Return the home of an environment: the checkout's, whatever the current folder is.

    A wheel has no checkout, and uses the current folder. None of the folders above it: Dagster runs what a
    ``dagster.yaml`` names, and another person's may be found there.

    Each Azure environment has a home of its own, so that no two of them share a Dagster instance.
    """
    home = (checkout() or Path.cwd()) / _NAME
    return home if environment == "local" else home / environment


def find_problem(home: Path, *, writing: bool) -> str | None:
    """Return why a folder cannot be used, as a clause about it, and None when it can; nothing is created.

    A folder that is not there yet can be used if it may be made.

    Parameters
    ----------
    writing
        Whether it has to be writable: questions can be answered where it is not.
    """
    for folder in (home, *home.parents):
        where = "" if folder == home else f"below {folder}, "
        try:
            if folder.exists():
                refusal = _refusal(folder, os.X_OK | (os.W_OK if writing else 0) | (os.R_OK if folder == home else 0))
                return f"{where}{refusal}" if refusal else None
        except PermissionError:
            continue  # the folder above it says why
        except OSError as error:
            return f"{where}which cannot be used ({error.strerror})"
        if folder.is_symlink():
            return f"{where}which is a link that leads nowhere"
    return None


def _refusal(folder: Path, needed: int) -> str | None:
    if not folder.is_dir():
        return "which is a file"
    if os.access(folder, needed):
        return None
    return f"which may not be {'looked into' if not os.access(folder, needed & ~os.W_OK) else 'written to'}"
