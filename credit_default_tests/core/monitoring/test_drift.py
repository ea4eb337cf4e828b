import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from evidently import Report
from evidently.metrics import ValueDrift
from evidently.metrics.column_statistics import DriftedColumnsCount
from sklearn.linear_model import LogisticRegression

from credit_default.core.data.sample import arrivals, development_clients
from credit_default.core.monitoring import evidently_reports
from credit_default.core.monitoring.drift import SCORE, Reference, limits, measure, without_rows
from credit_default.core.schema import AMOUNTS, FEATURE_NAMES, NUMBERS, REPAYMENT_STATES, TARGET
from credit_default.core.statistics.bins import codes, count, make_bins
from credit_default.core.statistics.stability import population_stability_index
from credit_default.errors import ContractError, ModelError

COLUMNS = (*FEATURE_NAMES, SCORE)
DAYS = 400


@pytest.fixture(scope="module")
def scored():
    """Development clients and arrivals with a real score."""
    development, arrived = development_clients(), arrivals()

    def matrix(table):
        states = table["repayment_status_1"].cast(pa.string())
        worst = pc.index_in(states, pa.array(REPAYMENT_STATES)).to_numpy()
        return np.column_stack([worst, np.log1p(table["credit_limit"]), np.log1p(table["payment_amount_1"])])

    model = LogisticRegression(max_iter=500).fit(matrix(development), development[TARGET].to_numpy())
    return tuple(
        table.append_column(SCORE, pa.array(model.predict_proba(matrix(table))[:, 1]))
        for table in (development, arrived)
    )


@pytest.fixture(scope="module")
def reference(scored):
    development = scored[0].slice(0, 12_000).select(COLUMNS)
    return Reference(development, make_bins(development, COLUMNS))


@pytest.fixture(scope="module")
def arrived(scored):
    return scored[1].select(COLUMNS)


def scaled(table, names, factor=20.0):
    for name in names:
        table = table.set_column(table.column_names.index(name), name, pc.multiply(table[name], factor))
    return table


def emptied(table, name):
    position = table.column_names.index(name)
    return table.set_column(position, name, pa.nulls(table.num_rows, table.schema.field(name).type))


def samples_of(reference, table, n, days, generator):
    """Counts of many random days by column, shape (days, bins), from the codes of every row."""
    rows = np.array([generator.choice(table.num_rows, n, replace=False) for _ in range(days)])
    day = np.repeat(np.arange(days), n)
    counted = {}
    for name, described in reference.bins["columns"].items():
        found = codes(described, table.column(name))[rows].ravel()
        size = len(reference.counts[name])
        counted[name] = np.bincount(day * size + found, minlength=days * size).reshape(days, size)
    return counted


def stability_of(reference, counted):
    """PSI of every column on every day, shape (days, columns)."""
    return np.column_stack([population_stability_index(reference.counts[name], counted[name]) for name in counted])


@pytest.mark.parametrize("n", [50, 80, 300, 1000, 5000])
def test_days_without_drift_rarely_violate_whatever_their_size(reference, arrived, n):
    index = stability_of(reference, samples_of(reference, arrived, n, DAYS, np.random.default_rng(n)))
    rate = np.mean((index > list(limits(reference.counts, n).values())).any(axis=1))
    plain = np.mean((index > 0.25).any(axis=1))
    print(f"n={n}: {rate:.2%} of days violate; PSI > 0.25 alone would say {plain:.0%}")
    assert rate <= 0.05


def test_a_change_of_units_is_always_caught(reference, arrived):
    n = 500
    shifted = scaled(arrived, AMOUNTS)
    index = stability_of(reference, samples_of(reference, shifted, n, DAYS, np.random.default_rng(20)))
    violates = index > list(limits(reference.counts, n).values())
    caught = dict(zip(reference.counts, violates.mean(axis=0), strict=True))
    print(f"n={n}, amounts x 20: {violates.any(axis=1).mean():.0%} of days violate")
    assert all(caught[name] == 1.0 for name in AMOUNTS)


@pytest.mark.parametrize("name", ["credit_limit", "payment_amount_3"])
def test_a_change_of_units_in_one_column_alone_is_a_violation_of_that_column(reference, arrived, name):
    # A rule about the share of columns would miss it.
    drift = measure(reference, scaled(arrived.slice(1_000, 500), [name]))
    assert drift.overall["violating_features"] == [name]
    assert drift.overall["violation"]
    assert not drift.overall["dataset_drift"]


def test_eighty_rows_with_another_unit_are_enough(reference, arrived):
    assert measure(reference, scaled(arrived.slice(0, 80), AMOUNTS)).overall["violation"]
    assert not measure(reference, arrived.slice(0, 80)).overall["violation"]


@pytest.fixture(scope="module")
def shifted(reference, arrived):
    current = scaled(arrived.slice(0, 500), AMOUNTS)
    return current, measure(reference, current)


