import numpy as np
import pyarrow as pa
import pytest

from credit_default.core.model.features import encode
from credit_default.core.schema import BY_NAME, inputs
from credit_default.errors import ContractError

STATUS, EDUCATION, LIMIT = BY_NAME["repayment_status_1"], BY_NAME["education"], BY_NAME["credit_limit"]


def test_worse_repayment_states_have_higher_codes_and_numbers_stay_what_they_are():
    table = pa.table(
        {
            "credit_limit": [1000.0, None, 5.5],
            "repayment_status_1": ["duly_paid", "delay_8_months", "no_delay"],
        }
    )
    expected = [[0, 1000.0], [9, np.nan], [1, 5.5]]
    np.testing.assert_array_equal(encode(table, [STATUS, LIMIT]), expected)


def test_codes_come_from_the_schema_and_not_from_the_order_of_a_files_dictionary():
    one = pa.array(["university", "graduate_school", None]).dictionary_encode()
    other = pa.array(["others", "high_school", "university"]).dictionary_encode()
    table = pa.table({"education": pa.chunked_array([one, other])})
    np.testing.assert_array_equal(encode(table, [EDUCATION])[:, 0], [1, 0, np.nan, 3, 2, 1])


def test_a_missing_and_an_unknown_category_are_both_missing():
    table = pa.table({"education": ["kindergarten", None, "others"]})
    np.testing.assert_array_equal(encode(table, [EDUCATION])[:, 0], [np.nan, np.nan, 3])


def test_integers_are_numbers_too():
    table = pa.table({"credit_limit": pa.array([1, None, 3], pa.int32())})
    np.testing.assert_array_equal(encode(table, [LIMIT])[:, 0], [1, np.nan, 3])


def test_a_slice_of_a_batch_gives_the_rows_of_the_slice():
    batch = pa.record_batch({"education": pa.array(["others", None, "university"]).dictionary_encode()})
    np.testing.assert_array_equal(encode(batch.slice(1), [EDUCATION])[:, 0], [np.nan, 1])


def test_a_table_without_rows_gives_a_matrix_without_rows():
    features = inputs(protected_attributes=False)
    table = pa.table({feature.name: pa.array([], pa.string()) for feature in features})
    assert encode(table, [feature for feature in features if feature.kind == "category"]).shape == (0, 7)


def test_a_missing_column_is_named():
    with pytest.raises(ContractError, match="credit_limit"):
        encode(pa.table({"education": ["others"]}), [EDUCATION, LIMIT])
