"""Whether the predictions of a day are what the live version makes of what was taken in: pure, on Arrow tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core.schema import PROBABILITY
from credit_default.ports import ModelVersion


@dataclass(frozen=True)
class Expected:
    """What the predictions of a day have to say.

    Attributes
    ----------
    rows, input_data_version
        Of the clients that were taken in.
    live
        The version that is live.
    """

    day: date
    rows: int
    input_data_version: str
    live: ModelVersion


@dataclass(frozen=True)
class Read:
    """What the predictions of a day say."""

    rows: int
    mean_pd: float | None
    model_version: str
    model_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def read(predictions: pa.Table) -> Read:
    """Return the figures of a table of predictions; several versions are told side by side."""
    mean = pc.mean(predictions[PROBABILITY]).as_py() if predictions.num_rows else None
    return Read(predictions.num_rows, mean, only(predictions, "model_version"), only(predictions, "model_sha256"))


def problems(predictions: pa.Table, expected: Expected) -> list[str]:
    """Return what is wrong with predictions, each in a sentence; nothing when all is well."""
    found = []
    if predictions.num_rows != expected.rows:
        found.append(f"there are {predictions.num_rows:,} predictions; expected {expected.rows:,}, one for each client")
    if not predictions.num_rows:
        return found
    wanted = {
        "as_of": str(expected.day),
        "model_version": expected.live.version,
        "model_sha256": expected.live.sha256,
        "input_data_version": expected.input_data_version,
    }
    for name, value in wanted.items():
        got = only(predictions, name)
        if got != value:
            found.append(f"{name} is {got}; expected {value}")
    probabilities = predictions[PROBABILITY]
    # What is no number compares as false.
    sound = pc.and_(pc.greater_equal(probabilities, 0.0), pc.less_equal(probabilities, 1.0))
    unsound = predictions.num_rows - (pc.sum(sound).as_py() or 0)
    if unsound:
        found.append(f"{unsound:,} probabilities are not between 0 and 1")
    if pc.count_distinct(predictions["prediction_id"]).as_py() != predictions.num_rows:
        found.append("some predictions have the same prediction_id")
    return found


def only(predictions: pa.Table, name: str) -> str:
    """Return the one value of a column; several are told side by side."""
    return ", ".join(sorted(map(str, pc.unique(predictions[name]).to_pylist())))
