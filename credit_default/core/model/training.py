"""Training: search, fit, calibrate, choose a threshold, and look at the test part once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.calibration import CalibratedClassifierCV
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline

from credit_default.core.model.features import Matrix, encode
from credit_default.core.model.golden_rows import TOLERANCE
from credit_default.core.model.pipeline import (
    CalibrationMethod,
    Labels,
    build,
    calibrated,
    classifier,
    one_thread,
    probabilities,
)
from credit_default.core.model.search import cross_validate
from credit_default.core.model.trials import CrossValidated, best, draw_trials
from credit_default.core.schema import FEATURE_NAMES, PROBABILITY, TARGET, Feature, inputs
from credit_default.core.statistics.metrics import Floats, best_threshold, evaluate, score_bands
from credit_default.errors import QualityError, SettingsError

GOLDEN_ROWS = 64
#: How many rows are perturbed to see whether the model ever rewards a client for getting worse.
PERTURBED_ROWS = 500


@dataclass(frozen=True)
class TrainingOptions:
    """What may be chosen about a training."""

    #: Size of the search.
    trials: int = 8
    seed: int = 0
    #: Whether sex, marital status and age are inputs.
    protected_attributes: bool = False
    folds: int = 5
    #: Measured on 15,000 unseen clients, three times: calibration slope 1.00 to 1.04 and 0.93 by sigmoid, 0.70 to
    #: 0.80 by isotonic, whose steps also cost 0.001 to 0.003 of ROC AUC; 3,000 rows are too few for it.
    calibration: CalibrationMethod = "sigmoid"
    #: Run this trial of the search alone, for searches whose trials are jobs of their own.
    only_trial: int | None = None


@dataclass(frozen=True)
class TrainedModel:
    """A fitted pipeline and everything that is known about it."""

    pipeline: Pipeline
    features: tuple[Feature, ...]
    options: TrainingOptions
    trials: tuple[CrossValidated, ...]
    best: CrossValidated
    threshold: float
    #: Figures by part: "test" is the one look at the test part, "validation" is the calibration part.
    metrics: Mapping[str, Mapping[str, Any]]
    bands: Sequence[Mapping[str, Any]]
    monotonicity: Mapping[str, Any]
    #: Loss of test ROC AUC when a feature is shuffled, largest first.
    importance: Mapping[str, float]
    #: Rows with their probabilities, for smoke tests: all features and `PROBABILITY`.
    golden: pa.Table
    test_labels: Labels = field(repr=False)
    test_probabilities: Floats = field(repr=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """What the classifier was fitted with."""
        return {**self.best.parameters, "trees": self.best.trees}

    @property
    def content_hash(self) -> str:
        """What two equal models share, whatever their files: 32 hex digits of parameters and golden predictions."""
        described = {
            "features": [feature.name for feature in self.features],
            "parameters": self.parameters,
            "calibration": self.options.calibration,
            "threshold": round(self.threshold / TOLERANCE),
            "golden": [round(value / TOLERANCE) for value in self.golden[PROBABILITY].to_pylist()],
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]

    def probabilities(self, table: pa.Table) -> Floats:
        """Probability of default of every row of a table, shape (rows,)."""
        return probabilities(self.pipeline[-1], encode(table, self.features))


def train(
    development: pa.Table,
    calibration: pa.Table,
    test: pa.Table,
    options: TrainingOptions | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
    on_trial: Callable[[CrossValidated], None] = lambda _: None,
) -> TrainedModel:
    """Train a model.

    Search and fit see the development part only, the probabilities and the threshold come from the calibration
    part, and the test part is looked at once, after everything has been decided. The same tables and options give
    the same predictions.

    Parameters
    ----------
    development, calibration, test
        Tables with the 23 features and the target.
    progress
        Called with a line for people at every stage.
    on_trial
        Called with every trial's result as it is known.

    Raises
    ------
    QualityError
        A part holds too few rows of a class to learn from.
    SettingsError
        ``only_trial`` is not among the trials.
    """
    options = options or TrainingOptions()
    features = inputs(protected_attributes=options.protected_attributes)
    labels = {
        "development": _labels(development, "development", least=options.folds),
        "calibration": _labels(calibration, "calibration", least=options.folds),
    }
    matrix = encode(development, features)
    results = _search(matrix, labels["development"], features, options, progress=progress, on_trial=on_trial)
    chosen = best(results)
    progress(f"Trial {chosen.number + 1}/{options.trials} is used: AUC {chosen.mean_auc:.4f} by cross-validation")

    with one_thread():
        # On all development rows: with the number of trees known, none has to be held back to find it.
        fitted = classifier(chosen.parameters, features, seed=options.seed, trees=chosen.trees)
        fitted.fit(matrix, labels["development"])
        validation = encode(calibration, features)
        classify = calibrated(fitted, validation, labels["calibration"], options.calibration)
        validated = probabilities(classify, validation)
        threshold = best_threshold(labels["calibration"], validated)
        progress(f"Calibrated by {options.calibration}; a default is called from {threshold:.3f} on")

        test_matrix, test_labels = encode(test, features), _plain_labels(test)
        tested = probabilities(classify, test_matrix)
        model = TrainedModel(
            pipeline=build(features, classify),
            features=features,
            options=options,
            trials=tuple(results),
            best=chosen,
            threshold=threshold,
            metrics={
                "test": evaluate(test_labels, tested, threshold),
                "validation": evaluate(labels["calibration"], validated, threshold),
            },
            bands=score_bands(test_labels, tested),
            monotonicity=measure_monotonicity(classify, test_matrix if len(test_matrix) else matrix, features),
            importance=_importance(classify, test_matrix, test_labels, features, options.seed),
            golden=_golden(calibration, classify, features),
            test_labels=test_labels,
            test_probabilities=tested,
        )
    progress(f"Test part: {_summary(model.metrics['test'])}")
    return model


def measure_monotonicity(
    classify: CalibratedClassifierCV, matrix: Matrix, features: Sequence[Feature]
) -> dict[str, Any]:
    """Make clients worse, one feature at a time, and count how often their probability of default falls.

    A repayment state gets one step worse; a limit or a payment is halved.

    Returns
    -------
    ``rows`` (perturbed rows), ``violations``, ``violation_share`` (None when nothing could be perturbed) and
    ``by_feature`` (violations of each constrained feature).
    """
    sample = matrix[np.linspace(0, len(matrix) - 1, min(len(matrix), PERTURBED_ROWS)).astype(int)]
    before = probabilities(classify, sample)
    perturbed, by_feature = 0, {}
    for position, feature in enumerate(features):
        if not feature.monotonic:
            continue
        worse = sample.copy()
        if feature.kind == "category":
            worse[:, position] += feature.monotonic
            worse[:, position] = np.clip(worse[:, position], 0, len(feature.categories) - 1)
        else:
            worse[:, position] *= 2.0 if feature.monotonic > 0 else 0.5
        # Missing values stay missing and the worst state cannot get worse: such rows say nothing.
        moved = worse[:, position] != sample[:, position]
        moved &= ~np.isnan(sample[:, position])
        after = probabilities(classify, worse[moved])
        perturbed += int(moved.sum())
        by_feature[feature.name] = int((after < before[moved] - TOLERANCE).sum())
    violations = sum(by_feature.values())
    return {
        "rows": perturbed,
        "violations": violations,
        "violation_share": violations / perturbed if perturbed else None,
        "by_feature": by_feature,
    }


def _search(
    matrix: Matrix,
    labels: Labels,
    features: Sequence[Feature],
    options: TrainingOptions,
    *,
    progress: Callable[[str], None],
    on_trial: Callable[[CrossValidated], None],
) -> list[CrossValidated]:
    trials = list(enumerate(draw_trials(options.seed, options.trials)))
    if options.only_trial is not None:
        trials = [trial for trial in trials if trial[0] == options.only_trial]
    if not trials:
        raise SettingsError(
            f"got trials={options.trials} and only_trial={options.only_trial}; expected at least one trial "
            "and only_trial below their number"
        )
    results = []
    for number, parameters in trials:
        result = cross_validate(
            matrix, labels, features, parameters, number=number, folds=options.folds, seed=options.seed
        )
        progress(
            f"Trial {number + 1}/{options.trials}: AUC {result.mean_auc:.4f} ± {result.std_auc:.4f}, "
            f"{result.trees} trees of {parameters['max_leaf_nodes']} leaves"
        )
        on_trial(result)
        results.append(result)
    return results


def _plain_labels(table: pa.Table) -> Labels:
    return np.asarray(table[TARGET].to_numpy(), dtype=np.int8)


def _labels(table: pa.Table, part: str, *, least: int) -> Labels:
    labels = _plain_labels(table)
    bads = int(labels.sum())
    goods = len(labels) - bads
    if min(bads, goods) < least:
        raise QualityError(
            f"the {part} part holds {goods} clients who paid and {bads} who defaulted; expected at least {least} "
            "of each; bring more labelled rows"
        )
    return labels


def _importance(
    classify: CalibratedClassifierCV, matrix: Matrix, labels: Labels, features: Sequence[Feature], seed: int
) -> dict[str, float]:
    if len(np.unique(labels)) < 2:  # noqa: PLR2004 - an AUC needs both classes
        return {}
    measured = permutation_importance(
        classify, matrix, labels, scoring="roc_auc", n_repeats=3, random_state=seed
    ).importances_mean
    return {features[i].name: float(measured[i]) for i in np.argsort(-measured, kind="stable")}


def _golden(table: pa.Table, classify: CalibratedClassifierCV, features: Sequence[Feature]) -> pa.Table:
    """Rows from the safest to the riskiest, and one with a missing value for every feature."""
    columns = table.select(FEATURE_NAMES)
    order = np.argsort(probabilities(classify, encode(columns, features)), kind="stable")
    spread = order[np.linspace(0, len(order) - 1, GOLDEN_ROWS).astype(int)]
    golden = columns.take(pa.array(spread))
    for position, name in enumerate(FEATURE_NAMES):
        # Every other row, so that the untouched ones span the whole range as well.
        gap = pa.array(np.arange(GOLDEN_ROWS) == 2 * position + 1)
        at = golden.schema.get_field_index(name)
        kept = golden[name].combine_chunks()
        blanked = pc.if_else(gap, pa.scalar(None, kept.type), kept)
        golden = golden.set_column(at, golden.schema.field(at), blanked)
    return golden.append_column(PROBABILITY, pa.array(probabilities(classify, encode(golden, features))))


def _summary(metrics: Mapping[str, Any]) -> str:
    named = {"ROC AUC": "roc_auc", "Brier": "brier", "F1": "f1"}
    told = [f"{name} {metrics[key]:.4f}" for name, key in named.items() if metrics[key] is not None]
    return ", ".join([f"{metrics['n']} rows", *told])
