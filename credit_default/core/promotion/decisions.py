"""When to retrain, and whether a retrained model replaces the one that is live. Plain Python: the orchestrator decides.

**When to retrain.** A drift that persists, and nothing else. In this order, the first that applies is the answer:

====================================================================== =======
a retraining is under way                                              no
no day was measured since the live version is live                     no
the newest day does not violate                                        no
fewer than 2 of the last 5 days violate                                no
the last retraining was asked for less than 7 days ago                 no
fewer than 1,000 labelled rows are from the days of the drift          no
otherwise                                                              retrain
====================================================================== =======

Days count that the live version scored: what a model before it drifted from says nothing about this one. The same rule
holds for days whose outcomes are known and on which the model did clearly worse than it promised (`underperformance`).

**Whether to replace.** Champion and challenger are compared on labelled rows that neither was trained on
(`credit_default.core.promotion.comparison`); intervals are of 98 %.

================== ============================== =========
guards             gain in ROC AUC                verdict
================== ============================== =========
one fails                                         reject
all hold           interval above 0               promote
all hold           interval below 0               reject
all hold           interval holds 0               hold
================== ============================== =========

Guards: enough rows; calibration (slope and in the large); bad rates that ascend from band to band; no segment in which
the challenger ranks clearly worse; no protected attribute whose groups it treats clearly more unequally; no client
whose probability falls when he pays later. What cannot be measured fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any

from credit_default.core.plurals import plural, verb
from credit_default.core.promotion.gates import AbsoluteThresholds, Criterion, Verdict

_DAY_SECONDS = 86_400
_MISCALIBRATED = AbsoluteThresholds().calibration_in_the_large
_ONE_IN_A_HUNDRED = NormalDist().inv_cdf(0.99)


@dataclass(frozen=True)
class RetrainingRule:
    """When a drift is worth a training."""

    windows: int = 5
    violations: int = 2
    cool_down: timedelta = timedelta(days=7)
    labelled_rows: int = 1_000


@dataclass(frozen=True)
class MeasuredDay:
    """What was measured for a day: whether it violates, by which columns, and how many rows have an outcome by now."""

    day: str
    violation: bool
    features: tuple[str, ...] = ()
    labelled_rows: int = 0


def underperformance(figures: Mapping[str, Any], reference_auc: float) -> tuple[str, ...]:
    """Return in what the predictions of a day did clearly worse than the model promised.

    ``roc_auc`` when that of the day is below the model's own on its test part by more than chance explains (standard
    error of J. Hanley and B. McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982), and
    ``calibration`` when more or fewer clients defaulted than were expected, by more than 15 % and by more than chance
    explains. Chance is one day in a hundred.

    Parameters
    ----------
    figures
        ``n_joined``, ``bad_rate``, ``mean_pd`` and ``roc_auc`` of a day; what is missing falls short in nothing.
    """
    short = []
    n, rate, auc, mean = (figures.get(name) for name in ("n_joined", "bad_rate", "roc_auc", "mean_pd"))
    if not n or rate is None or not 0 < rate < 1:
        return ()
    if auc is not None and auc + _ONE_IN_A_HUNDRED * _auc_error(auc, n * rate, n * (1 - rate)) < reference_auc:
        short.append("roc_auc")
    if mean is not None:
        distance, error = abs(mean - rate), (rate * (1 - rate) / n) ** 0.5
        if distance > _MISCALIBRATED * rate and distance > _ONE_IN_A_HUNDRED * error:
            short.append("calibration")
    return tuple(short)


def _auc_error(auc: float, bads: float, goods: float) -> float:
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (bads - 1) * (first - auc**2) + (goods - 1) * (second - auc**2)
    return math.sqrt(max(spread, 0.0) / (bads * goods))


@dataclass(frozen=True)
class RetrainingDecision:
    """Whether to retrain, and why, in words and as data.

    Attributes
    ----------
    waits_for_labels
        Everything speaks for it but the labelled rows, which may come without another day being measured.
    """

    retrain: bool
    words: str
    evidence: Mapping[str, Any]
    waits_for_labels: bool = False


def when_to_retrain(
    history: Sequence[MeasuredDay],
    *,
    now: datetime,
    last_asked: datetime | None,
    under_way: bool,
    rule: RetrainingRule | None = None,
) -> RetrainingDecision:
    """Apply the rule to what was measured since the live version is live.

    Parameters
    ----------
    history
        One window a day, in the order of the days.
    last_asked
        When a retraining was last asked for. A moment in the future, by a clock that went back, counts as now.
    under_way
        Whether a retraining is queued or runs.
    """
    limits = rule or RetrainingRule()
    recent = history[-limits.windows :]
    violating = [window for window in recent if window.violation]
    since = _since(history)
    labelled = sum(window.labelled_rows for window in history if since is not None and window.day >= since)
    evidence = {
        "windows": [window.day for window in recent],
        "violating_windows": [window.day for window in violating],
        "violating_features": sorted({name for window in violating for name in window.features}),
        "drift_since": since,
        "labelled_rows_since": labelled,
    }

    share = f"{len(violating)} of the last {plural(len(recent), 'day')} {verb(len(violating), 'violates', 'violate')}"
    against, waits_for_labels = None, False
    if under_way:
        against = "A retraining is under way."
    elif not recent:
        against = "No day was measured since the live version is live."
    elif not recent[-1].violation:
        against = f"{recent[-1].day} does not violate."
    elif len(violating) < limits.violations:
        against = f"{recent[-1].day} violates, and {share}; {limits.violations} of {limits.windows} are needed."
    elif last_asked is not None and now - last_asked < limits.cool_down:
        asked = last_asked.isoformat(timespec="minutes")
        apart = limits.cool_down.total_seconds() / _DAY_SECONDS
        days = f"{apart:g} {verb(apart, 'day', 'days')}"
        against = f"{share}; the last retraining was asked for at {asked}, and they are {days} apart."
    elif labelled < limits.labelled_rows:
        waits_for_labels = True
        against = f"{share}; {labelled:,} rows since {since} have an outcome, and {limits.labelled_rows:,} are needed."
    words = against or f"{share}, the newest among them; {labelled:,} rows since {since} have an outcome."
    return RetrainingDecision(against is None, words, evidence, waits_for_labels)


@dataclass(frozen=True)
class ComparisonThresholds:
    """What a challenger must reach beside the champion."""

    rows: int = 500
    confidence: float = 0.98
    #: Largest growth of the gap between groups in the share predicted to default that is let pass.
    gap_widening: float = 0.05


def judge_comparison(
    compared: Mapping[str, Any],
    monotonicity: Mapping[str, Any],
    thresholds: ComparisonThresholds | None = None,
    absolute: AbsoluteThresholds | None = None,
) -> Verdict:
    """Decide whether the challenger replaces the champion, by the table of this module.

    Parameters
    ----------
    compared
        Figures of `credit_default.core.promotion.comparison.compare`.
    monotonicity
        The challenger's, of `credit_default.core.model.training.measure_monotonicity`.
    """
    limits, floor = thresholds or ComparisonThresholds(), absolute or AbsoluteThresholds()
    guards = (
        *_of_calibration(compared, limits, floor),
        _rank_order(compared, limits),
        _segments(compared),
        _gaps(compared, limits),
        _monotonicity(monotonicity, floor),
    )
    gain = compared["auc_gain"]
    promotes = gain is not None and gain["low"] > 0
    criterion = Criterion(
        "auc_gain",
        None if gain is None else gain["estimate"],
        "interval above 0",
        promotes,
        f"ROC AUC of the challenger less the champion's, on the same {compared['rows']:,} rows"
        + ("." if gain is None else f"; interval {gain['low']:+.4f} to {gain['high']:+.4f}."),
    )
    if not all(guard.passed for guard in guards) or (gain is not None and gain["high"] < 0):
        return Verdict("reject", (criterion, *guards))
    return Verdict("promote" if promotes else "hold", (criterion, *guards))


def _since(history: Sequence[MeasuredDay]) -> str | None:
    """Return the first day of the drift that goes on: no two days in a row without violation since then."""
    first, calm = None, 0
    for window in reversed(history):
        calm = 0 if window.violation else calm + 1
        if calm > 1:
            break
        if window.violation:
            first = window.day
    return first


def _of_calibration(
    compared: Mapping[str, Any], limits: ComparisonThresholds, floor: AbsoluteThresholds
) -> tuple[Criterion, ...]:
    figures = compared["challenger"]
    low, high = floor.calibration_slope
    slope, mean, rate = figures["calibration_slope"], figures["mean_pd"], figures["bad_rate"]
    distance = abs(mean - rate) / rate if rate else None
    return (
        Criterion(
            "rows",
            compared["rows"],
            f">= {limits.rows:,}",
            compared["rows"] >= limits.rows,
            "Labelled rows that neither model was trained on.",
        ),
        Criterion(
            "calibration_slope",
            slope,
            f"{low:g} to {high:g}",
            slope is not None and low <= slope <= high,
            "1 is honest; below, the challenger's probabilities are too extreme; above, too timid.",
        ),
        Criterion(
            "calibration_in_the_large",
            distance,
            f"<= {floor.calibration_in_the_large:g}",
            distance is not None and distance <= floor.calibration_in_the_large,
            "Distance of the challenger's mean probability from the bad rate, as a share of the bad rate.",
        ),
    )


def _rank_order(compared: Mapping[str, Any], limits: ComparisonThresholds) -> Criterion:
    pairs = max(len(compared["bands"]) - 1, 1)
    limit = NormalDist().inv_cdf(1 - (1 - limits.confidence) / pairs)
    worst = max((pair["z"] for pair in compared["inversions"]), default=0.0)
    return Criterion(
        "rank_order",
        worst,
        f"z <= {limit:.2f}",
        bool(compared["bands"]) and worst <= limit,
        "Bad rates ascend from band to band: the clearest inversion between two neighbours, in standard errors.",
    )


def _segments(compared: Mapping[str, Any]) -> Criterion:
    judged = [one for one in compared["segments"] if one["auc_gain"] is not None]
    worst = min(judged, key=lambda one: one["auc_gain"]["high"], default=None)
    where = f"{worst['segmentation']} {worst['segment']}" if worst else "none is large enough"
    return Criterion(
        "segments",
        worst["auc_gain"]["high"] if worst else None,
        "upper end of the gain >= 0",
        worst is None or worst["auc_gain"]["high"] >= 0,
        f"The challenger ranks clearly worse in no segment of {len(judged)}; the weakest: {where}.",
    )


def _gaps(compared: Mapping[str, Any], limits: ComparisonThresholds) -> Criterion:
    judged = [one for one in compared["gaps"] if one["widening"] is not None]
    worst = max(judged, key=lambda one: one["widening"]["estimate"], default=None)
    clearly = [
        one for one in judged if one["widening"]["low"] > 0 and one["widening"]["estimate"] > limits.gap_widening
    ]
    return Criterion(
        "gaps_between_groups",
        worst["widening"]["estimate"] if worst else None,
        f"<= {limits.gap_widening:g}, or not clear",
        not clearly,
        "Growth of the gap between groups in the share predicted to default; the widest: "
        + (worst["attribute"] if worst else "no attribute has two groups that are large enough")
        + ".",
    )


def _monotonicity(monotonicity: Mapping[str, Any], floor: AbsoluteThresholds) -> Criterion:
    share = monotonicity.get("violation_share")
    return Criterion(
        "monotonicity_violations",
        share,
        f"<= {floor.monotonicity_violations:g}",
        share is not None and share <= floor.monotonicity_violations,
        "Share of perturbed rows whose probability of default fell although the client got worse.",
    )
