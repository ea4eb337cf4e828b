from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from credit_default.core.data import sample, splits
from credit_default.core.model import training
from credit_default.core.model.features import encode
from credit_default.core.model.training import TrainingOptions, measure_monotonicity, train
from credit_default.core.promotion.gates import judge_absolute
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES, PROBABILITY, TARGET
from credit_default.core.statistics.metrics import best_threshold
from credit_default.errors import QualityError, SettingsError
from credit_default_tests.trained import OPTIONS, model, parts


def _with_target(table: pa.Table, values: np.ndarray) -> pa.Table:
    at = table.schema.get_field_index(TARGET)
    return table.set_column(at, table.schema.field(at), pa.array(values.astype(np.int8)))


def test_the_same_rows_and_seed_give_the_same_model():
    again = train(**parts(), options=OPTIONS)
    assert again.content_hash == model().content_hash
    np.testing.assert_array_equal(again.test_probabilities, model().test_probabilities)


def test_another_seed_gives_another_model():
    other = train(**parts(), options=replace(OPTIONS, seed=2, trials=1))
    assert other.content_hash != model().content_hash


def test_the_test_part_decides_nothing():
    flipped = parts() | {"test": _with_target(parts()["test"], 1 - parts()["test"][TARGET].to_numpy())}
    other = train(**flipped, options=OPTIONS)
    assert other.content_hash == model().content_hash
    assert other.threshold == model().threshold
    assert other.metrics["test"]["roc_auc"] == pytest.approx(1 - model().metrics["test"]["roc_auc"])


def test_the_threshold_is_the_best_of_the_calibration_part():
    calibration = parts()["calibration"]
    probabilities = model().probabilities(calibration)
    assert model().threshold == best_threshold(calibration[TARGET].to_numpy(), probabilities)


def test_probabilities_agree_with_the_bad_rate_of_the_part_they_were_calibrated_on():
    validation = model().metrics["validation"]
    assert validation["mean_pd"] == pytest.approx(validation["bad_rate"], abs=0.005)
    assert validation["calibration_slope"] == pytest.approx(1, abs=0.05)


def test_progress_and_every_trial_are_told():
    lines, trials = [], []
    train(**parts(), options=OPTIONS, progress=lines.append, on_trial=trials.append)
    assert [trial.number for trial in trials] == [0, 1]
    assert any(line.startswith("Trial 2/2: AUC 0.7") for line in lines)


def test_one_trial_of_a_search_can_be_run_alone_and_gives_what_it_gives_in_the_search():
    alone = train(**parts(), options=replace(OPTIONS, only_trial=1))
    assert alone.trials == model().trials[1:]
    with pytest.raises(SettingsError, match="only_trial=2"):
        train(**parts(), options=replace(OPTIONS, only_trial=2))


@pytest.mark.parametrize("part", ["development", "calibration"])
def test_a_part_with_one_class_only_is_refused_with_its_name(part):
    one_class = parts() | {part: _with_target(parts()[part], np.zeros(parts()[part].num_rows))}
    with pytest.raises(QualityError, match=f"the {part} part holds .* and 0 who defaulted"):
        train(**one_class, options=OPTIONS)


def test_a_model_without_test_rows_is_made_and_does_not_pass_the_gates():
    untested = train(**parts() | {"test": parts()["test"].slice(0, 0)}, options=replace(OPTIONS, trials=1))
    assert untested.metrics["test"]["roc_auc"] is None
    assert judge_absolute(untested.metrics["test"], untested.monotonicity).decision == "reject"


def test_a_client_who_gets_worse_never_gets_a_lower_probability():
    assert model().monotonicity["violation_share"] == 0
    assert model().monotonicity["rows"] > 1_000
    assert model().monotonicity["by_feature"]["repayment_status_1"] == 0


def test_a_model_without_constraints_is_caught_by_the_perturbation():
    development = parts()["development"]
    matrix = encode(development, model().features)
    labels = development[TARGET].to_numpy()
    free = [replace(feature, monotonic=0) for feature in model().features]
    with training.one_thread():
        fitted = training.classifier({"max_leaf_nodes": 31}, free, seed=0, trees=100).fit(matrix, labels)
    classify = training.calibrated(fitted, matrix, labels, "sigmoid")
    assert measure_monotonicity(classify, matrix, model().features)["violations"] > 0


def test_golden_rows_span_the_scores_and_hold_a_gap_in_every_feature():
    golden = model().golden
    assert golden.num_rows == 64
    assert all(golden[name].null_count == 1 for name in FEATURE_NAMES)
    assert np.ptp(golden[PROBABILITY].to_numpy()) > 0.5
    np.testing.assert_array_equal(model().probabilities(golden), golden[PROBABILITY].to_numpy())


def test_isotonic_calibration_is_an_option():
    isotonic = train(**parts(), options=replace(OPTIONS, trials=1, calibration="isotonic"))
    assert len(np.unique(isotonic.test_probabilities)) < 100
    assert isotonic.monotonicity["violations"] == 0


@pytest.mark.slow
def test_the_default_training_on_the_bundled_clients_reaches_its_auc_on_clients_it_has_never_seen():
    clients = sample.development_clients()
    part = splits.part_of(clients[CLIENT_ID].to_pylist())
    trained = train(
        **{name: clients.filter(pa.array(part == name)) for name in splits.PARTS}, options=TrainingOptions()
    )
    assert trained.metrics["test"]["roc_auc"] >= 0.765
    assert judge_absolute(trained.metrics["test"], trained.monotonicity).decision == "promote"
    arrivals = sample.arrivals()
    assert roc_auc_score(arrivals[TARGET].to_numpy(), trained.probabilities(arrivals)) >= 0.765
