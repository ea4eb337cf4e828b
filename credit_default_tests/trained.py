"""A real model, trained once per process on some of the bundled clients, for tests that need one."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from credit_default.core import tables
from credit_default.core.data import sample, splits
from credit_default.core.model import model_directory, plots
from credit_default.core.model.model_folder import Expectation
from credit_default.core.model.training import TrainedModel, TrainingOptions, train
from credit_default.core.schema import AS_OF, CLIENT_ID, FEATURE_NAMES
from credit_default.core.statistics import bins

ROWS = 4_000
OPTIONS = TrainingOptions(trials=2, seed=1, folds=3)


@cache
def parts() -> dict[str, pa.Table]:
    """Development, calibration and test rows, without dates, as a first model has them."""
    clients = sample.development_clients().slice(0, ROWS)
    clients = clients.append_column(AS_OF, pa.nulls(clients.num_rows, pa.date32()))
    clients = clients.select(tables.schema(target=True, as_of=True).names)
    part = splits.part_of(clients[CLIENT_ID].to_pylist())
    return {name: clients.filter(pa.array(part == name)) for name in splits.PARTS}


@cache
def model() -> TrainedModel:
    return train(**parts(), options=OPTIONS)


def training_rows() -> pa.Table:
    return pa.concat_tables([parts()["development"], parts()["calibration"]])


def save(directory: Path, **changes: Any) -> dict[str, Any]:
    trained = model()
    return model_directory.save(
        trained,
        directory,
        **{
            "training_rows": training_rows(),
            "bins": bins.make_bins(parts()["development"], FEATURE_NAMES),
            "plots": plots.all_plots(
                trained.test_labels,
                trained.test_probabilities,
                trained.bands,
                trained.importance,
                trained.threshold,
            ),
            "prepared_data_version": "0123456789abcdef",
            "code_version": "c0de",
            **changes,
        },
    )


def registered(directory: Path) -> Expectation:
    """What the registry holds of a model directory that was registered as it is now."""
    manifest = (directory / "manifest.json").read_bytes()
    return Expectation(json.loads(manifest)["model_sha256"], hashlib.sha256(manifest).hexdigest())


def options(directory: Path) -> list[str]:
    """Options by which a step gets a model directory that was registered as it is now."""
    known = registered(directory)
    hashes = ("--model-sha256", known.sha256, "--manifest-sha256", known.manifest_text)
    return ["--model", str(directory), *hashes]


def write_prepared(folder: Path) -> Path:
    """Write the parts as the prepare step leaves them."""
    for name, rows in parts().items():
        tables.write(rows, folder / f"{name}.parquet", data_version="0123456789abcdef")
    (folder / "bins.json").write_text(json.dumps(bins.make_bins(parts()["development"], FEATURE_NAMES)))
    return folder
