"""The model: ordinal codes, gradient-boosted trees with monotonic constraints, and calibrated probabilities.

Measured on 15,000 clients by ten-fold comparison, twice (mean ROC AUC): with the schema's monotonic constraints
0.7830 and 0.7761, without 0.7815 and 0.7750, so they are free. Education as an ordinal code and as an unordered
category score the same, so it is a plain code like every other category.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import ThreadpoolController

from credit_default.core.model.features import Matrix
from credit_default.core.schema import Feature

CalibrationMethod = Literal["sigmoid", "isotonic"]
Labels = NDArray[np.int8]
Floats = NDArray[np.float64]

#: Early stopping looks at this share of the rows and gives up after so many trees that did not help.
VALIDATION_SHARE = 0.1
PATIENCE = 10
MOST_TREES = 300


def classifier(
    parameters: Mapping[str, Any], features: Sequence[Feature], *, seed: int, trees: int | None = None
) -> HistGradientBoostingClassifier:
    """Describe an unfitted classifier.

    Parameters
    ----------
    parameters
        One trial of `credit_default.core.model.trials`.
    features
        Its inputs; their ``monotonic`` becomes a constraint.
    trees
        Exactly so many trees; when None, early stopping finds how many.
    """
    stopping: dict[str, Any] = (
        {
            "early_stopping": True,
            "max_iter": MOST_TREES,
            "n_iter_no_change": PATIENCE,
            "validation_fraction": VALIDATION_SHARE,
        }
        if trees is None
        else {"early_stopping": False, "max_iter": trees}
    )
    return HistGradientBoostingClassifier(
        **parameters,
        **stopping,
        monotonic_cst=[feature.monotonic for feature in features],
        random_state=seed,
    )


def calibrated(
    fitted: HistGradientBoostingClassifier, matrix: Matrix, labels: Labels, method: CalibrationMethod
) -> CalibratedClassifierCV:
    """Learn, on rows that the classifier has not seen, what its scores are worth as probabilities."""
    return CalibratedClassifierCV(FrozenEstimator(fitted), method=method).fit(matrix, labels)


def probabilities(classify: CalibratedClassifierCV, matrix: Matrix) -> Floats:
    """Probability of default of every row of an encoded matrix, shape (rows,)."""
    if not len(matrix):
        return np.empty(0)
    with one_thread():
        return np.asarray(classify.predict_proba(matrix)[:, 1], dtype=np.float64)


def one_thread() -> AbstractContextManager[object]:
    """Keep OpenMP to one thread for a while.

    Threads of OpenMP wait for each other after every tree, spinning. Where something else wants the processor,
    fits took four times as long on two threads as on one, and scoring small batches six times; where nothing
    does, two threads save little. Large files are scored by several batches at once instead.
    """
    return _openmp().limit(limits=1, user_api="openmp")  # type: ignore[no-any-return]


@cache
def _openmp() -> ThreadpoolController:
    # Looking for the libraries takes milliseconds, setting their threads takes microseconds.
    return ThreadpoolController()


def build(features: Sequence[Feature], classify: CalibratedClassifierCV) -> Pipeline:
    """Put the encoding of a table of the curated schema before a fitted classifier.

    The result takes a pandas frame (columns by name, in any order, more of them allowed) and needs nothing of
    this project to be used. ``pipeline[-1]`` on a matrix of `credit_default.core.model.features.encode` gives the same
    probabilities faster.
    """
    categories = [feature for feature in features if feature.kind == "category"]
    numbers = [feature for feature in features if feature.kind == "number"]
    # The transformer puts categories before numbers; a classifier reads its inputs by position.
    assert list(features) == categories + numbers
    codes = OrdinalEncoder(
        categories=[np.array(feature.categories, dtype=object) for feature in categories],
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
    )
    encoder = ColumnTransformer(
        [
            ("category", codes, [feature.name for feature in categories]),
            ("number", "passthrough", [feature.name for feature in numbers]),
        ],
        verbose_feature_names_out=False,
    )
    # Nothing is learnt here: every category is in the schema. A frame of one row tells names and types.
    encoder.fit(
        pd.DataFrame(
            {feature.name: [feature.categories[0] if feature.kind == "category" else 0.0] for feature in features}
        )
    )
    return Pipeline([("encode", encoder), ("classify", classify)])
