"""Champion and challenger on the same labelled rows, none of which either was trained on.

Every interval is a bootstrap standard interval (B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993,
chapter 12): the estimate and so many standard errors, these from paired resamples. Paired, since both models are looked
at on the same resampled clients, so that what makes a sample easy or hard for both does not count as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from credit_default.core.statistics.metrics import Floats, evaluate, score_bands

#: Resamples: they give a standard error to 4 %.
DRAWS = 300
#: Of the interval of the gain in ROC AUC, and of all segments or all attributes together.
CONFIDENCE = 0.98
#: Bands of the challenger's score whose bad rates must ascend.
BANDS = 5
#: A segment or group with fewer clients of either class, or altogether, is counted and not judged.
FEWEST_OF_A_CLASS = 30
FEWEST = 100

Counts = NDArray[np.int32]
Labels = NDArray[np.int8]


@dataclass(frozen=True)
class ScoredRows:
    """What a model made of the rows: probabilities of default and the decisions at its own threshold, shape (n,)."""

    probabilities: Floats
    threshold: float

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Who is predicted to default."""
        return self.probabilities >= self.threshold


def compare(
    labels: Labels,
    champion: ScoredRows,
    challenger: ScoredRows,
    *,
    segments: Mapping[str, Sequence[str]],
    groups: Mapping[str, Sequence[str]],
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Measure both models on the same rows, as plain JSON.

    Parameters
    ----------
    labels
        0 or 1, shape (n,).
    segments
        Name of a segmentation to the segment of each row; the gain in ROC AUC is measured in each segment.
    groups
        Name of a protected attribute to the group of each row; the share predicted to default is measured in each.

    Returns
    -------
    ``rows``, ``bads``; ``champion`` and ``challenger`` as of `metrics.evaluate`; ``auc_gain`` (``estimate``, ``low``,
    ``high``; None when a class is missing); ``bands`` of the challenger and ``inversions``, pairs of neighbouring bands
    the riskier of which has the lower bad rate, with ``z``; ``segments``; ``groups`` and ``gaps``.
    """
    generator = np.random.default_rng(seed)
    bands = score_bands(labels, challenger.probabilities, _edges(challenger.probabilities))
    found = _segments(labels, segments)
    confidence = 1 - (1 - CONFIDENCE) / max(sum(inside is not None for _, inside in found), 1)
    for row, inside in found:
        row["auc_gain"] = None
        if inside is not None:
            one, other = champion.probabilities[inside], challenger.probabilities[inside]
            row["auc_gain"] = auc_gain(labels[inside], one, other, generator, draws=draws, confidence=confidence)
    return {
        "rows": len(labels),
        "bads": int(labels.sum()),
        "confidence": CONFIDENCE,
        "champion": evaluate(labels, champion.probabilities, champion.threshold),
        "challenger": evaluate(labels, challenger.probabilities, challenger.threshold),
        "auc_gain": auc_gain(labels, champion.probabilities, challenger.probabilities, generator, draws=draws),
        "bands": bands,
        "inversions": inversions(bands),
        "segments": [row for row, _ in found],
        "groups": [row for name, of in groups.items() for row in _group_rows(name, of, labels, champion, challenger)],
        "gaps": [
            {"attribute": name, **_gap(np.asarray(of), (champion, challenger), generator, draws, len(groups))}
            for name, of in groups.items()
        ],
    }


def auc_gain(
    labels: Labels,
    champion: Floats,
    challenger: Floats,
    generator: np.random.Generator,
    *,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
) -> dict[str, float] | None:
    """ROC AUC of the challenger less that of the champion, with its interval; None when a class is missing.

    Clients are resampled within each class, as the AUC does not depend on how many there are of each.
    """
    bad, good = labels == 1, labels == 0
    if not bad.any() or not good.any():
        return None
    bads, goods = (_resamples(int(one.sum()), draws, generator) for one in (bad, good))
    champions, challengers = (_aucs(scores[bad], scores[good], bads, goods) for scores in (champion, challenger))
    return _interval(challengers - champions, confidence)


def inversions(bands: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring bands in the wrong order, with how many standard errors apart (pooled two-proportion z)."""
    filled = [band for band in bands if band["rows"]]
    wrong = []
    for safer, riskier in pairwise(filled):
        if riskier["bad_rate"] < safer["bad_rate"]:
            rows = safer["rows"], riskier["rows"]
            pooled = (safer["bad_rate"] * rows[0] + riskier["bad_rate"] * rows[1]) / sum(rows)
            error = (pooled * (1 - pooled) * (1 / rows[0] + 1 / rows[1])) ** 0.5
            z = float((safer["bad_rate"] - riskier["bad_rate"]) / error)
            wrong.append({"safer": safer["band"], "riskier": riskier["band"], "z": z})
    return wrong


def _edges(probabilities: Floats) -> list[float]:
    shares = np.arange(1, BANDS) / BANDS
    return [float(edge) for edge in np.unique(np.quantile(probabilities, shares))] if len(probabilities) else []


def _aucs(bad: Floats, good: Floats, bads: Counts, goods: Counts) -> Floats:
    """ROC AUC in each resample: the share of pairs in which the bad client scores above the good one; ties count half.

    Each client's score is put in its place among the good ones once, and the resamples are counted up to there.
    """
    order = np.argsort(good)
    counted = np.zeros((len(goods), len(good) + 1), np.int32)
    np.cumsum(goods[:, order], axis=1, out=counted[:, 1:])
    below, not_above = (np.searchsorted(good[order], bad, side) for side in ("left", "right"))
    twice_won = (bads * (counted[:, below] + counted[:, not_above])).sum(axis=1)
    return np.asarray(twice_won / (2 * len(bad) * len(good)))


def _resamples(size: int, draws: int, generator: np.random.Generator) -> Counts:
    """How often each of so many clients is in all of them, once each, and in each resample, shape (1 + draws, size)."""
    drawn = generator.integers(0, size, (draws, size)) + size * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size)
    return np.vstack([np.ones((1, size), np.int32), counts], dtype=np.int32, casting="same_kind")


