"""Scoring a file of clients: streamed, so that memory does not grow with the file."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from credit_default.core import tables
from credit_default.core.metrics import Floats
from credit_default.core.model_directory import LoadedModel
from credit_default.core.schema import CLIENT_ID
from credit_default.core.training import PROBABILITY
from credit_default.errors import ContractError, NotThere, UnreadableFile

PREDICTIONS = pa.schema(
    [
        pa.field("prediction_id", pa.string(), nullable=False),
        pa.field(CLIENT_ID, pa.string(), nullable=False),
        pa.field("as_of", pa.date32(), nullable=False),
        pa.field(PROBABILITY, pa.float64(), nullable=False),
        pa.field("predicted_default", pa.bool_(), nullable=False),
        pa.field("model_name", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("model_sha256", pa.string(), nullable=False),
        pa.field("input_data_version", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("scored_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
#: Rows at a time: about 5 MB as a matrix. Larger batches save nothing.
BATCH_ROWS = 32_768
#: Quantiles are told to 1 / this.
RESOLUTION = 10_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def score_file(
    model: LoadedModel,
    source: str | Path,
    destination: str | Path,
    *,
    as_of: date,
    model_name: str,
    model_version: str,
    input_data_version: str,
    run_id: str,
    scored_at: datetime,
) -> dict[str, Any]:
    """Score every row of a Parquet file, in its order.

    The same rows scored by the same model give the same ``prediction_id``: 16 hex digits of the sha256 of
    ``as_of|model_sha256|input_data_version``, a hyphen, and the row's number in the source, from 1. It leads
    back from a prediction to the row, the model and the day.

    Parameters
    ----------
    source
        Parquet file with `CLIENT_ID` and the inputs of the model.
    destination
        Parquet file that is complete once it is there; a file of that name is replaced.

    Returns
    -------
    ``rows``, ``mean_pd``, ``predicted_default_share`` and ``pd_quantiles`` (None for no rows; quantiles to
    1e-4), ``seconds``, ``rows_per_second``, ``input_data_version``, ``model_version``, ``model_sha256``, and
    ``data_version``: 32 hex digits that are equal when inputs, model and probabilities (to 1e-9) are.

    Raises
    ------
    NotThere
        There is no such file.
    UnreadableFile
        The source is not Parquet, or not all of it.
    ContractError
        The source lacks a column.
    """
    started = time.perf_counter()
    key = f"{as_of.isoformat()}|{model.sha256}|{input_data_version}"
    constants = {
        "as_of": as_of,
        "model_name": model_name,
        "model_version": model_version,
        "model_sha256": model.sha256,
        "input_data_version": input_data_version,
        "run_id": run_id,
        "scored_at": scored_at,
    }
    tally = _Tally(key)
    prefix = hashlib.sha256(key.encode()).hexdigest()[:16]
    with _unfinished(Path(destination)) as path, pq.ParquetWriter(path, PREDICTIONS, compression="zstd") as writer:
        batches = _batches(Path(source), [CLIENT_ID, *(feature.name for feature in model.features)])
        for batch, probabilities in _scored(model, batches):
            defaults = probabilities >= model.threshold
            numbers = pa.array(np.arange(tally.rows + 1, tally.rows + batch.num_rows + 1)).cast(pa.string())
            columns = {
                "prediction_id": pc.binary_join_element_wise(prefix, numbers, "-"),
                CLIENT_ID: batch.column(CLIENT_ID).cast(pa.string()),
                PROBABILITY: pa.array(probabilities),
                "predicted_default": pa.array(defaults),
            } | {
                name: pa.repeat(pa.scalar(value, PREDICTIONS.field(name).type), batch.num_rows)
                for name, value in constants.items()
            }
            writer.write_batch(pa.record_batch([columns[name] for name in PREDICTIONS.names], schema=PREDICTIONS))
            tally.add(probabilities, defaults)
        writer.add_key_value_metadata({tables.DATA_VERSION_KEY.decode(): tally.digest.hexdigest()[:32]})
    seconds = time.perf_counter() - started
    return {
        **tally.summary(),
        "seconds": round(seconds, 3),
        "rows_per_second": round(tally.rows / seconds),
        "input_data_version": input_data_version,
        "model_version": model_version,
        "model_sha256": model.sha256,
        "data_version": tally.digest.hexdigest()[:32],
    }


class _Tally:
    """What is told about the scores of a file, without keeping them."""

    def __init__(self, key: str) -> None:
        self.rows = 0
        self.defaults = 0
        self.total = 0.0
        self.counts = np.zeros(RESOLUTION + 1, dtype=np.int64)
        self.digest = hashlib.sha256(key.encode())

    def add(self, probabilities: Floats, defaults: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        self.rows += len(probabilities)
        self.defaults += int(defaults.sum())
        self.total += float(probabilities.sum())
        self.counts += np.bincount(np.rint(probabilities * RESOLUTION).astype(np.int64), minlength=RESOLUTION + 1)
        self.digest.update(np.rint(probabilities * 1e9).astype("<i8").data)

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


def _batches(source: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    if not source.is_file():
        raise NotThere(
            f"{source} is not there; expected the accepted rows of the day; materialise inference_data first"
        )
    try:
        with pq.ParquetFile(source) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise ContractError(f"{source} lacks the column(s) {', '.join(missing)}; expected the curated schema")
            yield from file.iter_batches(BATCH_ROWS, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile(f"{source}: expected a complete Parquet file; materialise inference_data again") from error


def _scored(model: LoadedModel, batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, Floats]]:
    """Score a batch on every processor at once, and give them back in their order."""
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[tuple[pa.RecordBatch, Future[Floats]]] = deque()
        for batch in batches:
            waiting.append((batch, pool.submit(model.probabilities, batch)))
            if len(waiting) > workers:
                oldest, found = waiting.popleft()
                yield oldest, found.result()
        for batch, found in waiting:
            yield batch, found.result()


@contextmanager
def _unfinished(destination: Path) -> Iterator[Path]:
    """Give a name to write to; the file gets its own name once it was written and closed."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    path = destination.with_name(f".{destination.name}.{os.getpid()}.unfinished")
    try:
        yield path
        path.replace(destination)
    finally:
        path.unlink(missing_ok=True)
