"""Cross-validation of a trial inside the development part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from credit_default.core.model.features import Matrix
from credit_default.core.model.pipeline import Labels, classifier, one_thread
from credit_default.core.model.trials import CrossValidated, Trial
from credit_default.core.schema import Feature


def cross_validate(
    matrix: Matrix,
    labels: Labels,
    features: Sequence[Feature],
    parameters: Trial,
    *,
    number: int = 0,
    folds: int = 5,
    seed: int = 0,
) -> CrossValidated:
    """Fit and score a trial on stratified folds, the same folds for every trial of a seed."""
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(matrix, labels)
    scores, trees = [], []
    with one_thread():
        for fitted_on, scored_on in parts:
            model = classifier(parameters, features, seed=seed).fit(matrix[fitted_on], labels[fitted_on])
            scores.append(roc_auc_score(labels[scored_on], model.decision_function(matrix[scored_on])))
            trees.append(model.n_iter_)
    return CrossValidated(
        number, dict(parameters), float(np.mean(scores)), float(np.std(scores)), max(1, round(float(np.median(trees))))
    )
