"""Limits of what a landed file may hold: settings, read from the environment of whichever process reads files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from credit_default.core.memory import usable_memory
from credit_default.errors import SettingsError

MAX_COLUMNS_VARIABLE = "CREDIT_DEFAULT_MAX_COLUMNS"
MAX_ROW_MB_VARIABLE = "CREDIT_DEFAULT_MAX_ROW_MB"
MAX_MEMORY_SHARE_VARIABLE = "CREDIT_DEFAULT_MAX_MEMORY_SHARE"

#: Name of a limit: its variable, kind, smallest and largest value, and what it is. A table of ours has 25 columns, and
#: a text of Arrow less than 2 GB.
_VARIABLES: dict[str, tuple[str, Callable[[str], float], float, float, str]] = {
    "max_columns": (MAX_COLUMNS_VARIABLE, int, 50, 100_000, "columns of a landed file"),
    "max_row_mb": (MAX_ROW_MB_VARIABLE, int, 1, 1024, "MB of a row of a landed file"),
    "max_memory_share": (
        MAX_MEMORY_SHARE_VARIABLE,
        float,
        0.01,
        0.9,
        "the part of the memory of a step that the landed files of a day may take",
    ),
}


@dataclass(frozen=True)
class Limits:
    """Limits on files that are read together.

    Attributes
    ----------
    max_columns
        Columns of a file.
    max_row_mb
        Size of a row, in MB.
    max_memory_share
        Part of the memory that the process may use, which the files may take once they are read.
    """

    max_columns: int = 1000
    max_row_mb: int = 64
    max_memory_share: float = 0.5

    @property
    def max_row_bytes(self) -> int:
        """Size of a row, in bytes."""
        return self.max_row_mb << 20

    @property
    def max_bytes(self) -> int:
        """Memory that the files may take, in bytes."""
        return int(self.max_memory_share * usable_memory())

    def as_variables(self) -> dict[str, str]:
        """Return the settings by which a process on other compute has these limits too."""
        return {
            MAX_COLUMNS_VARIABLE: str(self.max_columns),
            MAX_ROW_MB_VARIABLE: str(self.max_row_mb),
            MAX_MEMORY_SHARE_VARIABLE: f"{self.max_memory_share:g}",
        }


DEFAULT_LIMITS = Limits()


def read_limits(environ: Mapping[str, str]) -> tuple[Limits, list[str]]:
    """Read the limits, and what is wrong with the variables; a limit that is malformed has its default."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, (variable, kind, minimum, maximum, purpose) in _VARIABLES.items():
        written = environ.get(variable, "").strip()
        if not written:
            continue
        try:
            value = kind(written)
        except ValueError:
            value = math.nan
        if minimum <= value <= maximum:
            values[name] = value
        else:
            what = "a whole number" if kind is int else "a share"
            problems.append(f"{variable} is {written!r}; expected {what}, {minimum:,} to {maximum:,} ({purpose})")
    return replace(DEFAULT_LIMITS, **values), problems


def current_limits() -> Limits:
    """Read the limits from the environment of this process.

    Raises
    ------
    SettingsError
        Naming every variable that is malformed.
    """
    limits, problems = read_limits(os.environ)
    if problems:
        raise SettingsError(f"{'; '.join(problems)}.")
    return limits
