"""A model on disk: how it is written, and how it is read without trusting it.

::

    MLmodel ...           an MLflow model, beside which the rest lies; ``model.skops`` holds the pipeline
    reference.parquet     features and probability of default of the most recent training rows
    bins.json             bins of the features (development sample) and of the score (reference)
    golden.parquet        rows and the probabilities that they must have
    plots/*.png
    manifest.json         what the model is, and the sha256 of every other file
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import pyarrow as pa
import pyarrow.compute as pc
import skops.io
from sklearn.pipeline import Pipeline

from credit_default.core import lake, tables
from credit_default.core.model import golden_rows, quiet_mlflow
from credit_default.core.model.features import encode
from credit_default.core.model.model_folder import (
    MODEL_ID_LENGTH,
    Expectation,
    ModelFolder,
    open_folder,
    threshold_of,
)
from credit_default.core.model.pipeline import probabilities
from credit_default.core.model.training import TrainedModel
from credit_default.core.plurals import plural
from credit_default.core.schema import AS_OF, BY_NAME, FEATURE_NAMES, PROBABILITY, Feature
from credit_default.core.statistics.bins import make_bins
from credit_default.core.statistics.metrics import Floats
from credit_default.errors import ModelError, UntrustedType

PLOTS = "plots"

#: Types that a model file may hold besides those that skops trusts by itself. They are ours to decide: a model's
#: own list, in its MLmodel file, is never read.
ALLOWED_TYPES = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
#: What the pipeline needs to be used; the exact versions are those that wrote it.
REQUIREMENTS = ("mlflow", "scikit-learn", "skops", "pandas", "numpy", "scipy")


@dataclass(frozen=True)
class LoadedModel:
    """A model whose folder is the registered one and whose file holds nothing but what we allow."""

    pipeline: Pipeline
    features: tuple[Feature, ...]
    threshold: float
    sha256: str
    folder: ModelFolder

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Metadata of the model."""
        return self.folder.manifest

    def probabilities(self, table: pa.Table | pa.RecordBatch) -> Floats:
        """Probability of default of every row of a table, shape (rows,)."""
        return probabilities(self.pipeline[-1], encode(table, self.features))


def save(
    trained: TrainedModel,
    directory: str | Path,
    *,
    training_rows: pa.Table,
    bins: Mapping[str, Any],
    plots: Mapping[str, bytes],
    prepared_data_version: str,
    code_version: str,
    reference_rows: int = 0,
    mlflow_run_id: str | None = None,
) -> dict[str, Any]:
    """Write a model directory and return its manifest.

    Parameters
    ----------
    directory
        Where to write; must be empty or absent.
    training_rows
        Development and calibration parts, with `AS_OF`; the reference is taken from them.
    bins
        Bins of the features in the development sample, see `credit_default.core.statistics.bins`.
    plots
        PNG by name.
    reference_rows
        Size of the reference: the most recent so many rows; 0 for all of them.
    """
    root = Path(directory)
    _save_mlflow(trained, root)
    reference = most_recent(training_rows, reference_rows).select(FEATURE_NAMES)
    reference = reference.append_column(PROBABILITY, pa.array(trained.probabilities(reference)))
    tables.write(reference, root / lake.REFERENCE_FILE)
    tables.write(trained.golden, root / lake.GOLDEN_FILE)
    score = make_bins(reference, [PROBABILITY])["columns"]
    _write_json(root / lake.BINS_FILE, {**bins, "columns": {**bins["columns"], **score}})
    for name, png in plots.items():
        (root / PLOTS).mkdir(exist_ok=True)
        (root / PLOTS / f"{name}.png").write_bytes(png)

    files = {path.relative_to(root).as_posix(): _sha256(path.read_bytes()) for path in _files(root)}
    sha256 = files[lake.MODEL_FILE]
    manifest = {
        "model_sha256": sha256,
        "model_id": sha256[:MODEL_ID_LENGTH],
        "content_hash": trained.content_hash,
        "features": [feature.name for feature in trained.features],
        "protected_attributes": trained.options.protected_attributes,
        "threshold": trained.threshold,
        "calibration": trained.options.calibration,
        "parameters": trained.parameters,
        "seed": trained.options.seed,
        "trials": [asdict(trial) for trial in trained.trials],
        "best_trial": trained.best.number,
        "metrics": {part: dict(figures) for part, figures in trained.metrics.items()},
        "score_bands": [dict(band) for band in trained.bands],
        "monotonicity": dict(trained.monotonicity),
        "importance": dict(trained.importance),
        "plots": [f"{PLOTS}/{name}.png" for name in plots],
        "reference_rows": reference.num_rows,
        "prepared_data_version": prepared_data_version,
        "code_version": code_version,
        "mlflow_run_id": mlflow_run_id,
        "requirements": _requirements(),
        "files": files,
    }
    _write_json(root / lake.MANIFEST_FILE, manifest)
    return manifest


