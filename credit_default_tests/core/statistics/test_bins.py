import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_default.core.data.sample import development_clients
from credit_default.core.schema import FEATURE_NAMES, REPAYMENT_STATES
from credit_default.core.statistics.bins import count, make_bins, stored_counts
from credit_default.errors import ContractError

numbers = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60)
words = st.lists(st.none() | st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=60)


def number_table(values):
    return pa.table({"x": pa.array(values, pa.float64())})


def word_table(values):
    return pa.table({"x": pa.array(values, pa.string())})


@given(numbers, numbers)
def test_every_row_falls_into_exactly_one_bin_whatever_the_numbers(sample, later):
    bins = make_bins(number_table(sample), ["x"])
    counts = count(bins, number_table(later))["x"]
    assert counts.sum() == len(later)
    assert counts[-1] == sum(value is None for value in later)
    assert len(counts) == len(bins["columns"]["x"]["counts"])


@given(words, words)
def test_every_row_falls_into_exactly_one_bin_whatever_the_categories(sample, later):
    bins = make_bins(word_table(sample), ["x"])
    counts = count(bins, word_table(later))["x"]
    new = [value for value in later if value is not None and value not in sample]
    assert counts.sum() == len(later)
    assert counts[-2] == len(new)
    assert counts[-1] == sum(value is None for value in later)


@given(numbers)
def test_bins_survive_json_unchanged(sample):
    bins = make_bins(number_table(sample), ["x"])
    again = json.loads(json.dumps(bins, allow_nan=False))
    assert again == bins
    assert count(again, number_table(sample))["x"].tolist() == bins["columns"]["x"]["counts"]


def test_bins_of_the_development_clients_are_deciles_and_the_schemas_categories():
    clients = development_clients()
    bins = make_bins(clients, FEATURE_NAMES)
    assert list(bins["columns"]) == list(FEATURE_NAMES)
    for name, counts in stored_counts(bins).items():
        assert counts.sum() == bins["n"] == 15_000, name
    bills = stored_counts(bins)["bill_amount_1"]
    assert np.allclose(bills[:-1] / 15_000, 0.1, atol=0.002)
    states = bins["columns"]["repayment_status_1"]["categories"]
    assert states == [state for state in REPAYMENT_STATES if state in states]


def test_a_fifth_of_zeros_shares_one_bin():
    payments = make_bins(development_clients(), ["payment_amount_6"])["columns"]["payment_amount_6"]
    assert payments["edges"][0] == 0.0
    assert payments["edges"] == sorted(set(payments["edges"]))
    assert min(payments["counts"][:-1]) > 0


@pytest.mark.parametrize("moved", [4.0, 6.0])
def test_a_constant_column_that_moves_leaves_its_bin(moved):
    bins = make_bins(number_table([5.0] * 100), ["x"])
    before = count(bins, number_table([5.0] * 10))["x"]
    after = count(bins, number_table([moved] * 10))["x"]
    assert before.tolist() != after.tolist()


def test_an_absent_column_and_a_column_of_another_kind_are_told():
    bins = make_bins(number_table([1.0, 2.0]), ["x"])
    with pytest.raises(ContractError, match="'y' is missing"):
        make_bins(number_table([1.0]), ["y"])
    with pytest.raises(ContractError, match="got string, expected a number"):
        count(bins, word_table(["a"]))
    assert count(bins, pa.table({"x": pa.nulls(3)}))["x"].tolist()[-1] == 3
