import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core import tables
from credit_default.core.model.features import encode
from credit_default.core.model.pipeline import build
from credit_default.core.schema import FEATURES, PROTECTED, Feature, inputs
from credit_default_tests.trained import model, parts

EXACT = 1e-12


def _value(feature: Feature) -> st.SearchStrategy[object]:
    if feature.kind == "category":
        return st.none() | st.sampled_from(feature.categories)
    return st.none() | st.floats(-1e7, 1e7)


rows = st.lists(st.fixed_dictionaries({feature.name: _value(feature) for feature in FEATURES}), min_size=1, max_size=8)


def _both_ways(frame: pd.DataFrame, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    trained = model()
    return trained.pipeline.predict_proba(frame)[:, 1], trained.probabilities(table)


def test_the_fast_path_gives_what_the_published_pipeline_gives_on_real_clients():
    table = parts()["test"]
    slow, fast = _both_ways(table.to_pandas(), table)
    assert len(slow) > 500
    np.testing.assert_allclose(fast, slow, rtol=0, atol=EXACT)


@settings(max_examples=30, deadline=None)
@given(rows)
def test_the_fast_path_gives_what_the_published_pipeline_gives_with_any_values_missing(drawn):
    schema = pa.schema([field for field in tables.schema() if field.name != "client_id"])
    table = pa.Table.from_pylist(drawn, schema=schema)
    slow, fast = _both_ways(table.to_pandas(), table)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=EXACT)


def test_a_frame_as_people_have_it_scores_the_same():
    table = parts()["test"].slice(0, 50)
    frame = table.to_pandas()
    plain = frame.astype({feature.name: object for feature in FEATURES if feature.kind == "category"})
    plain["something_else"] = 1
    plain["credit_limit"] = plain["credit_limit"].astype(int)
    slow, fast = _both_ways(plain[plain.columns[::-1]], table)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=EXACT)


def test_a_category_that_nobody_knows_counts_as_missing():
    table = parts()["test"].slice(0, 2)
    unknown, missing = table.to_pandas(), table.to_pandas()
    unknown["education"] = "kindergarten"
    missing["education"] = None
    pipeline = model().pipeline
    np.testing.assert_array_equal(pipeline.predict_proba(unknown), pipeline.predict_proba(missing))


def test_protected_attributes_are_no_inputs_unless_asked_for():
    assert not set(PROTECTED) & set(model().pipeline.feature_names_in_)
    allowed = build(inputs(protected_attributes=True), model().pipeline[-1])
    assert set(PROTECTED) < set(allowed.feature_names_in_)


@pytest.mark.parametrize("protected", [False, True])
def test_both_ways_put_the_columns_in_the_same_order(protected):
    features = inputs(protected_attributes=protected)
    table = parts()["test"]
    encoder = build(features, model().pipeline[-1])[0]
    np.testing.assert_array_equal(encoder.transform(table.to_pandas()), encode(table, features))
