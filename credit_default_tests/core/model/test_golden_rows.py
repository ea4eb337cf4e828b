"""Golden rows as a request, and answers held to what the training had."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.core.contract import json_rows
from credit_default.core.model import golden_rows
from credit_default.core.schema import PROBABILITY
from credit_default.core.scoring import online_requests
from credit_default.errors import SmokeTestFailed
from credit_default_tests import trained

PROBABILITIES = [0.125, 0.5, 0.875]


@pytest.fixture
def golden() -> pa.Table:
    """Three clients, one without an age, and their probabilities."""
    rows = trained.parts()["test"].select(tables.schema().names).drop_columns(["client_id"]).slice(0, 3)
    at = rows.schema.get_field_index("age")
    ages = pa.array([None, *rows["age"].to_pylist()[1:]], pa.float64())
    return rows.set_column(at, "age", ages).append_column(PROBABILITY, pa.array(PROBABILITIES))


def answer(probabilities, version: str = "3") -> bytes:
    predictions = [{"client_id": None, "probability_of_default": one} for one in probabilities]
    return json.dumps({"model_version": version, "predictions": predictions}).encode()


def held(told: bytes, golden: pa.Table):
    return golden_rows.held_to_answer(told, golden, version="3", where="deployment x")


def test_a_request_is_one_that_the_scoring_script_takes_and_knows_again(golden):
    asked = online_requests.read(golden_rows.as_request(golden).decode())
    assert all(PROBABILITY not in client for client in asked)
    table, problems = json_rows.check_rows(asked)
    assert problems == []
    assert table.equals(json_rows.check_rows(golden_rows.as_clients(golden))[0])
    for name in set(table.column_names) - {"client_id"}:
        assert table[name].to_pylist() == golden[name].to_pylist(), name


def test_an_answer_like_the_trainings_is_told_by_how_much_it_differs(golden):
    told = held(answer([0.125, 0.5 + 5e-10, 0.875]), golden)
    assert told == {"rows": 3, "largest_difference": pytest.approx(5e-10), "tolerance": 1e-9}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (answer([0.125, 0.5 + 2e-9, 0.875]), r"deployment x, differ by 2e-09, expected at most 1e-09"),
        (answer([0.125, float("nan"), 0.875]), "differ by nan"),
        (answer(PROBABILITIES[:2]), "are 2 of 3"),
        (answer([]), "are 0 of 3"),
        (answer(PROBABILITIES, version="2"), "answered with version 2 of the model, expected version 3"),
        (b"no json", "did not answer golden rows with predictions"),
        (b"[]", "did not answer golden rows with predictions"),
        (json.dumps({"model_version": "3", "predictions": [None]}).encode(), "did not answer golden rows"),
    ],
)
def test_any_other_answer_fails_the_smoke_test(golden, told, words):
    with pytest.raises(SmokeTestFailed, match=words):
        held(told, golden)
