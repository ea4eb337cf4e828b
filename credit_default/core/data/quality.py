"""Data-quality checks of the curated table and of its parts: pure functions, one result for each name.

A check that cannot be judged, because a column is missing, fails. Severity ``ERROR`` forbids publishing, ``WARN`` is
shown and lets it pass. Messages name columns, counts and rules and never a value of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from math import sqrt
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core import tables
from credit_default.core.data.check_names import CURATED_CHECKS, PREPARED_CHECKS
from credit_default.core.data.splits import DEVELOPMENT
from credit_default.core.plurals import plural, verb
from credit_default.core.schema import AS_OF, CLIENT_ID, FEATURES, TARGET, Feature
from credit_default.core.statistics.bins import Bins, Floats, codes, count, is_number, to_floats
from credit_default.core.statistics.stability import PSI_ALERT, null_limit, population_stability_index

Severity = Literal["ERROR", "WARN"]

MISSING_SHARE = 0.2
TARGET_RATES = (0.02, 0.6)
FEWEST_ROWS = 1_000
TELLING_AUC = 0.95
#: How often parts of one population may be called different.
FALSE_ALARMS = 0.02


@dataclass(frozen=True)
class QualityCheck:
    """The outcome of one check."""

    name: str
    passed: bool
    description: str
    severity: Severity = "ERROR"
    metadata: Mapping[str, Any] = field(default_factory=dict)


def curated_checks(table: pa.Table) -> list[QualityCheck]:
    """Judge the curated table; the results come in the order of `CURATED_CHECKS`."""
    results = [_schema(table), _ranges(table), _duplicates(table), _missing_share(table), _target_rate(table)]
    assert [result.name for result in results] == list(CURATED_CHECKS)
    return results


def prepared_checks(parts: Mapping[str, pa.Table], bins: Bins) -> list[QualityCheck]:
    """Judge the parts; the results come in the order of `PREPARED_CHECKS`.

    Parameters
    ----------
    parts
        Tables by part, the development part among them.
    bins
        Bins of the features in the development part.
    """
    results = [_leakage(parts, bins), _drift_between_parts(parts, bins)]
    assert [result.name for result in results] == list(PREPARED_CHECKS)
    return results


def _schema(table: pa.Table) -> QualityCheck:
    problems = []
    for wanted in tables.schema(target=True):
        found = table.column_names.count(wanted.name)
        if found != 1:
            problems.append(f"column {wanted.name!r} is there {found} times, expected once")
        elif table.schema.field(wanted.name).type != wanted.type:
            problems.append(f"column {wanted.name!r} is {table.schema.field(wanted.name).type}, expected {wanted.type}")
    return _result("schema", problems)


def _ranges(table: pa.Table) -> QualityCheck:
    problems = []
    for feature in FEATURES:
        if feature.name not in table.column_names:
            problems.append(f"column {feature.name!r} is missing")
            continue
        bad, rule = _out_of_range(feature, table.column(feature.name))
        if bad:
            problems.append(f"column {feature.name!r}: {plural(bad, 'row')}, expected {rule}")
    if TARGET not in table.column_names:
        problems.append(f"column {TARGET!r} is missing")
    else:
        target = table.column(TARGET)
        good = pc.sum(pc.is_in(target.cast(pa.int64()), value_set=pa.array([0, 1]))).as_py() or 0
        if good < table.num_rows:
            problems.append(f"column {TARGET!r}: {plural(table.num_rows - good, 'row')}, expected 0 or 1")
    return _result("ranges", problems)


def _out_of_range(feature: Feature, values: pa.ChunkedArray) -> tuple[int, str]:
    """How many values break the feature's rule, and the rule; missing values break none."""
    if feature.kind == "category":
        known = pc.is_in(values.cast(pa.string()), value_set=pa.array([*feature.categories, None]))
        return len(values) - (pc.sum(known).as_py() or 0), "one of the categories of the schema"
    if not is_number(values):
        return len(values), "a number"
    numbers = to_floats(values.drop_null())
    low = -np.inf if feature.minimum is None else feature.minimum
    high = np.inf if feature.maximum is None else feature.maximum
    rule = f"finite numbers from {low:g} to {high:g}"
    return int(np.count_nonzero(~np.isfinite(numbers) | (numbers < low) | (numbers > high))), rule


def _duplicates(table: pa.Table) -> QualityCheck:
    if CLIENT_ID not in table.column_names:
        return _result("duplicates", [f"column {CLIENT_ID!r} is missing"])
    keys = [name for name in (CLIENT_ID, AS_OF) if name in table.column_names]
    different = table.select(keys).group_by(keys).aggregate([]).num_rows
    extra = table.num_rows - different
    rows_repeat = f"{plural(extra, 'row')} {verb(extra, 'repeats', 'repeat')}"
    problems = [f"{rows_repeat} the {' and '.join(keys)} of another row; keep one of each"] if extra else []
    return _result("duplicates", problems, metadata={"repeated_rows": extra})


def _missing_share(table: pa.Table) -> QualityCheck:
    shares = {
        feature.name: table.column(feature.name).null_count / table.num_rows
        if table.num_rows and feature.name in table.column_names
        else 1.0
        for feature in FEATURES
    }
    problems = [
        f"column {name!r}: {share:.0%} is missing, expected {MISSING_SHARE:.0%} at most"
        for name, share in shares.items()
        if share > MISSING_SHARE
    ]
    worst = max(shares, key=lambda name: shares[name])
    metadata = {"largest_share": round(shares[worst], 6), "column": worst if shares[worst] else "none"}
    return _result("missing_share", problems, metadata=metadata)


