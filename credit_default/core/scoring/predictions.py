"""Predictions as they are kept: each row leads back to its day, its model, its input and the run that wanted it.

Light: numpy and pyarrow only, since the orchestrator completes what a batch endpoint has scored.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from credit_default.core import tables
from credit_default.core.schema import CLIENT_ID, PROBABILITY
from credit_default.core.system_errors import explained
from credit_default.errors import NotThere, UnreadableFile

PREDICTED = "predicted_default"
PREDICTIONS = pa.schema(
    [
        pa.field("prediction_id", pa.string(), nullable=False),
        pa.field(CLIENT_ID, pa.string(), nullable=False),
        pa.field("as_of", pa.date32(), nullable=False),
        pa.field(PROBABILITY, pa.float64(), nullable=False),
        pa.field(PREDICTED, pa.bool_(), nullable=False),
        pa.field("model_name", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("model_sha256", pa.string(), nullable=False),
        pa.field("input_data_version", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("scored_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
#: What scoring alone knows: the other columns belong to whoever wanted it.
SCORES = pa.schema([field for field in PREDICTIONS if field.name not in ("prediction_id", "as_of", "run_id")])
#: Rows at a time: about 5 MB as a matrix. Larger batches save nothing.
BATCH_ROWS = 32_768
#: Quantiles are told to 1 / this.
RESOLUTION = 10_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_ORIGIN_KEY = b"credit_default.scores"


@dataclass(frozen=True)
class Origin:
    """Where scores come from.

    Attributes
    ----------
    input_data_version
        Hash of the rows that were scored.
    """

    model_name: str
    model_version: str
    model_sha256: str
    input_data_version: str
    scored_at: datetime


class Scores(NamedTuple):
    """Scores of some rows, in their order; each of shape (rows,)."""

    client_ids: pa.Array
    probabilities: np.ndarray[Any, np.dtype[np.float64]]
    defaults: np.ndarray[Any, np.dtype[np.bool_]]


def write_scores(scores: Iterator[Scores], destination: Path, origin: Origin) -> int:
    """Write what scoring alone knows; return the number of rows."""
    rows = 0
    with _unfinished(destination) as path, pq.ParquetWriter(path, SCORES, compression="zstd") as writer:
        for some in scores:
            writer.write_batch(_batch(some, vars(origin), SCORES))
            rows += len(some.probabilities)
        told = {**vars(origin), "scored_at": origin.scored_at.isoformat()}
        writer.add_key_value_metadata({_ORIGIN_KEY.decode(): json.dumps(told)})
    return rows


def write_predictions(
    scores: Iterator[Scores], destination: Path, origin: Origin, *, as_of: date, run_id: str
) -> dict[str, Any]:
    """Write the predictions of a day.

    The same rows scored by the same model give the same ``prediction_id``: 16 hex digits of the sha256 of
    ``as_of|model_sha256|input_data_version``, a hyphen, and the row's number in the source, from 1.

    Returns
    -------
    ``rows``, ``mean_pd``, ``predicted_default_share`` and ``pd_quantiles`` (None for no rows; quantiles to 1e-4),
    ``input_data_version``, ``model_version``, ``model_sha256``, and ``data_version``: 32 hex digits that are equal when
    inputs, model and probabilities (to 1e-9) are.
    """
    key = origin_key(as_of, origin.model_sha256, origin.input_data_version)
    prefix = id_prefix(key)
    constants = {**vars(origin), "as_of": as_of, "run_id": run_id}
    tally = _Tally(key)
    with _unfinished(destination) as path, pq.ParquetWriter(path, PREDICTIONS, compression="zstd") as writer:
        for some in scores:
            numbers = pa.array(np.arange(tally.rows + 1, tally.rows + len(some.probabilities) + 1)).cast(pa.string())
            ids = pc.binary_join_element_wise(prefix, numbers, "-")
            writer.write_batch(_batch(some, constants, PREDICTIONS, prediction_id=ids))
            tally.add(some.probabilities, some.defaults)
        writer.add_key_value_metadata({tables.DATA_VERSION_KEY.decode(): tally.data_version})
    return {
        **tally.summary(),
        "input_data_version": origin.input_data_version,
        "model_version": origin.model_version,
        "model_sha256": origin.model_sha256,
        "data_version": tally.data_version,
    }


def origin_key(as_of: date, model_sha256: str, input_data_version: str) -> str:
    """Return what the predictions of a file have in common that were made of the same rows by the same model."""
    return f"{as_of.isoformat()}|{model_sha256}|{input_data_version}"


def id_prefix(key: str) -> str:
    """Return what every ``prediction_id`` of a file begins with, given its `origin_key`."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def data_version(key: str, probabilities: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    """Return the data version that `write_predictions` gives these probabilities."""
    digest = hashlib.sha256(key.encode())
    digest.update(_rounded(probabilities))
    return digest.hexdigest()[:32]


def complete(scored: Path, destination: Path, *, as_of: date, run_id: str) -> dict[str, Any]:
    """Turn what `write_scores` wrote into the predictions of a day; returns what `write_predictions` does.

    Raises
    ------
    NotThere
        There is no such file.
    UnreadableFile
        It is not what `write_scores` writes, or not all of it.
    """
    if not scored.is_file():
        raise NotThere(f"{scored.name} is not there; expected what the batch endpoint scored; score the day again")
    try:
        with pq.ParquetFile(scored, pre_buffer=False) as file:
            told = json.loads((file.metadata.metadata or {})[_ORIGIN_KEY])
            origin = Origin(**{**told, "scored_at": datetime.fromisoformat(told["scored_at"])})
            return write_predictions(_read(file), destination, origin, as_of=as_of, run_id=run_id)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise UnreadableFile(
            f"{scored.name}: expected scores that this project's batch deployment wrote, complete; score the day again"
        ) from error


def _read(file: pq.ParquetFile) -> Iterator[Scores]:
    for batch in file.iter_batches(BATCH_ROWS, columns=[CLIENT_ID, PROBABILITY, PREDICTED]):
        probabilities = batch.column(PROBABILITY).to_numpy()
        defaults = batch.column(PREDICTED).to_numpy(zero_copy_only=False)
        yield Scores(batch.column(CLIENT_ID), probabilities, defaults)


def _batch(scores: Scores, constants: dict[str, Any], schema: pa.Schema, **more: pa.Array) -> pa.RecordBatch:
    rows = len(scores.probabilities)
    columns = {
        **more,
        CLIENT_ID: scores.client_ids.cast(pa.string()),
        PROBABILITY: pa.array(scores.probabilities),
        PREDICTED: pa.array(scores.defaults),
    }
    for field in schema:
        if field.name not in columns:
            columns[field.name] = pa.repeat(pa.scalar(constants[field.name], field.type), rows)
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


class _Tally:
    """What is told about the scores of a file, without keeping them."""

    def __init__(self, key: str) -> None:
        self.rows = 0
        self.defaults = 0
        self.total = 0.0
        self.counts = np.zeros(RESOLUTION + 1, dtype=np.int64)
        self.digest = hashlib.sha256(key.encode())

    @property
    def data_version(self) -> str:
        return self.digest.hexdigest()[:32]

    def add(
        self, probabilities: np.ndarray[Any, np.dtype[np.float64]], defaults: np.ndarray[Any, np.dtype[np.bool_]]
    ) -> None:
        self.rows += len(probabilities)
        self.defaults += int(defaults.sum())
        self.total += float(probabilities.sum())
        self.counts += np.bincount(np.rint(probabilities * RESOLUTION).astype(np.int64), minlength=RESOLUTION + 1)
        self.digest.update(_rounded(probabilities))

    def summary(self) -> dict[str, Any]:
        if not self.rows:
            return {"rows": 0, "mean_pd": None, "predicted_default_share": None, "pd_quantiles": None}
        reached = np.cumsum(self.counts)
        return {
            "rows": self.rows,
            "mean_pd": self.total / self.rows,
            "predicted_default_share": self.defaults / self.rows,
            "pd_quantiles": {
                f"p{round(share * 100):02d}": float(np.searchsorted(reached, share * self.rows)) / RESOLUTION
                for share in QUANTILES
            },
        }


def _rounded(probabilities: np.ndarray[Any, np.dtype[np.float64]]) -> memoryview:
    """Return what counts of probabilities: all that differs by more than 1e-9."""
    return np.rint(probabilities * 1e9).astype("<i8").data


@contextmanager
def _unfinished(destination: Path) -> Iterator[Path]:
    """Give a name to write to; the file gets its own name once it was written and closed."""
    path = destination.with_name(f".{destination.name}.{os.getpid()}.unfinished")
    try:
        with explained(destination):
            destination.parent.mkdir(parents=True, exist_ok=True)
            yield path
            path.replace(destination)
    finally:
        path.unlink(missing_ok=True)
