"""Figures of a credit model: how it ranks, how honest its probabilities are, what its decisions are worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

Floats = NDArray[np.float64]
Figure = float | None

#: Probabilities are kept this far from 0 and 1 before taking their logit.
CLOSEST = 1e-9
BANDS = 10


def evaluate(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> dict[str, Any]:
    """Measure a model on labelled rows, as plain JSON.

    A figure that the rows cannot give (ROC AUC of one class, anything of no rows) is None, never NaN.

    Parameters
    ----------
    labels
        0 or 1, shape (n,).
    probabilities
        Probability of default, shape (n,).
    threshold
        From this probability on a client counts as a predicted default.

    Returns
    -------
    ``n``, ``bad_rate``, ``mean_pd``, ``roc_auc`` (from probabilities), ``gini`` (2 AUC - 1), ``ks`` (largest gap
    between the classes' distributions), ``average_precision``, ``brier``, ``brier_of_base_rate`` (of always
    predicting the bad rate), ``calibration_slope``, ``calibration_intercept``, ``threshold``, ``f1``,
    ``precision``, ``recall`` and ``predicted_default_share``.
    """
    y = np.asarray(labels, dtype=np.int8)
    p = np.asarray(probabilities, dtype=np.float64)
    rows = len(y)
    decided = p >= threshold
    bads = int(y.sum())
    both = 0 < bads < rows
    bad_rate = bads / rows if rows else None
    slope, intercept = calibration(y, p)
    auc = float(roc_auc_score(y, p)) if both else None
    return {
        "n": rows,
        "bad_rate": bad_rate,
        "mean_pd": _mean(p),
        "roc_auc": auc,
        "gini": None if auc is None else 2 * auc - 1,
        "ks": kolmogorov_smirnov(y, p),
        "average_precision": float(average_precision_score(y, p)) if bads else None,
        "brier": float(brier_score_loss(y, p, pos_label=1, labels=[0, 1])) if rows else None,
        "brier_of_base_rate": None if bad_rate is None else bad_rate * (1 - bad_rate),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
        "threshold": float(threshold),
        "f1": float(f1_score(y, decided, zero_division=0)) if bads else None,
        "precision": float(precision_score(y, decided)) if decided.any() else None,
        "recall": float(recall_score(y, decided)) if bads else None,
        "predicted_default_share": _mean(decided),
    }


def calibration(labels: ArrayLike, probabilities: ArrayLike) -> tuple[Figure, Figure]:
    """Slope and intercept of a logistic regression of the labels on the logit of the probabilities.

    Cox's recalibration (D. R. Cox, "Two further applications of a model for binary regression", Biometrika
    45, 1958): slope 1 and intercept 0 mean honest probabilities; a slope below 1 means too extreme ones.
    (None, None) where the regression has no finite answer: one class, constant probabilities, or classes that
    the probabilities separate completely.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    if len(np.unique(y)) < 2 or _separated(y, p):  # noqa: PLR2004 - two classes
        return None, None
    clipped = np.clip(p, CLOSEST, 1 - CLOSEST)
    logit = np.log(clipped / (1 - clipped))
    if np.ptp(logit) < CLOSEST:
        return None, None
    fitted = LogisticRegression(C=math.inf, solver="newton-cholesky", tol=1e-8, max_iter=1000).fit(logit[:, None], y)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def kolmogorov_smirnov(labels: ArrayLike, probabilities: ArrayLike) -> Figure:
    """Largest gap between the score distributions of the two classes, in [0, 1]."""
    y = np.asarray(labels)
    if len(np.unique(y)) < 2:  # noqa: PLR2004 - two classes
        return None
    false_positives, true_positives, _ = roc_curve(y, probabilities)
    return float(np.max(np.abs(true_positives - false_positives)))


def best_threshold(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Give the probability from which on calling a default makes F1 highest; 0.5 where there is no default."""
    y = np.asarray(labels)
    if not y.any():
        return 0.5
    precision, recall, thresholds = precision_recall_curve(y, probabilities)
    # The curve's last point has no threshold: nobody is called a default there.
    sums = precision[:-1] + recall[:-1]
    f1 = np.divide(2 * precision[:-1] * recall[:-1], sums, out=np.zeros_like(sums), where=sums > 0)
    return float(thresholds[np.argmax(f1)])


def band_edges(probabilities: ArrayLike, bands: int = BANDS) -> list[float]:
    """Cuts between score bands of about equal size: the deciles, by default; equal cuts are merged."""
    p = np.asarray(probabilities, dtype=np.float64)
    if len(p) == 0:
        return []
    shares = np.arange(1, bands) / bands
    return [float(edge) for edge in np.unique(np.quantile(p, shares))]


def score_bands(
    labels: ArrayLike, probabilities: ArrayLike, edges: Sequence[float] | None = None
) -> list[dict[str, Any]]:
    """Bad rate beside mean probability of default, from the safest band to the riskiest.

    Parameters
    ----------
    edges
        Inner cuts of the bands, ascending; the rows' own deciles when None. Band ``i`` holds
        ``edges[i - 1] < p <= edges[i]``.

    Returns
    -------
    One ``{"band", "low", "high", "rows", "mean_pd", "bad_rate"}`` per band, ``band`` being its name; the outer
    limits are 0 and 1, and an empty band has None for its rates.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    cuts = band_edges(p) if edges is None else [float(edge) for edge in edges]
    band_of = np.searchsorted(cuts, p, side="left")
    limits = [0.0, *cuts, 1.0]
    described = []
    for band in range(len(cuts) + 1):
        inside = band_of == band
        described.append(
            {
                "band": f"{limits[band]:.4f} to {limits[band + 1]:.4f}",
                "low": limits[band],
                "high": limits[band + 1],
                "rows": int(inside.sum()),
                "mean_pd": _mean(p[inside]),
                "bad_rate": _mean(y[inside]),
            }
        )
    return described


def _mean(values: NDArray[Any]) -> Figure:
    return float(np.mean(values)) if len(values) else None


def _separated(labels: NDArray[Any], probabilities: Floats) -> bool:
    """Whether some cut puts all of one class on one side, ties included."""
    bad, good = probabilities[labels == 1], probabilities[labels == 0]
    return bool(bad.min() >= good.max() or bad.max() <= good.min())