def _target_rate(table: pa.Table) -> QualityCheck:
    if TARGET not in table.column_names:
        return _result("target_rate", [f"column {TARGET!r} is missing"])
    known = to_floats(table.column(TARGET).drop_null())
    rate = float(known.mean()) if known.size else 0.0
    metadata = {"rows": table.num_rows, "target_rate": round(rate, 6)}
    low, high = TARGET_RATES
    if rate in {0.0, 1.0}:
        rows_are = f"{plural(known.size, 'labelled row')} {verb(known.size, 'is', 'are all')}"
        problem = f"{rows_are} of one class; expected defaulters and others"
        return _result("target_rate", [problem], metadata=metadata)
    if not low <= rate <= high:
        problem = f"{rate:.1%} of clients default, expected {low:.0%} to {high:.0%}; is the target the right way round?"
        return _result("target_rate", [problem], metadata=metadata)
    if table.num_rows < FEWEST_ROWS:
        rows = plural(table.num_rows, "row")
        problem = f"{rows}, expected {FEWEST_ROWS:,} or more; a model of fewer is not to be relied on"
        return _result("target_rate", [problem], severity="WARN", metadata=metadata)
    return _result("target_rate", [], metadata=metadata)


def _leakage(parts: Mapping[str, pa.Table], bins: Bins) -> QualityCheck:
    problems = []
    clients = {name: set(part.column(CLIENT_ID).to_pylist()) for name, part in parts.items()}
    for first, second in combinations(parts, 2):
        shared = len(clients[first] & clients[second])
        if shared:
            problems.append(
                f"{plural(shared, 'client')} {verb(shared, 'is', 'are')} both in the {first} and in the {second} part"
            )
    development = parts[DEVELOPMENT]
    target = to_floats(development.column(TARGET))
    aucs = {name: _auc_alone(development, name, bins, target) for name in bins["columns"]}
    problems += [
        f"column {name!r} alone tells the target (AUC {auc:.3f}, expected {TELLING_AUC} at most); "
        "is it known only afterwards?"
        for name, auc in aucs.items()
        if auc > TELLING_AUC
    ]
    best = max(aucs, key=lambda name: aucs[name])
    return _result("leakage", problems, metadata={"most_telling_feature": best, "its_auc": round(aucs[best], 4)})


def _auc_alone(table: pa.Table, name: str, bins: Bins, target: Floats) -> float:
    """AUC of one column: by its order where it has one, and by the target rate of its bins (missing is a bin)."""
    described = bins["columns"][name]
    values = table.column(name)
    found = codes(described, values)
    rows = np.bincount(found)
    rates = np.bincount(found, weights=target) / np.maximum(rows, 1)
    auc = _auc(rates[found], target)
    if described["kind"] == "number":
        numbers = to_floats(values)
        there = ~np.isnan(numbers)
        ordered = _auc(numbers[there], target[there])
        auc = max(auc, ordered, 1 - ordered)
    return auc


def _auc(score: Floats, target: Floats) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney); 0.5 when there is one class only."""
    bad = int(target.sum())
    good = len(target) - bad
    if not bad or not good:
        return 0.5
    # Ranks of equal scores are their average, as `scipy.stats.rankdata` gives them; its import takes a second.
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[target == 1].sum() - bad * (bad + 1) / 2) / (bad * good))


def _drift_between_parts(parts: Mapping[str, pa.Table], bins: Bins) -> QualityCheck:
    others = {name: part for name, part in parts.items() if name != DEVELOPMENT}
    reference = count(bins, parts[DEVELOPMENT])
    confidence = 1 - FALSE_ALARMS / (len(others) * len(reference))
    errors: list[str] = []
    warnings: list[str] = []
    highest = 0.0
    for part_name, part in others.items():
        for name, counts in count(bins, part).items():
            index = float(population_stability_index(reference[name], counts))
            limit = null_limit(reference[name], part.num_rows, confidence=confidence)
            highest = max(highest, index)
            if index > limit:
                told = f"column {name!r} of the {part_name} part has PSI {index:.3f}, chance gives {limit:.3f} at most"
                (errors if index > PSI_ALERT else warnings).append(told)
        warnings += _rate_differs(parts[DEVELOPMENT], part, part_name)
    severity: Severity = "ERROR" if errors else "WARN"
    return _result(
        "drift_between_parts", errors + warnings, severity=severity, metadata={"highest_psi": round(highest, 6)}
    )


def _rate_differs(development: pa.Table, part: pa.Table, name: str) -> Iterable[str]:
    """Two-proportion z-test of the target rates, at one in a thousand."""
    ours, theirs = to_floats(development.column(TARGET)), to_floats(part.column(TARGET))
    pooled = float(np.concatenate([ours, theirs]).mean())
    error = sqrt(pooled * (1 - pooled) * (1 / len(ours) + 1 / len(theirs)))
    difference = abs(float(ours.mean() - theirs.mean()))
    if error and difference > error * NormalDist().inv_cdf(1 - 0.0005):
        yield f"the target rate of the {name} part differs by {difference:.3f}, more than chance gives"


def _result(
    name: str, problems: list[str], *, severity: Severity = "ERROR", metadata: Mapping[str, Any] | None = None
) -> QualityCheck:
    """Pass without problems; a check that passed says what holds."""
    holds = {**CURATED_CHECKS, **PREPARED_CHECKS}[name]
    return QualityCheck(name, not problems, "; ".join(problems) or holds, severity, dict(metadata or {}))
