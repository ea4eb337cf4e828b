"""When a drift is worth a training, and what a comparison comes to."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from credit_default.core.promotion.decisions import (
    MeasuredDay,
    RetrainingRule,
    judge_comparison,
    underperformance,
    when_to_retrain,
)

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
FIRST = date(2026, 3, 1)


def history(pattern: str, labelled: int = 500) -> list[MeasuredDay]:
    """A window for each letter: `x` violates."""
    return [
        MeasuredDay(
            (FIRST + timedelta(days=number)).isoformat(), letter == "x", ("age",) if letter == "x" else (), labelled
        )
        for number, letter in enumerate(pattern)
    ]


def answer(pattern: str, *, labelled: int = 500, last_asked=None, under_way=False):
    return when_to_retrain(history(pattern, labelled), now=NOW, last_asked=last_asked, under_way=under_way)


@pytest.mark.parametrize("pattern", ["xx", "..xx", "x.x", "x...x", ".x..xxx"])
def test_a_drift_that_persists_asks_for_a_retraining_and_says_why(pattern):
    found = answer(pattern, labelled=1_000)
    assert found.retrain
    assert found.words.startswith(f"{pattern[-5:].count('x')} of the last")
    assert found.evidence["violating_features"] == ["age"]
    assert len(found.evidence["violating_windows"]) == pattern[-5:].count("x")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "No day was measured since the live version is live."),
        ("....", "2026-03-04 does not violate."),
        ("xxx.", "2026-03-04 does not violate."),
        ("....x", "2026-03-05 violates, and 1 of the last 5 days violates; 2 of 5 are needed."),
        ("x", "2026-03-01 violates, and 1 of the last 1 day violates; 2 of 5 are needed."),
        ("x....x", "2026-03-06 violates, and 1 of the last 5 days violates; 2 of 5 are needed."),
    ],
)
def test_noise_does_not_and_it_is_said_why(pattern, words):
    found = answer(pattern, labelled=9_999)
    assert (found.retrain, found.waits_for_labels, found.words) == (False, False, words)


def test_labelled_rows_count_from_the_first_day_of_the_drift_that_goes_on():
    assert answer("..xx.xx", labelled=200).evidence["drift_since"] == "2026-03-03"
    assert answer("xx..xx", labelled=200).evidence["drift_since"] == "2026-03-05"
    few = answer("..xx", labelled=499)
    assert few.waits_for_labels
    assert few.words.endswith("998 rows since 2026-03-03 have an outcome, and 1,000 are needed.")
    assert answer("..xx", labelled=500).retrain


def test_one_retraining_at_a_time_and_one_a_cool_down():
    assert answer("xxx", under_way=True).words == "A retraining is under way."
    asked = NOW - timedelta(days=6, hours=23)
    assert "the last retraining was asked for at 2026-03-24T13:00" in answer("xxx", last_asked=asked).words
    assert answer("xxx", last_asked=NOW - timedelta(days=7)).retrain
    # By a clock that went back, it was asked for in the future.
    assert not answer("xxx", last_asked=NOW + timedelta(days=300)).retrain


def test_a_drift_storm_of_30_days_causes_one_retraining_a_cool_down():
    asked: list[datetime] = []
    for day in range(1, 31):
        now = datetime(2026, 3, 1, 6, tzinfo=UTC) + timedelta(days=day)
        found = when_to_retrain(
            history("x" * day), now=now, last_asked=asked[-1] if asked else None, under_way=False, rule=RetrainingRule()
        )
        if found.retrain:
            asked.append(now)
    assert [moment.day for moment in asked] == [3, 10, 17, 24, 31]


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 3_000))
def test_nothing_is_asked_for_without_a_violating_newest_day_and_a_second_one(violating, labelled):
    pattern = "".join("x" if one else "." for one in violating)
    found = answer(pattern, labelled=labelled)
    if found.retrain:
        assert pattern[-1] == "x"
        assert pattern[-5:].count("x") >= 2
        assert found.evidence["labelled_rows_since"] >= 1_000
    assert found.words


def a_day(generator, rows: int = 500) -> dict:
    """Figures of a day on which a calibrated model with ROC AUC 0.78 did as it promised."""
    bad = generator.random(rows) < 0.22
    score = generator.normal(size=rows) + norm.ppf(0.78) * np.sqrt(2) * bad
    figures = {"n_joined": rows, "bad_rate": float(bad.mean()), "mean_pd": 0.22}
    return {**figures, "roc_auc": float(roc_auc_score(bad, score))}


def test_a_day_falls_short_by_chance_one_time_in_a_hundred_for_either_reason():
    generator = np.random.default_rng(1)
    short = [underperformance(a_day(generator), 0.78) for _ in range(1_500)]
    rates = {reason: sum(reason in one for one in short) / len(short) for reason in ("roc_auc", "calibration")}
    print(rates)
    assert rates["roc_auc"] <= 0.02
    assert rates["calibration"] <= 0.03


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ()),
        ({"roc_auc": 0.65}, ("roc_auc",)),
        ({"mean_pd": 0.30}, ("calibration",)),
        ({"mean_pd": 0.14}, ("calibration",)),
        ({"roc_auc": 0.65, "mean_pd": 0.30}, ("roc_auc", "calibration")),
        ({"n_joined": 20, "roc_auc": 0.65, "mean_pd": 0.30}, ()),
        ({"n_joined": 0, "bad_rate": None, "roc_auc": None, "mean_pd": None}, ()),
        ({"bad_rate": 0.0, "roc_auc": None}, ()),
    ],
)
def test_a_day_falls_short_when_it_is_clearly_worse_than_promised(changed, expected):
    figures = {"n_joined": 500, "bad_rate": 0.22, "mean_pd": 0.22, "roc_auc": 0.78, **changed}
    assert underperformance(figures, 0.78) == expected


def compared(gain=(0.02, 0.01, 0.03), **changed):
    estimate, low, high = gain
    figures = {"calibration_slope": 1.0, "mean_pd": 0.22, "bad_rate": 0.22}
    return {
        "rows": 2_000,
        "challenger": {**figures, **changed.pop("challenger", {})},
        "auc_gain": {"estimate": estimate, "low": low, "high": high},
        "bands": [{}] * 5,
        "inversions": [],
        "segments": [],
        "gaps": [],
        **changed,
    }


def verdict(monotonicity=0.0, **changed) -> str:
    return judge_comparison(compared(**changed), {"violation_share": monotonicity}).decision


@pytest.mark.parametrize(
    ("gain", "decision"),
    [
        ((0.02, 0.001, 0.04), "promote"),
        ((0.02, 0.0, 0.04), "hold"),
        ((0.01, -0.01, 0.03), "hold"),
        ((0.0, 0.0, 0.0), "hold"),
        ((-0.01, -0.03, 0.01), "hold"),
        ((-0.02, -0.03, -0.001), "reject"),
    ],
)
def test_the_interval_of_the_gain_decides_while_every_guard_holds(gain, decision):
    assert verdict(gain=gain) == decision


SEGMENT = {"segmentation": "education", "segment": "university"}
BROKEN = {
    "rows": {"rows": 499},
    "calibration_slope": {"challenger": {"calibration_slope": 0.5}},
    "calibration_in_the_large": {"challenger": {"mean_pd": 0.30}},
    "rank_order": {"inversions": [{"safer": "a", "riskier": "b", "z": 3.1}]},
    "segments": {"segments": [{**SEGMENT, "auc_gain": {"estimate": -0.1, "low": -0.2, "high": -0.01}}]},
    "gaps_between_groups": {"gaps": [{"attribute": "sex", "widening": {"estimate": 0.09, "low": 0.02, "high": 0.2}}]},
    "monotonicity_violations": {"monotonicity": 0.01},
}


@pytest.mark.parametrize("guard", BROKEN)
def test_a_guard_that_fails_rejects_however_large_the_gain(guard):
    changed = dict(BROKEN[guard])
    share = changed.pop("monotonicity", 0.0)
    found = judge_comparison(compared(**changed), {"violation_share": share})
    assert found.decision == "reject"
    assert [criterion.name for criterion in found.failed] == [guard]


@pytest.mark.parametrize(
    "changed",
    [
        {"challenger": {"calibration_slope": None}},
        {"challenger": {"bad_rate": 0.0}},
        {"bands": []},
        {"auc_gain": None},
    ],
)
def test_what_cannot_be_measured_does_not_promote(changed):
    assert verdict(**changed) != "promote"


def test_a_gap_that_grows_a_little_or_not_clearly_and_a_small_inversion_pass():
    gaps = [
        {"attribute": "sex", "widening": {"estimate": 0.04, "low": 0.01, "high": 0.07}},
        {"attribute": "age", "widening": {"estimate": 0.08, "low": -0.01, "high": 0.17}},
        {"attribute": "marriage", "widening": None},
    ]
    assert verdict(gaps=gaps, inversions=[{"safer": "a", "riskier": "b", "z": 1.2}]) == "promote"


def test_every_figure_and_threshold_is_told():
    for criterion in judge_comparison(compared(), {"violation_share": 0.0}).as_dict()["criteria"]:
        assert criterion.keys() == {"name", "value", "threshold", "passed", "explanation"}
        assert criterion["threshold"]
