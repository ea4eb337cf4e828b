"""Bins of a development sample, stored with a model so that PSI and CSI always compare against the same cuts.

A number is cut at the deciles of the sample, a category at its values. Every column has a bin for missing values,
and a category one for values that the sample did not have. As JSON::

    {"n": 12000, "columns": {
        "age": {"kind": "number", "edges": [25.0, ...], "counts": [..., missing]},
        "sex": {"kind": "category", "categories": ["female", "male"], "counts": [..., other, missing]}}}

Bins are closed on the right: a number ``x`` is in bin ``i`` when ``edges[i - 1] < x <= edges[i]``, the outer two
being open-ended. Equal deciles are merged, so a column with a mass point (a fifth of all payments are zero) has
fewer bins than ten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core.defects import concerning
from credit_default.core.schema import BY_NAME
from credit_default.errors import ContractError

Bins: TypeAlias = Mapping[str, Any]
Counts: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

_SHARES = np.arange(1, 10) / 10


def make_bins(table: pa.Table, columns: Sequence[str]) -> dict[str, Any]:
    """Bins of ``columns`` in a development sample, as plain JSON.

    Raises
    ------
    ContractError
        When a column is not in the table.
    """
    described: dict[str, Any] = {}
    for name in columns:
        values = column(table, name)
        described[name] = _of_numbers(values) if is_number(values) else _of_categories(name, values)
    bins = {"columns": described, "n": table.num_rows}
    for name, counts in count(bins, table).items():
        described[name]["counts"] = counts.tolist()
    return bins


def count(bins: Bins, table: pa.Table) -> dict[str, Counts]:
    """How many rows of ``table`` fall into each bin, for every column of ``bins``; shape (bins,) each.

    Raises
    ------
    ContractError
        When a column of ``bins`` is not in the table, or is a number where a category was binned or the reverse.
    """
    counted = {}
    for name, described in bins["columns"].items():
        values = column(table, name)
        expected = described["kind"]
        if not pa.types.is_null(values.type) and is_number(values) != (expected == "number"):
            raise ContractError(f"column {name!r}: got {values.type}, expected a {expected} as in the stored bins")
        with concerning(name):
            counted[name] = np.bincount(codes(described, values), minlength=size(described))
    return counted


def stored_counts(bins: Bins) -> dict[str, Counts]:
    """Give the counts of the development sample itself, by column."""
    return {name: np.asarray(item["counts"], dtype=np.int64) for name, item in bins["columns"].items()}


def size(described: Mapping[str, Any]) -> int:
    """Count the bins of one column, those for missing and other values included."""
    if described["kind"] == "number":
        return len(described["edges"]) + 2
    return len(described["categories"]) + 2


def labels(described: Mapping[str, Any]) -> list[str]:
    """Name the bins of one column; edges are rounded to three digits, for each is a value of the sample."""
    if described["kind"] == "category":
        return [*described["categories"], "other", "missing"]
    edges = [f"{float(format(edge, '.3g')):,g}" for edge in described["edges"]]
    if not edges:
        return ["any value", "missing"]
    return [f"≤ {edges[0]}", *(f"{low} to {high}" for low, high in pairwise(edges)), f"> {edges[-1]}", "missing"]


def codes(described: Mapping[str, Any], values: pa.ChunkedArray) -> npt.NDArray[np.intp]:
    """Find the bin of every row of one column, shape (rows,)."""
    last = size(described) - 1
    if described["kind"] == "number":
        numbers = to_floats(values)
        edges = np.asarray(described["edges"], dtype=np.float64)
        return np.where(np.isnan(numbers), last, np.searchsorted(edges, numbers, side="left"))
    texts = values.cast(pa.string())
    positions = pc.index_in(texts, value_set=pa.array(described["categories"], pa.string()), skip_nulls=True)
    found: npt.NDArray[np.intp] = positions.fill_null(last - 1).to_numpy().astype(np.intp)
    found[texts.is_null().to_numpy()] = last
    return found


def column(table: pa.Table, name: str) -> pa.ChunkedArray:
    """One column of a table, or an error that says that it is not there."""
    if name not in table.column_names:
        raise ContractError(f"column {name!r} is missing: expected it among {table.num_columns} columns")
    return table.column(name)


def is_number(values: pa.ChunkedArray) -> bool:
    """Whether a column holds numbers."""
    kind = values.type
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def to_floats(values: pa.ChunkedArray) -> Floats:
    """Give a column of numbers as float64, missing values as NaN."""
    return np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _of_numbers(values: pa.ChunkedArray) -> dict[str, Any]:
    numbers = to_floats(values)
    numbers = numbers[~np.isnan(numbers)]
    if numbers.size == 0:
        return {"kind": "number", "edges": []}
    # Deciles that are values of the sample: they survive JSON and the units of the column unchanged.
    edges = np.unique(np.quantile(numbers, _SHARES, method="inverted_cdf"))
    highest = numbers.max()
    # An edge at the maximum only adds a bin that is empty ...
    edges = edges[edges < highest]
    if edges.size == 0:
        # ... unless nine tenths of the sample sit there: then a move in either direction must show.
        with np.errstate(over="ignore"):
            edges = np.array([np.nextafter(highest, -np.inf), highest])
    # JSON has no infinity, and no value lies beyond it.
    edges = edges[np.isfinite(edges)]
    return {"kind": "number", "edges": edges.tolist()}


def _of_categories(name: str, values: pa.ChunkedArray) -> dict[str, Any]:
    seen = set(pc.unique(values.cast(pa.string())).drop_null().to_pylist())
    known = BY_NAME[name].categories if name in BY_NAME else ()
    ordered = [category for category in known if category in seen]
    return {"kind": "category", "categories": ordered + sorted(seen.difference(known))}