def load(directory: str | Path, expectation: Expectation) -> LoadedModel:
    """Read a model, provided that its folder is the one that was registered.

    Parameters
    ----------
    expectation
        Hashes that the registry holds of the folder. They come from outside: a process that can change the model file
        can change the manifest beside it.

    Raises
    ------
    NotThere
        There is no model in this directory.
    HashMismatch
        A file is another one. Nothing of the model file was parsed.
    UntrustedType
        The file holds a type that is not on `ALLOWED_TYPES`. None of it was built.
    ModelError
        The file is no model of ours, or its threshold is no number from 0 to 1.
    """
    folder = open_folder(directory, expectation)
    threshold = threshold_of(folder)
    path = folder.path / lake.MODEL_FILE
    # Read once: what is checked is what is parsed, even if the file changes meanwhile.
    pipeline = _parse(folder.read(lake.MODEL_FILE), path)
    try:
        features = tuple(BY_NAME[name] for name in pipeline[0].feature_names_in_)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelError(f"{path}: expected a pipeline over features of the schema; train again") from error
    return LoadedModel(pipeline, features, threshold, expectation.sha256, folder)


def smoke_test(model: LoadedModel) -> dict[str, Any]:
    """Score the golden rows of a model with the model itself.

    Returns
    -------
    ``rows``, ``largest_difference`` from the probabilities of the training, and the ``tolerance`` it is within.

    Raises
    ------
    SmokeTestFailed
        A probability differs by more than `golden_rows.SAME`, or there are no golden rows.
    """
    golden = golden_rows.read(model.folder)
    libraries = ", ".join(model.manifest["requirements"])
    return golden_rows.check_against(model.probabilities(golden), golden, where=f"{model.folder.path} with {libraries}")


def most_recent(rows: pa.Table, number: int) -> pa.Table:
    """Take the rows with the latest `AS_OF`, those without being the oldest; all when ``number`` is 0 or none has."""
    if not number or number >= rows.num_rows or rows[AS_OF].null_count == rows.num_rows:
        return rows
    order = pc.sort_indices(pc.fill_null(rows[AS_OF], date.min), sort_keys=[("", "descending")])
    # Back in their own order, so that the reference does not depend on how ties were sorted.
    return rows.take(pc.take(order, pa.array(range(number))).sort())


def _parse(content: bytes, path: Path) -> Pipeline:
    try:
        foreign = sorted(set(skops.io.get_untrusted_types(data=content)) - set(ALLOWED_TYPES))
        if foreign:
            raise UntrustedType(
                f"{path}: got {plural(len(foreign), 'type')} beside the allow-list, {', '.join(foreign)}; expected the "
                "types of a model that the train step wrote; do not load this file"
            )
        pipeline = skops.io.loads(content, trusted=list(ALLOWED_TYPES))
    except (BadZipFile, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: expected a skops file that the train step wrote; train again") from error
    if not isinstance(pipeline, Pipeline):
        raise ModelError(f"{path}: got a {type(pipeline).__name__}, expected a scikit-learn Pipeline; train again")
    return pipeline


def _save_mlflow(trained: TrainedModel, path: Path) -> None:
    quiet_mlflow.settle(os.environ.get("MLFLOW_TRACKING_URI", ""))
    import mlflow.sklearn
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string if feature.kind == "category" else DataType.double, feature.name)
        for feature in trained.features
    ]
    probabilities = TensorSpec(trained.test_probabilities.dtype, (-1, 2))
    mlflow.sklearn.save_model(
        trained.pipeline,
        str(path),
        serialization_format="skops",
        skops_trusted_types=list(ALLOWED_TYPES),
        # Given, not inferred: inferring loads the model in a new process and takes 18 seconds.
        pip_requirements=_requirements(),
        pyfunc_predict_fn="predict_proba",
        signature=ModelSignature(Schema(columns), Schema([probabilities])),
    )


def _requirements() -> list[str]:
    return [f"{package}=={version(package)}" for package in REQUIREMENTS]


def _files(root: Path) -> Sequence[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and path.name != lake.MANIFEST_FILE)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
