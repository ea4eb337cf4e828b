"""Rules that values of a column broke, and the refusal of a column that can hold none."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from credit_default.core.printable import shortened
from credit_default.errors import ContractError

Mask = NDArray[np.bool_]
#: Rules that a column's values broke, and the rows in which they did.
Broken = list[tuple[str, Mask]]


def any_of(broken: Broken, rows: int) -> Mask:
    """Tell which rows broke a rule."""
    refused = np.zeros(rows, bool)
    for _, mask in broken:
        refused |= mask
    return refused


def refused_type(file: str, column: str, got: pa.DataType, expected: str) -> ContractError:
    """Make the error of a column whose type cannot hold the values."""
    # The name of a type holds names from the file: of time zones, and of fields.
    return ContractError(f"{file}, column {column}: has type {shortened(str(got))}; expected {expected}.")
