import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core.statistics.stability import PSI_ALERT, chi_square_limit, null_limit, population_stability_index

counts = st.lists(st.integers(0, 500), min_size=2, max_size=12).filter(lambda rows: sum(rows) > 0)


def textbook(reference, current):
    r = np.asarray(reference) / np.sum(reference)
    q = np.asarray(current) / np.sum(current)
    return float(np.sum((q - r) * np.log(q / r)))


def test_it_is_the_textbook_sum_where_no_bin_is_empty():
    reference, current = [1200] * 10, [90, 80, 70, 60, 50, 45, 40, 35, 20, 10]
    assert population_stability_index(reference, current) == pytest.approx(textbook(reference, current), rel=0.02)


@given(counts, st.data())
def test_it_is_finite_never_negative_and_nearly_zero_for_the_same_shares(reference, data):
    current = data.draw(st.lists(st.integers(0, 500), min_size=len(reference), max_size=len(reference)))
    if sum(current):
        index = population_stability_index(reference, current)
        assert np.isfinite(index)
        assert index >= 0
    large = np.asarray(reference) * 1_000
    assert population_stability_index(large, large) < 0.01


def test_many_samples_at_once_give_what_each_gives_alone():
    reference = np.array([500, 300, 200, 0])
    samples = np.random.default_rng(1).multinomial(80, [0.4, 0.3, 0.2, 0.1], size=20)
    together = population_stability_index(reference, samples)
    assert together.tolist() == [float(population_stability_index(reference, sample)) for sample in samples]


@pytest.mark.parametrize("n", [50, 80, 300, 1000])
@pytest.mark.parametrize(
    "shares",
    [
        pytest.param([0.1] * 10 + [0.0], id="deciles"),
        pytest.param([0.28, 0.49, 0.125, 0.09, 0.01, 0.003, 0.001, 0.0005, 0.0005, 0.0, 0.0], id="rare states"),
        pytest.param([0.6, 0.4, 0.0, 0.0], id="two categories"),
    ],
)
def test_the_limit_is_passed_as_often_as_it_says_and_not_more(n, shares):
    reference = np.rint(np.array(shares) * 9_000).astype(int)
    generator = np.random.default_rng(7)
    drawn = generator.multinomial(n, reference / reference.sum(), size=40_000)
    above = np.mean(population_stability_index(reference, drawn) > null_limit(reference, n, confidence=0.99))
    print(f"n={n} bins={len(shares)}: {above:.4f} above the 99 % limit")
    assert above < 0.013
    # Rounding sizes down by up to a tenth costs a little sharpness and no more.
    assert above > 0.0005


def test_the_usual_approximation_is_too_low_for_small_samples():
    reference = [1200] * 10
    assert null_limit(reference, 50, confidence=0.999) > 1.3 * chi_square_limit(reference, 50, 0.999)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.integers(0, 300), min_size=3, max_size=12).filter(lambda rows: sum(rows) > 300), st.integers(50, 2_000)
)
def test_leaving_out_the_draw_changes_no_limit(reference, n):
    assert null_limit(reference, n, confidence=0.999, at_least=PSI_ALERT) == max(
        PSI_ALERT, null_limit(reference, n, confidence=0.999)
    )
