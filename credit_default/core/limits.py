"""Limits of what a landed file may hold: settings, read from the environment of whichever process reads files."""

from __future__ import annotations

import os
from dataclasses import dataclass

from credit_default.core.memory import usable_memory
from credit_default.errors import SettingsError
from credit_default.variables import VariableReader

MAX_COLUMNS_VARIABLE = "CREDIT_DEFAULT_MAX_COLUMNS"
MAX_ROW_MB_VARIABLE = "CREDIT_DEFAULT_MAX_ROW_MB"
MAX_MEMORY_SHARE_VARIABLE = "CREDIT_DEFAULT_MAX_MEMORY_SHARE"

#: A table of ours has 25 columns; each column of a file costs time and memory however few rows it has.
_COLUMNS = (50, 100_000)
#: A text of Arrow holds less than 2 GB.
_ROW_MB = (1, 1024)
_SHARE = (0.01, 0.9)


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


def read_limits(reader: VariableReader) -> Limits:
    """Read the limits; what is wrong with them is in the reader's problems."""
    usual, (fewest, most), (smallest, largest) = DEFAULT_LIMITS, _COLUMNS, _ROW_MB
    return Limits(
        max_columns=reader.whole_number(
            MAX_COLUMNS_VARIABLE, usual.max_columns, "columns of a landed file", minimum=fewest, maximum=most
        ),
        max_row_mb=reader.whole_number(
            MAX_ROW_MB_VARIABLE, usual.max_row_mb, "MB of a row of a landed file", minimum=smallest, maximum=largest
        ),
        max_memory_share=reader.share(
            MAX_MEMORY_SHARE_VARIABLE,
            usual.max_memory_share,
            "the part of the memory of a step that the landed files of a day may take",
            minimum=_SHARE[0],
            maximum=_SHARE[1],
        ),
    )


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