def _interval(measured: Floats, confidence: float) -> dict[str, float]:
    """Of what was measured on all clients, and then on each resample."""
    estimate = float(measured[0])
    margin = NormalDist().inv_cdf(0.5 + confidence / 2) * float(measured[1:].std(ddof=1))
    return {"estimate": estimate, "low": estimate - margin, "high": estimate + margin}


def _segments(
    labels: Labels, segments: Mapping[str, Sequence[str]]
) -> list[tuple[dict[str, Any], NDArray[np.bool_] | None]]:
    """Describe every segment; beside it, which rows are in it, where those are enough to judge."""
    found = []
    for name, of in segments.items():
        for segment in sorted(set(of)):
            inside = np.asarray(of) == segment
            bads = int(labels[inside].sum())
            rows = int(inside.sum())
            row = {"segmentation": name, "segment": segment, "rows": rows, "bads": bads}
            found.append((row, inside if min(bads, rows - bads) >= FEWEST_OF_A_CLASS else None))
    return found


def _group_rows(
    name: str, of: Sequence[str], labels: Labels, champion: ScoredRows, challenger: ScoredRows
) -> list[dict[str, Any]]:
    codes = np.asarray(of)
    rows = []
    for group in sorted(set(of)):
        inside = codes == group
        rows.append(
            {
                "attribute": name,
                "group": group,
                "rows": int(inside.sum()),
                "bad_rate": float(labels[inside].mean()),
                "champion_predicted_default_share": float(champion.decided[inside].mean()),
                "challenger_predicted_default_share": float(challenger.decided[inside].mean()),
                "challenger_mean_pd": float(challenger.probabilities[inside].mean()),
                "judged": int(inside.sum()) >= FEWEST,
            }
        )
    return rows


def _gap(
    of: NDArray[Any], models: tuple[ScoredRows, ScoredRows], generator: np.random.Generator, draws: int, attributes: int
) -> dict[str, Any]:
    """Largest difference between groups in the share predicted to default, and how much wider the challenger's is."""
    groups, codes = np.unique(of, return_inverse=True)
    kept = np.bincount(codes, minlength=len(groups)) >= FEWEST
    if kept.sum() < 2:  # noqa: PLR2004 - a gap is between two
        return {"champion": None, "challenger": None, "widening": None}
    member = (codes[:, None] == np.flatnonzero(kept)).astype(np.float64)
    counts = _resamples(len(of), draws, generator)
    champion, challenger = (
        np.ptp((counts @ (member * one.decided[:, None])) / (counts @ member), axis=1) for one in models
    )
    widening = challenger - champion
    return {
        "champion": float(champion[0]),
        "challenger": float(challenger[0]),
        "widening": _interval(widening, 1 - (1 - CONFIDENCE) / attributes),
    }
