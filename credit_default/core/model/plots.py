"""Pictures of a model as PNG bytes, small enough to be shown in a run's metadata.

Figures are made without pyplot: it keeps global state and picks a backend by the display.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve

#: Inches at 100 dots each: 640 x 420 pixels.
SIZE = (6.4, 4.2)
DOTS_PER_INCH = 100
PAID = "#2a6f97"
DEFAULTED = "#c8553d"
GUIDE = "#8d99ae"
MOST_FEATURES = 20
#: Bars of the score distribution.
CUTS = [step / 40 for step in range(41)]


def all_plots(
    labels: ArrayLike,
    probabilities: ArrayLike,
    bands: Sequence[Mapping[str, Any]],
    importance: Mapping[str, float],
    threshold: float,
) -> dict[str, bytes]:
    """Draw what the rows allow: name of the picture to PNG.

    A ROC curve needs both classes; the others need rows.
    """
    drawn = {}
    if len(np.unique(np.asarray(labels))) == 2:  # noqa: PLR2004 - two classes
        drawn["roc"] = roc(labels, probabilities)
    if len(np.asarray(labels)):
        drawn["calibration"] = calibration(bands)
        drawn["score_distribution"] = score_distribution(labels, probabilities, threshold)
    if importance:
        drawn["importance"] = feature_importance(importance)
    return drawn


def roc(labels: ArrayLike, probabilities: ArrayLike) -> bytes:
    """Receiver operating characteristic, with its area in the title."""
    figure, axes = _figure(f"ROC curve, area {roc_auc_score(labels, probabilities):.3f}")
    false_positives, true_positives, _ = roc_curve(labels, probabilities)
    axes.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", linewidth=1, label="by chance")
    axes.plot(false_positives, true_positives, color=PAID, linewidth=2, label="model")
    axes.set(xlabel="share of good clients called a default", ylabel="share of defaults found")
    axes.legend(loc="lower right", frameon=False)
    return _png(figure)


def calibration(bands: Sequence[Mapping[str, Any]]) -> bytes:
    """Bad rate against mean probability of default, a point per score band."""
    figure, axes = _figure("Calibration by score band")
    points = [
        (band["mean_pd"], band["bad_rate"], band["rows"])
        for band in bands
        if band["rows"] and band["bad_rate"] is not None
    ]
    predicted, observed, rows = (np.array(values, dtype=float) for values in zip(*points, strict=True))
    # 95 % of samples of a perfectly calibrated model of this size would fall inside the bars.
    half = 1.96 * np.sqrt(predicted * (1 - predicted) / rows)
    top = min(1.0, 1.08 * max(predicted.max(), observed.max(), (predicted + half).max(), 0.01))
    axes.plot([0, top], [0, top], color=GUIDE, linestyle="--", linewidth=1, label="honest")
    axes.errorbar(predicted, predicted, yerr=half, fmt="none", ecolor=GUIDE, capsize=3, label="chance, 95 %")
    axes.plot(predicted, observed, color=PAID, marker="o", linewidth=2, label="model")
    axes.set(xlabel="mean probability of default", ylabel="bad rate", xlim=(0, top), ylim=(0, top))
    axes.legend(loc="upper left", frameon=False)
    return _png(figure)


def score_distribution(labels: ArrayLike, probabilities: ArrayLike, threshold: float) -> bytes:
    """Distribution of the probability of default among clients who paid and clients who defaulted."""
    figure, axes = _figure("Probability of default, by outcome")
    y, p = np.asarray(labels), np.asarray(probabilities, dtype=np.float64)
    for value, colour, name in ((0, PAID, "paid"), (1, DEFAULTED, "defaulted")):
        chosen = p[y == value]
        if len(chosen):
            share = np.full(len(chosen), 1 / len(chosen))
            axes.hist(chosen, CUTS, weights=share, color=colour, alpha=0.6, label=f"{name} ({len(chosen):,})")
    axes.axvline(threshold, color=GUIDE, linestyle="--", linewidth=1, label=f"threshold {threshold:.3f}")
    axes.set(xlabel="probability of default", ylabel="share of the class", xlim=(0, 1))
    axes.legend(loc="upper right", frameon=False)
    return _png(figure)


def feature_importance(importance: Mapping[str, float]) -> bytes:
    """Loss of ROC AUC when a feature is shuffled, the largest on top."""
    figure, axes = _figure("Importance: loss of ROC AUC when shuffled")
    largest = sorted(importance.items(), key=lambda item: item[1])[-MOST_FEATURES:]
    axes.barh([name for name, _ in largest], [value for _, value in largest], color=PAID)
    axes.tick_params(axis="y", labelsize=8)
    axes.set(xlabel="loss of ROC AUC")
    return _png(figure)


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="raw")
    width, height = figure.canvas.get_width_height()
    picture = Image.frombytes("RGBA", (width, height), buffer.getvalue()).convert("RGB")
    # 64 colours look the same as millions here, and take a third of the bytes.
    png = io.BytesIO()
    picture.quantize(64).save(png, "png", optimize=True)
    return png.getvalue()
