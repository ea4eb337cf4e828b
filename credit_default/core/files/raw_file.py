"""The content of a file from outside, before any rule was applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from credit_default.core.files.limits import (
    MAX_COLUMNS_VARIABLE,
    MAX_MEMORY_SHARE_VARIABLE,
    MAX_ROW_MB_VARIABLE,
    Limits,
)
from credit_default.core.printable import shortlist
from credit_default.errors import ContractError, UnreadableFile


@dataclass(frozen=True)
class MalformedRow:
    """A line of a CSV file that is no row of its table."""

    row: int
    line: int
    rule: str
    text: str


@dataclass(frozen=True)
class RawFile:
    """Content of a file, before any rule was applied.

    ``name`` is printable. ``rows`` (1-based, malformed ones counted) and ``lines`` (of the file; None for Parquet)
    have one entry per row of ``table``.
    """

    name: str
    table: pa.Table
    rows: NDArray[np.int64]
    lines: NDArray[np.int64] | None
    malformed: tuple[MalformedRow, ...] = ()


def name_columns(header: Sequence[str]) -> list[str]:
    """Name the columns that have no name by their position."""
    names = []
    for position, field in enumerate(header, start=1):
        name = field or f"column {position}"
        while not field and name in header:
            name += "'"
        names.append(name)
    return names


def refuse_columns(name: str, count: int, limits: Limits) -> None:
    """Raise `ContractError` for a file of more columns than a file may have."""
    if count > limits.max_columns:
        raise ContractError(
            f"{name}, header: has more than {limits.max_columns:,} columns; leave out those that are not needed, or "
            f"raise {MAX_COLUMNS_VARIABLE}."
        )


def refuse_repeated(name: str, header: Sequence[str]) -> None:
    """Raise `ContractError` when two columns have one name, which leaves it open which of them holds the values.

    Columns are named by position: where a header is missing, its "names" are the values of a row.
    """
    repeated = {column for column, times in Counter(header).items() if column and times > 1}
    if repeated:
        positions = [str(place) for place, column in enumerate(header, start=1) if column in repeated]
        listed = shortlist(positions, len(positions))
        raise ContractError(f"{name}, header: columns {listed} repeat a name; expected every column once.")


def refuse_row(where: str, limits: Limits) -> None:
    """Raise `UnreadableFile` for a row that is larger than a row may be."""
    raise UnreadableFile(
        f"{where}: a row is larger than {limits.max_row_mb} MB; is it one row? Mend the file, or raise "
        f"{MAX_ROW_MB_VARIABLE}."
    )


def refuse_size(name: str, size: int, left: int, limits: Limits) -> None:
    """Raise `UnreadableFile` for a file that takes more memory than is left for what is read together."""
    if size > left:
        more = "" if left == limits.max_bytes else " with the files beside it"
        raise UnreadableFile(
            f"{name}: takes about {_in_mb(size)} of memory once it is read, which is{more} more than the "
            f"{_in_mb(limits.max_bytes)} that files may take ({limits.max_memory_share:.0%} of what this process may "
            f"use); send fewer rows a day, give the step more memory, or raise {MAX_MEMORY_SHARE_VARIABLE}."
        )


def _in_mb(size: int) -> str:
    return f"{max(size >> 20, 1):,} MB"
