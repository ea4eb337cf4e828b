"""A small lake for the steps that measure days: real rows, and what those steps read of a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core import tables
from credit_default.core.data.sample import arrivals, development_clients
from credit_default.core.model.model_folder import Expectation
from credit_default.core.schema import AMOUNTS, CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default.core.statistics.bins import make_bins

SCORE = "probability_of_default"


def score_of(table: pa.Table) -> pa.Array:
    """Score by the latest repayment state alone: its published bad rates, roughly."""
    states = table["repayment_status_1"].combine_chunks().indices.cast(pa.float64())
    return pc.min_element_wise(pc.add(0.1, pc.multiply(states, 0.13)), 0.95)


def scaled(table: pa.Table, factor: float) -> pa.Table:
    """All amounts in another unit."""
    for name in AMOUNTS:
        table = table.set_column(table.column_names.index(name), name, pc.multiply(table[name], factor))
    return table


@dataclass
class Lake:
    """Folders as the steps are given them."""

    root: Path
    #: What the registry would say about its models.
    registered: dict[str, Expectation] = field(default_factory=dict)

    def model(self, name: str, rows: pa.Table | None = None, features: Sequence[str] = FEATURE_NAMES) -> str:
        """Store what the drift step reads of a model, and give the model's sha256."""
        content = f"the model {name}".encode()
        sha256 = hashlib.sha256(content).hexdigest()
        directory = self.root / "models" / sha256[:16]
        directory.mkdir(parents=True)
        table = (development_clients() if rows is None else rows).select(features)
        table = table.append_column(SCORE, score_of(table))
        tables.write(table, directory / "reference.parquet")
        (directory / "bins.json").write_text(json.dumps(make_bins(table, [*features, SCORE])))
        (directory / "model.skops").write_bytes(content)
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}
        (directory / "manifest.json").write_text(json.dumps({"model_sha256": sha256, "files": files}))
        manifest_sha256 = hashlib.sha256((directory / "manifest.json").read_bytes()).hexdigest()
        self.registered[sha256] = Expectation(sha256, manifest_sha256)
        return sha256

    def day(self, day: str, rows: pa.Table, sha256: str, *, version: str = "1") -> None:
        """Store a day's rows, predictions and outcomes."""
        data = rows.select([CLIENT_ID, *FEATURE_NAMES])
        data_version = tables.content_hash(data)
        tables.write(data, self.root / "inference_data" / day / "inference_data.parquet", data_version=data_version)
        probabilities = score_of(data)
        predictions = pa.table(
            {
                CLIENT_ID: data[CLIENT_ID],
                SCORE: probabilities,
                "predicted_default": pc.greater_equal(probabilities, 0.3),
                **{
                    name: pa.array([value] * data.num_rows, pa.string())
                    for name, value in {
                        "model_name": "credit-card-default",
                        "model_version": version,
                        "model_sha256": sha256,
                    }.items()
                },
            }
        )
        tables.write(predictions, self.root / "predictions" / day / "predictions.parquet", data_version=f"scored-{day}")
        outcomes = rows.select([CLIENT_ID, TARGET])
        tables.write(outcomes, self.root / "outcomes" / day / "outcomes.parquet", data_version=f"known-{day}")


def day_of(number: int, rows: int = 300) -> pa.Table:
    """Arrivals of a day, numbered from 0."""
    return arrivals().slice(number * rows, rows)


def told(captured: str) -> list[dict]:
    """Results that a step told on the terminal."""
    return [json.loads(line) for line in captured.splitlines()]
