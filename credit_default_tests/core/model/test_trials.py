from hypothesis import given
from hypothesis import strategies as st

from credit_default.core.model.trials import CHOICES, DEFAULT, RANGES, CrossValidated, best, draw_trials

seeds = st.integers(0, 2**32)


@given(seeds, st.integers(1, 30))
def test_trials_follow_from_the_seed_and_more_of_them_only_add(seed, number):
    trials = draw_trials(seed, number)
    assert len(trials) == number
    assert trials[0] == DEFAULT
    assert draw_trials(seed, number + 5)[:number] == trials


@given(seeds)
def test_every_trial_lies_in_the_documented_space(seed):
    for trial in draw_trials(seed, 20):
        assert set(trial) == set(RANGES) | set(CHOICES)
        assert all(low <= trial[name] <= high for name, (low, high) in RANGES.items())
        assert all(trial[name] in values for name, values in CHOICES.items())


def test_another_seed_draws_other_trials():
    assert draw_trials(1, 5)[1:] != draw_trials(2, 5)[1:]


def _result(number: int, auc: float, trees: int, leaves: int = 8) -> CrossValidated:
    return CrossValidated(number, {"max_leaf_nodes": leaves}, auc, 0.01, trees)


def test_the_highest_auc_wins():
    assert best([_result(0, 0.77, 10), _result(1, 0.79, 100)]).number == 1


def test_of_trials_that_cannot_be_told_apart_the_cheapest_to_score_wins():
    assert best([_result(0, 0.7800, 100), _result(1, 0.7803, 100, leaves=16), _result(2, 0.7802, 90)]).number == 2
