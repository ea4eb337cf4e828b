"""Limits of what a landed file may hold: settings, read from the environment of whichever process reads files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from credit_default.core.memory import usable_memory
from credit_default.errors import SettingsError

MAX_COLUMNS_VARIABLE = "CREDIT_DEFAULT_MAX_COLUMNS"
MAX_ROW_MB_VARIABLE = "CREDIT_DEFAULT_MAX_ROW_MB"
MAX_MEMORY_SHARE_VARIABLE = "CREDIT_DEFAULT_MAX_MEMORY_SHARE"

#: A table of ours has 25 columns; each column of a file costs time and memory however few rows it has.
_COLUMNS = range(50, 100_001)
#: A text of Arrow holds less than 2 GB.
_ROW_MB = range(1, 1025)
_LEAST_SHARE, _LARGEST_SHARE = 0.01, 0.9


@dataclass(frozen=True)
class Limits:
    """What files that are read together may hold.

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
    """Read the limits, and what is wrong with the settings; a limit that is malformed keeps its default."""
    problems: list[str] = []
    usual = DEFAULT_LIMITS
    columns = _whole(environ, MAX_COLUMNS_VARIABLE, usual.max_columns, _COLUMNS, "columns of a file", problems)
    row_mb = _whole(environ, MAX_ROW_MB_VARIABLE, usual.max_row_mb, _ROW_MB, "MB of a row", problems)
    share, written = usual.max_memory_share, environ.get(MAX_MEMORY_SHARE_VARIABLE, "").strip()
    if written:
        try:
            share = float(written)
        except ValueError:
            share = 0.0
        if not _LEAST_SHARE <= share <= _LARGEST_SHARE:
            expected = f"a share of the memory, {_LEAST_SHARE} to {_LARGEST_SHARE}"
            problems.append(f"{MAX_MEMORY_SHARE_VARIABLE} is {written!r}; expected {expected}")
            share = usual.max_memory_share
    return Limits(columns, row_mb, share), problems


def current_limits() -> Limits:
    """Read the limits from the environment of this process.

    Raises
    ------
    SettingsError
        Naming every variable that is malformed.
    """
    limits, problems = read_limits(os.environ)
    if problems:
        raise SettingsError("; ".join(problems))
    return limits


def _whole(  # noqa: PLR0917 - what a setting is
    environ: Mapping[str, str], variable: str, usual: int, allowed: range, what: str, problems: list[str]
) -> int:
    written = environ.get(variable, "").strip() or str(usual)
    if written.isascii() and written.isdecimal() and len(written) <= len(str(allowed[-1])):
        number = int(written)
        if number in allowed:
            return number
    problems.append(f"{variable} is {written!r}; expected a whole number of {what}, {allowed[0]:,} to {allowed[-1]:,}")
    return usual
