import numpy as np

from credit_default.core.model.search import cross_validate
from credit_default.core.model.trials import DEFAULT
from credit_default.core.schema import BY_NAME


def test_cross_validation_finds_a_signal_where_there_is_one_and_none_where_there_is_none():
    source = np.random.default_rng(0)
    matrix = source.normal(size=(900, 2))
    signal = (matrix[:, 0] + source.normal(size=900) > 0).astype(np.int8)
    noise = source.integers(0, 2, 900).astype(np.int8)
    features = [BY_NAME["bill_amount_1"], BY_NAME["bill_amount_2"]]
    found = cross_validate(matrix, signal, features, dict(DEFAULT), folds=3)
    nothing = cross_validate(matrix, noise, features, dict(DEFAULT), folds=3)
    assert found.mean_auc > 0.75
    assert 0.4 < nothing.mean_auc < 0.6
    assert cross_validate(matrix, signal, features, dict(DEFAULT), folds=3) == found
