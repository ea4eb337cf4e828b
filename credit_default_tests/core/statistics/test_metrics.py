import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from credit_default.core.statistics.metrics import (
    band_edges,
    best_threshold,
    calibration,
    evaluate,
    kolmogorov_smirnov,
    score_bands,
)

samples = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), max_size=40)


def _honest(rows: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    probabilities = source.beta(1, 3, rows)
    return (source.random(rows) < probabilities).astype(int), probabilities


def test_figures_of_a_sample_small_enough_to_be_worked_out_by_hand():
    figures = evaluate([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9], threshold=0.5)
    # Of the four pairs of a good and a bad client, one (0.6 and 0.5) is in the wrong order.
    assert figures["roc_auc"] == 0.75
    assert figures["gini"] == 0.5
    assert figures["ks"] == 0.5
    assert figures["brier"] == pytest.approx((0.01 + 0.36 + 0.25 + 0.01) / 4)
    assert figures["brier_of_base_rate"] == 0.25
    assert (figures["precision"], figures["recall"]) == (pytest.approx(2 / 3), 1.0)
    assert figures["f1"] == pytest.approx(0.8)
    assert (figures["n"], figures["bad_rate"], figures["mean_pd"]) == (4, 0.5, pytest.approx(0.525))
    assert figures["predicted_default_share"] == 0.75


def test_auc_comes_from_probabilities_and_not_from_decisions():
    labels, probabilities = _honest()
    figures = evaluate(labels, probabilities, threshold=0.5)
    assert figures["roc_auc"] > roc_auc_score(labels, probabilities >= 0.5) + 0.05


def test_honest_probabilities_have_slope_one_and_intercept_zero():
    slope, intercept = calibration(*_honest())
    assert slope == pytest.approx(1, abs=0.03)
    assert intercept == pytest.approx(0, abs=0.05)


def test_too_extreme_probabilities_show_in_the_slope_and_too_low_ones_in_the_intercept():
    labels, honest = _honest()
    logit = np.log(honest / (1 - honest))
    slope, intercept = calibration(labels, 1 / (1 + np.exp(-2 * logit)))
    assert slope == pytest.approx(0.5, abs=0.02)
    slope, intercept = calibration(labels, 1 / (1 + np.exp(-(logit - 1))))
    assert slope == pytest.approx(1, abs=0.03)
    assert intercept == pytest.approx(1, abs=0.05)


@settings(max_examples=50, deadline=None)
@given(samples, st.floats(0, 1))
def test_whatever_the_rows_every_figure_is_a_number_or_none(rows, threshold):
    labels, probabilities = [label for label, _ in rows], [probability for _, probability in rows]
    figures = evaluate(labels, probabilities, threshold)
    json.dumps([figures, score_bands(labels, probabilities)], allow_nan=False)
    if len(set(labels)) < 2:
        unknown = ("roc_auc", "gini", "ks", "calibration_slope", "calibration_intercept")
        assert [figures[name] for name in unknown] == [None] * 5


def test_classes_that_are_separated_have_no_calibration_slope():
    assert calibration([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9]) == (None, None)


@settings(max_examples=50, deadline=None)
@given(samples)
def test_ks_is_the_largest_gap_between_the_two_distributions(rows):
    good = np.array([probability for label, probability in rows if label == 0])
    bad = np.array([probability for label, probability in rows if label == 1])
    measured = kolmogorov_smirnov([label for label, _ in rows], [probability for _, probability in rows])
    if not len(good) or not len(bad):
        assert measured is None
        return
    gaps = [abs((good <= cut).mean() - (bad <= cut).mean()) for cut in np.concatenate([good, bad])]
    assert measured == pytest.approx(max(gaps))


@settings(max_examples=50, deadline=None)
@given(samples)
def test_no_other_threshold_gives_a_higher_f1(rows):
    labels, probabilities = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if not labels.any():
        assert best_threshold(labels, probabilities) == 0.5
        return
    chosen = f1_score(labels, probabilities >= best_threshold(labels, probabilities))
    assert chosen >= max(f1_score(labels, probabilities >= cut) for cut in probabilities) - 1e-12


def test_bands_split_the_rows_and_rise_with_risk():
    labels, probabilities = _honest()
    bands = score_bands(labels, probabilities)
    assert [band["rows"] for band in bands] == [4_000] * 10
    rates = [band["bad_rate"] for band in bands]
    assert rates == sorted(rates)
    assert all(abs(band["mean_pd"] - band["bad_rate"]) < 0.03 for band in bands)


def test_bands_of_a_model_are_kept_for_other_rows_and_may_be_empty():
    edges = band_edges(np.linspace(0, 1, 101))
    bands = score_bands([0, 1], [0.05, 0.95], edges)
    assert [band["rows"] for band in bands] == [1, *[0] * 8, 1]
    assert bands[4]["bad_rate"] is None
    assert (bands[0]["low"], bands[-1]["high"]) == (0, 1)
