"""Two models on the same rows: what is measured, and how often a fair comparison is wrong."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from credit_default.core.promotion.comparison import ScoredRows, auc_gain, compare, inversions
from credit_default.core.promotion.decisions import judge_comparison

BAD_RATE = 0.22
MONOTONE = {"violation_share": 0.0}


def pair_of_models(generator, rows: int, gain: float, correlation: float = 0.9) -> tuple:
    """Labels, and the scores of a champion (ROC AUC 0.77) and a challenger that is better by ``gain``.

    Normal scores within each class, whose distance gives the AUC: AUC = Phi(distance / sqrt 2). Two trainings on much
    the same data have scores that go together. Both are calibrated: the probability follows from the score by Bayes.
    """
    from scipy.stats import norm

    labels = (generator.random(rows) < BAD_RATE).astype(np.int8)
    noise = generator.normal(size=(2, rows))
    noise[1] = correlation * noise[0] + np.sqrt(1 - correlation**2) * noise[1]
    scored = []
    for own, auc in zip(noise, (0.77, 0.77 + gain), strict=True):
        distance = norm.ppf(auc) * np.sqrt(2)
        score = own + distance * labels
        logit = distance * score - distance**2 / 2 + np.log(BAD_RATE / (1 - BAD_RATE))
        scored.append(ScoredRows(1 / (1 + np.exp(-logit)), 0.3))
    return labels, *scored


def verdicts(trials: int, gain: float, *, rows: int = 2_000, seed: int = 1) -> dict[str, int]:
    """What is decided, over so many comparisons of such models; segments and groups have tests of their own."""
    generator = np.random.default_rng(seed)
    found = {"promote": 0, "hold": 0, "reject": 0}
    for _ in range(trials):
        labels, champion, challenger = pair_of_models(generator, rows, gain)
        compared = compare(labels, champion, challenger, segments={}, groups={}, seed=int(generator.integers(1 << 30)))
        found[judge_comparison(compared, MONOTONE).decision] += 1
    print(f"gain {gain:+.2f} at {rows:,} rows, {trials:,} trials: {found}")
    return found


@pytest.mark.slow
def test_a_model_that_is_truly_equal_is_hardly_ever_promoted():
    assert verdicts(1_000, 0.0)["promote"] <= 25


@pytest.mark.slow
def test_a_model_that_is_better_by_two_points_is_promoted_mostly():
    assert verdicts(1_000, 0.02)["promote"] >= 800


@pytest.mark.slow
def test_a_model_that_is_worse_by_two_points_is_never_promoted():
    assert verdicts(1_000, -0.02)["promote"] == 0


def test_the_gain_is_the_difference_of_the_aucs_and_its_interval_holds_it():
    labels, champion, challenger = pair_of_models(np.random.default_rng(2), 3_000, 0.02)
    gain = auc_gain(labels, champion.probabilities, challenger.probabilities, np.random.default_rng(3))
    expected = roc_auc_score(labels, challenger.probabilities) - roc_auc_score(labels, champion.probabilities)
    assert gain["estimate"] == pytest.approx(expected, abs=1e-6)
    assert gain["low"] < expected < gain["high"]


def test_the_interval_is_as_wide_as_the_gain_varies_from_sample_to_sample():
    generator = np.random.default_rng(4)
    gains, widths = [], []
    for _ in range(60):
        labels, champion, challenger = pair_of_models(generator, 1_500, 0.01)
        found = auc_gain(labels, champion.probabilities, challenger.probabilities, generator, draws=200)
        gains.append(found["estimate"])
        widths.append(found["high"] - found["low"])
    # 98 %: 2.326 standard errors to each side.
    assert np.mean(widths) / (2 * 2.326) == pytest.approx(np.std(gains), rel=0.35)


def test_ties_count_half_and_equal_scores_gain_nothing():
    labels = np.array([0, 0, 1, 1], np.int8)
    same = np.array([0.1, 0.2, 0.2, 0.3])
    gain = auc_gain(labels, same, same, np.random.default_rng(5))
    assert gain == {"estimate": 0.0, "low": 0.0, "high": 0.0}
    flat = np.full(4, 0.5)
    assert auc_gain(labels, flat, same, np.random.default_rng(5))["estimate"] == pytest.approx(0.875 - 0.5)


@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_class_have_no_gain(label):
    labels = np.full(5, label, np.int8)
    assert auc_gain(labels, np.arange(5) / 5, np.arange(5) / 5, np.random.default_rng(6)) is None


def test_the_same_rows_and_seed_give_the_same_figures():
    rows = pair_of_models(np.random.default_rng(7), 1_000, 0.01)
    given = {"segments": {"s": ["a", "b"] * 500}, "groups": {"g": ["x", "y"] * 500}}
    assert compare(*rows, **given, seed=8) == compare(*rows, **given, seed=8)


def test_segments_and_groups_that_are_small_are_counted_and_not_judged():
    labels, champion, challenger = pair_of_models(np.random.default_rng(9), 1_000, 0.0)
    names = ["tiny"] * 20 + ["large"] * 980
    found = compare(labels, champion, challenger, segments={"s": names}, groups={"g": names})
    by_segment = {one["segment"]: one for one in found["segments"]}
    assert (by_segment["tiny"]["rows"], by_segment["tiny"]["auc_gain"]) == (20, None)
    assert by_segment["large"]["auc_gain"] is not None
    assert {one["group"]: one["rows"] for one in found["groups"]} == {"tiny": 20, "large": 980}
    assert found["gaps"] == [{"attribute": "g", "champion": None, "challenger": None, "widening": None}]


def test_a_challenger_that_treats_a_group_worse_widens_the_gap():
    labels, champion, _ = pair_of_models(np.random.default_rng(10), 2_000, 0.0)
    names = np.array(["a", "b"] * 1_000)
    unfair = ScoredRows(
        np.where(names == "b", np.minimum(champion.probabilities + 0.2, 1), champion.probabilities), 0.3
    )
    (gap,) = compare(labels, champion, unfair, segments={}, groups={"g": names})["gaps"]
    shares = [unfair.decided[names == name].mean() for name in "ab"]
    assert gap["challenger"] == pytest.approx(abs(shares[0] - shares[1]), abs=1e-6)
    assert gap["widening"]["low"] > 0.05


def test_bands_in_the_wrong_order_are_named_with_how_clear_that_is():
    def band(name, rows, bad_rate):
        return {"band": name, "rows": rows, "bad_rate": bad_rate}

    assert inversions([band("a", 100, 0.1), band("b", 100, 0.2), band("c", 0, None)]) == []
    (found,) = inversions([band("a", 400, 0.3), band("b", 400, 0.1)])
    assert (found["safer"], found["riskier"]) == ("a", "b")
    assert found["z"] == pytest.approx(0.2 / np.sqrt(0.2 * 0.8 * 2 / 400))