def test_figures_and_verdicts_are_evidentlys_own(scored, shifted):
    current, drift = shifted
    kinds = {item["feature_name"]: item["feature_type"] for item in drift.features}
    methods = {name: evidently_reports.TESTS[kind].name for name, kind in kinds.items()}
    # Evidently's own metrics, drawn its own way, and its own verdict on the dataset.
    metrics = [ValueDrift(column=name, method=method, threshold=0.1) for name, method in methods.items()]
    whole = DriftedColumnsCount(columns=list(kinds), per_column_method=methods, threshold=0.1)
    snapshot = Report([*metrics, whole], include_tests=True).run(
        *(evidently_reports.dataset(table, kinds) for table in (current, scored[0].slice(0, 12_000)))
    )
    for item, metric in zip(drift.features, metrics, strict=True):
        theirs = snapshot.context.get_metric_result(metric)
        assert item["drift_score"] == pytest.approx(theirs.value, rel=1e-9)
        assert item["drift_detected"] == (theirs.tests[0].status.value == "FAIL")
    verdict = snapshot.context.get_metric_result(whole)
    assert drift.overall["n_drifted_features"] == verdict.count.value
    assert drift.overall["share_drifted_features"] == pytest.approx(verdict.share.value)
    assert drift.overall["dataset_drift"] is True
    assert (verdict.share.value >= whole.drift_share) is True


def test_the_score_stands_apart_from_the_features(shifted):
    drift = shifted[1]
    assert [item["feature_name"] for item in drift.features] == list(FEATURE_NAMES)
    assert drift.overall["n_features"] == 23
    assert drift.overall["psi"] == drift.score["psi"] > 0
    assert {item["feature_name"] for item in drift.features if item["feature_type"] == "num"} == set(NUMBERS)


def test_a_score_that_moves_alone_is_a_violation(reference, arrived):
    current = arrived.slice(0, 500)
    score = pa.array(np.clip(current[SCORE].to_numpy() * 2, 0, 1))
    drift = measure(reference, current.set_column(current.column_names.index(SCORE), SCORE, score))
    assert drift.overall["violating_features"] == []
    assert drift.score["violation"]
    assert drift.overall["violation"]


def test_the_counts_of_the_reference_decide_not_those_of_the_sample_that_was_binned(scored, arrived):
    old = scored[0].select(COLUMNS)
    recent = scaled(arrived.slice(5_000, 6_000), AMOUNTS)
    today = scaled(arrived.slice(0, 500), AMOUNTS)
    bins = make_bins(old, COLUMNS)
    assert measure(Reference(old, bins), today).overall["violation"]
    assert not measure(Reference(recent, bins), today).overall["violation"]


@pytest.mark.parametrize("name", ["age", "sex"])
def test_a_column_that_lost_all_its_values_is_a_violation_and_has_no_distance(reference, arrived, name):
    drift = measure(reference, emptied(arrived.slice(0, 500), name))
    item = next(item for item in drift.features if item["feature_name"] == name)
    assert item["drift_score"] is None
    assert item["drift_detected"]
    assert item["violation"]
    assert "no value in this day" in item["note"]
    json.dumps(drift.as_json(), allow_nan=False)


def test_a_column_that_never_had_values_is_no_drift(scored, arrived):
    development = emptied(scored[0].select(COLUMNS), "age")
    drift = measure(Reference(development, make_bins(development, COLUMNS)), emptied(arrived.slice(0, 300), "age"))
    item = next(item for item in drift.features if item["feature_name"] == "age")
    assert (item["drift_score"], item["drift_detected"], item["violation"]) == (None, False, False)
    assert "no value in the reference" in item["note"]


@pytest.mark.parametrize("rows", [1, 2])
def test_the_smallest_days_give_a_result_and_no_violation(reference, arrived, rows):
    drift = measure(reference, arrived.slice(0, rows))
    assert not drift.overall["violation"]
    json.dumps(drift.as_json(), allow_nan=False)


def test_a_day_without_rows_says_so(reference, arrived):
    drift = measure(reference, arrived.slice(0, 0))
    for empty in (drift, without_rows()):
        result = json.loads(json.dumps(empty.as_json(partition="2026-01-01"), allow_nan=False))
        assert result["n_rows"] == 0
        assert result["overall"]["violation"] is False
        assert result["overall"]["psi"] is None
        assert "no rows" in result["overall"]["note"]
        assert [item["feature_name"] for item in result["features"]] == list(FEATURE_NAMES)
        assert "no rows" in empty.html


def test_the_page_shows_every_column_and_needs_no_network(shifted):
    html = shifted[1].html
    assert all(name in html for name in COLUMNS)
    loaded = re.findall(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*["']?\s*(?:https?:)?//""", html)
    assert loaded == []
    assert not re.search(r"@import\s+(?:url\()?[\"']?https?:", html)


def test_the_identity_is_told_with_the_verdict_which_travels_alone(shifted):
    result = shifted[1].as_json(partition="2026-01-01", model_version="3", model_name="m")
    assert result["overall"]["partition"] == "2026-01-01"
    assert result["overall"]["model_version"] == "3"


def test_a_reference_that_cannot_be_used_is_refused(scored):
    development = scored[0].select(COLUMNS)
    with pytest.raises(ModelError, match="no rows"):
        Reference(development.slice(0, 0), make_bins(development, COLUMNS))
    with pytest.raises(ModelError, match="none for 'probability_of_default'"):
        Reference(development, make_bins(development, FEATURE_NAMES))


def test_a_day_that_lacks_a_column_is_refused(reference, arrived):
    with pytest.raises(ContractError, match="'age' is missing"):
        measure(reference, arrived.slice(0, 10).drop_columns(["age"]))


def test_stored_bins_count_the_development_sample_as_it_was(scored, reference):
    again = count(reference.bins, scored[0].slice(0, 12_000))
    assert all(again[name].tolist() == reference.counts[name].tolist() for name in COLUMNS)
