"""Drift of a day against the reference of the model that scored it.

Two verdicts stand side by side. ``dataset_drift`` is Evidently's: half of the features or more are further from the
reference than a fixed threshold. ``violation`` is ours and knows how many rows there were: a column violates when
its PSI on the stored bins is above 0.25 *and* above what chance alone reaches with as many rows, and a day violates
when any feature or the score does. One feature is enough because a change upstream usually hits few columns, and
Bonferroni's correction over the columns already pays for looking at all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from credit_default.core.defects import concerning
from credit_default.core.monitoring import evidently_reports
from credit_default.core.schema import FEATURE_NAMES, NUMBERS
from credit_default.core.statistics.bins import Bins, Counts, count
from credit_default.core.statistics.bins import labels as bin_labels
from credit_default.core.statistics.stability import PSI_ALERT, null_limit, population_stability_index
from credit_default.errors import ModelError

SCORE = "probability_of_default"
#: How often a day without drift may violate at most, whatever its size.
FALSE_ALARMS = 0.02

_NAMED = ("partition", "model_version")
_NO_ROWS = "The day has no rows, so there is nothing to compare."
_NO_VALUES = "no value in {}; Evidently needs some on both sides"
_NO_DISTANCE = "Evidently has no finite distance for these values; CSI or PSI, on the model's bins, stands"
_NOT_BINNED = "the values of {} are nearly equal or too far apart, so that Evidently's own report cannot bin them"


@dataclass(frozen=True)
class Stability:
    """PSI or CSI of one column, its limit for this many rows, and our verdict."""

    index: float
    limit: float
    violation: bool


@dataclass(frozen=True)
class Drift:
    """What was measured for a day: plain JSON without NaN, and Evidently's page."""

    n_rows: int
    n_reference: int | None
    overall: Mapping[str, Any]
    features: list[dict[str, Any]]
    score: Mapping[str, Any]
    html: str

    def as_json(self, **identity: Any) -> dict[str, Any]:
        """Give the stored result; ``identity`` says whose day it is (partition, model name and version, ...)."""
        return {
            **identity,
            "n_rows": self.n_rows,
            "n_reference": self.n_reference,
            # The verdict travels alone (telemetry sends it by itself), so it says whose it is.
            "overall": {**self.overall, **{name: identity[name] for name in _NAMED if name in identity}},
            "features": self.features,
            "score": dict(self.score),
        }


class Reference:
    """Reference rows of a model, counted and converted once for all days that it scored.

    Parameters
    ----------
    table
        The 23 features and `SCORE`, one row a client of the model's training data.
    bins
        Bins stored with the model, the score's among them. Their cuts are used; the reference's own rows are
        counted on them, so that a model trained on recent rows is compared with those.

    Raises
    ------
    ContractError
        When a binned column is not in the table, or of another kind.
    ModelError
        When the reference is empty or the bins have none for the score.
    """

    def __init__(self, table: pa.Table, bins: Bins) -> None:
        if table.num_rows == 0:
            raise ModelError("the model's reference has no rows: expected rows of its training data; train it again")
        if SCORE not in bins["columns"]:
            raise ModelError(f"the model's bins have none for {SCORE!r}: expected the score's beside the features'")
        self.bins = bins
        self.n_rows = table.num_rows
        self.counts = count(bins, table)
        # In the order of the schema, whatever the order in the file.
        names = sorted(bins["columns"], key=lambda name: (*FEATURE_NAMES, name).index(name))
        self.kinds = {name: evidently_reports.kind_of(table, name) for name in names}
        self.samples = {name: evidently_reports.sample(table, name, kind) for name, kind in self.kinds.items()}
        self.unbinned = {name for name in self.kinds if _is_unbinned(self.samples[name], self.kinds[name])}


def measure(reference: Reference, current: pa.Table) -> Drift:
    """Compare a day's rows (features and `SCORE`) with a reference.

    Raises
    ------
    ContractError
        When a column of the reference is not in ``current``, or is of another kind there.
    """
    counts = count(reference.bins, current)
    stability = stability_of(reference.counts, counts, current.num_rows)
    described = {}
    for name, kind in reference.kinds.items():
        with concerning(name):
            distance, note = _distance(reference, current, name)
        described[name] = _described(name, kind, distance, stability.get(name), note)
    html = _page(reference, counts, described, current.num_rows) if current.num_rows else None
    return _assembled(described, current.num_rows, reference.n_rows, html)


def without_rows() -> Drift:
    """Give the result of a day without rows, which no model scored."""
    kinds = {name: "num" if name in NUMBERS else "cat" for name in FEATURE_NAMES} | {SCORE: "num"}
    note = _NO_VALUES.format("this day")
    described = {name: _described(name, kind, None, None, note) for name, kind in kinds.items()}
    return _assembled(described, 0, None, None)


def stability_of(reference: Mapping[str, Counts], current: Mapping[str, Counts], n_rows: int) -> dict[str, Stability]:
    """PSI of every column on its bins, with the limit for ``n_rows``; empty for no rows."""
    judged = {}
    for name, limit in limits(reference, n_rows).items():
        index = float(population_stability_index(reference[name], current[name]))
        judged[name] = Stability(index, limit, index > limit)
    return judged


