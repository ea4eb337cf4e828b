"""From a table of clients to the matrix that a classifier reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from credit_default.core.defects import concerning
from credit_default.core.schema import Feature
from credit_default.errors import ContractError

Matrix = NDArray[np.float64]


def encode(table: pa.Table | pa.RecordBatch, features: Sequence[Feature]) -> Matrix:
    """Turn the columns of a table into numbers.

    A category becomes its position in the schema (worse repayment states have higher codes), a number stays what
    it is, and what is missing or unknown becomes NaN. Gives the same matrix as the first step of
    `credit_default.core.model.pipeline.build`, without going through pandas.

    Parameters
    ----------
    table
        Any table or batch that holds the features; other columns and their order make no difference.
    features
        The columns to take, in the order in which the classifier expects them.

    Returns
    -------
    Array of shape (rows, features).

    Raises
    ------
    ContractError
        A feature's column is missing.
    """
    missing = [feature.name for feature in features if feature.name not in table.schema.names]
    if missing:
        raise ContractError(f"the table lacks {', '.join(missing)}; expected all {len(features)} inputs of the model")
    matrix = np.empty((table.num_rows, len(features)))
    for position, feature in enumerate(features):
        column = table.column(feature.name)
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        start = 0
        for chunk in chunks:
            stop = start + len(chunk)
            with concerning(feature.name):
                matrix[start:stop, position] = _numbers(chunk) if feature.kind == "number" else _codes(chunk, feature)
            start = stop
    return matrix


def _numbers(chunk: pa.Array) -> Matrix:
    return np.asarray(chunk.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _codes(chunk: pa.Array, feature: Feature) -> Matrix:
    """Ordinal codes of a category column, whatever the order of its dictionary."""
    if not isinstance(chunk, pa.DictionaryArray):
        chunk = chunk.cast(pa.string()).dictionary_encode()
    code_of = {category: float(code) for code, category in enumerate(feature.categories)}
    # One entry more than the dictionary: where missing values, which have no index, are sent.
    lookup = np.array([*(code_of.get(value, np.nan) for value in chunk.dictionary.to_pylist()), np.nan])
    indices = chunk.indices.fill_null(pa.scalar(len(lookup) - 1, chunk.indices.type))
    return np.asarray(lookup[indices.to_numpy(zero_copy_only=False)], dtype=np.float64)
