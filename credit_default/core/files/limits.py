"""Limits of what a landed file may hold: settings, read from the environment of whichever process reads files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

from credit_default.core.memory import usable_memory
from credit_default.core.variables import VariableReader
from credit_default.errors import SettingsError

MAX_COLUMNS_VARIABLE = "CREDIT_DEFAULT_MAX_COLUMNS"
MAX_ROW_MB_VARIABLE = "CREDIT_DEFAULT_MAX_ROW_MB"
MAX_MEMORY_SHARE_VARIABLE = "CREDIT_DEFAULT_MAX_MEMORY_SHARE"


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

    @cached_property
    def max_bytes(self) -> int:
        """Memory that the files may take, in bytes; computed once, since it is lowered while a file is read."""
        return int(self.max_memory_share * usable_memory())

    def as_variables(self) -> dict[str, str]:
        """Return the settings by which a process on other compute has these limits too."""
        return {
            MAX_COLUMNS_VARIABLE: str(self.max_columns),
            MAX_ROW_MB_VARIABLE: str(self.max_row_mb),
            MAX_MEMORY_SHARE_VARIABLE: f"{self.max_memory_share:g}",
        }


DEFAULT_LIMITS = Limits()


def read_limits(reader: VariableReader) -> Limits:
    """Read the limits; a limit that is malformed has its default."""
    default = DEFAULT_LIMITS
    # A table of ours has 25 columns, and a text of Arrow less than 2 GB.
    columns = reader.whole_number(
        MAX_COLUMNS_VARIABLE, default.max_columns, "columns of a landed file", minimum=50, maximum=100_000
    )
    row_mb = reader.whole_number(
        MAX_ROW_MB_VARIABLE, default.max_row_mb, "MB of a row of a landed file", minimum=1, maximum=1024
    )
    share = reader.share(
        MAX_MEMORY_SHARE_VARIABLE,
        default.max_memory_share,
        "the part of the memory of a step that the landed files of a day may take",
        minimum=0.01,
        maximum=0.9,
    )
    return Limits(columns, row_mb, share)


def current_limits() -> Limits:
    """Read the limits from the environment of this process.

    Raises
    ------
    SettingsError
        Naming every variable that is malformed.
    """
    reader = VariableReader(os.environ)
    limits = read_limits(reader)
    if reader.problems:
        raise SettingsError(f"{'; '.join(reader.problems)}.")
    return limits