def limits(reference: Mapping[str, Counts], n_rows: int) -> dict[str, float]:
    """Give the PSI above which each column violates when there are ``n_rows``; empty for no rows.

    It is 0.25 or, if higher, what all columns together stay below in 98 % of samples of this size without drift
    (`FALSE_ALARMS`, shared out evenly: Bonferroni).
    """
    if n_rows == 0:
        return {}
    confidence = 1 - FALSE_ALARMS / len(reference)
    return {
        name: null_limit(counts, n_rows, confidence=confidence, at_least=PSI_ALERT)
        for name, counts in reference.items()
    }


def _distance(
    reference: Reference, current: pa.Table, name: str
) -> tuple[evidently_reports.Distance | None, str | None]:
    """Evidently's figure for one column, and what is to be said of it."""
    kind, known = reference.kinds[name], reference.samples[name]
    values = evidently_reports.sample(current, name, kind)
    if known.empty or values.empty:
        return None, _NO_VALUES.format("the reference" if known.empty else "this day")
    distance = evidently_reports.distance(known, values, kind)
    if distance is None:
        return None, _NO_DISTANCE
    if name in reference.unbinned:
        return distance, _NOT_BINNED.format("the reference")
    return distance, _NOT_BINNED.format("this day") if _is_unbinned(values, kind) else None


def _is_unbinned(values: pd.Series[Any], kind: str) -> bool:
    return kind == "num" and not (values.empty or evidently_reports.can_be_binned(values))


def _page(
    reference: Reference, counts: Mapping[str, Counts], described: Mapping[str, dict[str, Any]], n_rows: int
) -> str:
    """Evidently's page of figures and counts on the model's bins; no value of a row is in either."""
    violating = [name for name, item in described.items() if item["violation"]]
    headline = {
        "rows of the day": f"{n_rows:,}",
        "rows of the reference": f"{reference.n_rows:,}",
        "columns in violation": f"{len(violating)} of {len(described)}",
    }
    names = ("column", "test", "distance", "Evidently", "CSI / PSI", "limit", "violation", "note")
    rows, charts = [], []
    for name, item in described.items():
        verdict = "drift" if item["drift_detected"] else "no drift"
        score = "none" if item["drift_score"] is None else evidently_reports.short(item["drift_score"])
        ours = f"{item['csi']:.3f}", f"{item['csi_limit']:.3f}", "yes" if item["violation"] else "no"
        rows.append([name, item["stattest_name"], score, verdict, *ours, item["note"] or ""])
        title = f"{name}: {verdict}, {item['stattest_name']} {score}"
        labels = bin_labels(reference.bins["columns"][name])
        charts.append(evidently_reports.Chart(title, labels, reference.counts[name].tolist(), counts[name].tolist()))
    return evidently_reports.page(headline, names, rows, charts)


def _described(
    name: str,
    kind: str,
    distance: evidently_reports.Distance | None,
    verdict: Stability | None,
    note: str | None,
) -> dict[str, Any]:
    violation = verdict is not None and verdict.violation
    return {
        "feature_name": name,
        "drift_score": None if distance is None else distance.value,
        # A column that lost all its values has drifted although Evidently has no distance for it.
        "drift_detected": violation if distance is None else distance.drifted,
        "feature_type": kind,
        "stattest_name": evidently_reports.TESTS[kind].display_name,
        "stattest_threshold": evidently_reports.THRESHOLD,
        "csi": None if verdict is None else verdict.index,
        "csi_limit": None if verdict is None else verdict.limit,
        "violation": violation,
        "note": note,
    }


def _assembled(
    described: Mapping[str, dict[str, Any]], n_rows: int, n_reference: int | None, html: str | None
) -> Drift:
    """Sum up: the features decide about the dataset, the score stands apart."""
    features = [item for name, item in described.items() if name != SCORE]
    score = described[SCORE]
    drifted = [item["feature_name"] for item in features if item["drift_detected"]]
    violating = [item["feature_name"] for item in features if item["violation"]]
    share = len(drifted) / len(features)
    overall = {
        "n_features": len(features),
        "n_drifted_features": len(drifted),
        "share_drifted_features": share,
        "dataset_drift": share >= evidently_reports.DRIFT_SHARE,
        "violation": bool(violating) or score["violation"],
        "violating_features": violating,
        "max_csi": max((item["csi"] for item in features if item["csi"] is not None), default=None),
        "psi": score["csi"],
        "note": None if n_rows else _NO_ROWS,
    }
    apart = ("drift_score", "drift_detected", "stattest_name", "stattest_threshold", "violation", "note")
    return Drift(
        n_rows=n_rows,
        n_reference=n_reference,
        overall=overall,
        features=features,
        score={
            **{key: score[key] for key in apart},
            "psi": score["csi"],
            "psi_limit": score["csi_limit"],
        },
        html=html or evidently_reports.empty_page(_NO_ROWS),
    )
