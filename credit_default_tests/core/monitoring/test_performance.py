import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from credit_default.core.monitoring.performance import measure_performance


def predictions(probabilities, threshold=0.5, start=0):
    p = np.asarray(probabilities, dtype=float)
    return pa.table({
        "client_id": pa.array([f"c{number}" for number in range(start, start + len(p))], pa.string()),
        "probability_of_default": pa.array(p, pa.float64()),
        "predicted_default": pa.array(p >= threshold, pa.bool_()),
    })  # fmt: skip


def outcomes(labels, start=0):
    names = [f"c{number}" for number in range(start, start + len(labels))]
    return pa.table(
        {"client_id": pa.array(names, pa.string()), "default_payment_next_month": pa.array(labels, pa.int8())}
    )


@pytest.fixture(scope="module")
def year():
    generator = np.random.default_rng(3)
    p = generator.beta(2, 6, 4_000)
    return p, (generator.random(4_000) < p).astype(int)


def test_rows_are_joined_by_client_whatever_their_order(year):
    p, y = year
    shuffled = outcomes(y).take(np.random.default_rng(1).permutation(len(y)))
    result = measure_performance(predictions(p, 0.3), shuffled)
    assert result["metrics"]["roc_auc"] == pytest.approx(roc_auc_score(y, p))
    assert result["metrics"]["bad_rate"] == pytest.approx(y.mean())
    assert result["n_joined"] == 4_000


def test_decisions_are_those_that_were_made_not_made_again(year):
    p, y = year
    metrics = measure_performance(predictions(p, 0.37), outcomes(y))["metrics"]
    assert metrics["f1"] == pytest.approx(f1_score(y, p >= 0.37))
    # A client's own probability is no figure to publish.
    assert "threshold" not in metrics


def test_what_has_no_partner_is_counted_and_left_out():
    result = measure_performance(predictions([0.1, 0.2, 0.8, 0.9]), outcomes([0, 1, 1, 0, 1], start=2))
    assert result["n_predictions"] == 4
    assert result["n_outcomes"] == 5
    assert result["n_joined"] == 2
    assert result["n_predictions_without_outcome"] == 2
    assert result["n_outcomes_without_prediction"] == 3
    assert result["metrics"]["n"] == 2


def test_bands_are_the_same_every_day_and_hold_every_joined_row(year):
    p, y = year
    whole, part = (
        measure_performance(predictions(p), outcomes(y)),
        measure_performance(predictions(p[:50]), outcomes(y[:50])),
    )
    assert [(band["low"], band["high"]) for band in whole["bands"]] == [
        (band["low"], band["high"]) for band in part["bands"]
    ]
    assert sum(band["rows"] for band in whole["bands"]) == 4_000
    for band in whole["bands"]:
        if band["rows"] > 300:
            assert band["bad_rate"] == pytest.approx(band["mean_pd"], abs=0.08)


@pytest.mark.parametrize(
    ("p", "y", "reason"),
    [
        pytest.param([0.1, 0.9], [0, 0], "one class", id="nobody defaulted"),
        pytest.param([0.1, 0.9], [1, 1], "one class", id="everybody defaulted"),
        pytest.param([], [], "no prediction has an outcome", id="nothing at all"),
        pytest.param([0.1, 0.9], [], "no prediction has an outcome", id="no outcomes"),
    ],
)
def test_a_figure_that_is_undefined_is_null_with_a_reason(p, y, reason):
    result = measure_performance(predictions(p), outcomes(y))
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["metrics"]["roc_auc"] is None
    assert reason in result["undefined"]["roc_auc"]
    assert set(result["undefined"]) == {name for name, value in result["metrics"].items() if value is None}


def test_nobody_called_a_default_leaves_precision_undefined():
    result = measure_performance(predictions([0.1, 0.2, 0.3, 0.25]), outcomes([0, 1, 0, 1]))
    assert result["metrics"]["precision"] is None
    assert "no client was predicted" in result["undefined"]["precision"]
    assert result["metrics"]["predicted_default_share"] == 0
