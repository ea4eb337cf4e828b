"""Predictions that are read back: every way in which they may not be what they should be is told."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from credit_default.deploy.plans.verification import Expected, problems, read
from credit_default.ports import ModelVersion

DAY = date(2026, 1, 31)
EXPECTED = Expected(DAY, 3, "input", ModelVersion("m", "2", "k", "sha2"))


def predictions(rows: int = 3, **changed) -> pa.Table:
    columns = {
        "prediction_id": [f"0123456789abcdef-{number + 1}" for number in range(rows)],
        "as_of": pa.array([DAY] * rows, pa.date32()),
        "probability_of_default": pa.array([0.1, 0.2, 0.6, 0.3][:rows], pa.float64()),
        "model_version": ["2"] * rows,
        "model_sha256": ["sha2"] * rows,
        "input_data_version": ["input"] * rows,
    }
    return pa.table({**columns, **changed})


def test_what_is_right_has_no_problems_and_its_figures_are_told():
    assert problems(predictions(), EXPECTED) == []
    told = read(predictions())
    assert (told.rows, told.model_version, told.model_sha256) == (3, "2", "sha2")
    assert told.mean_pd == pytest.approx(0.3)
    assert read(predictions(0)).mean_pd is None
    assert problems(predictions(0), EXPECTED) == ["there are 0 predictions; expected 3, one for each client"]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (predictions(2), "there are 2 predictions; expected 3, one for each client"),
        (predictions(model_version=["2", "1", "2"]), "model_version is 1, 2; expected 2"),
        (predictions(model_sha256=["x"] * 3), "model_sha256 is x; expected sha2"),
        (predictions(input_data_version=["older"] * 3), "input_data_version is older; expected input"),
        (predictions(as_of=pa.array([date(2026, 1, 30)] * 3)), "as_of is 2026-01-30; expected 2026-01-31"),
        (predictions(probability_of_default=[0.1, 1.2, float("nan")]), "2 probabilities are not between 0 and 1"),
        (predictions(probability_of_default=[0.1, None, 0.2]), "1 probabilities are not between 0 and 1"),
        (predictions(prediction_id=["a-1", "a-1", "a-2"]), "some predictions have the same prediction_id"),
    ],
)
def test_each_thing_that_is_wrong_is_told(table, told):
    assert problems(table, EXPECTED) == [told]
