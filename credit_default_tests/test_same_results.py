"""Two lakes compared, as `make azure-demo` does at its end: what both have, and the rest by name."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default_tests.same_results import compare

DAYS, OWN = ("2026-01-01", "2026-01-02"), "2026-01-05"


def score(lake, day: str, probability: float = 0.25) -> None:
    """Put into a lake what a scored day leaves there."""
    for folder, columns in {
        "predictions": {"client_id": ["a"], "probability_of_default": [probability], "run_id": [str(lake)]},
        "inference_data": {"client_id": ["a"]},
        "outcomes": {"client_id": ["a"]},
    }.items():
        (lake / folder / day).mkdir(parents=True)
        pq.write_table(pa.table(columns), lake / folder / day / f"{folder}.parquet")
    (lake / "drift" / day).mkdir(parents=True)
    (lake / "drift" / day / "drift.json").write_text(json.dumps({"psi": 0.1}))
    (lake / "landing/inference/batch" / day).mkdir(parents=True)


@pytest.fixture
def lakes(tmp_path):
    made = tmp_path / "here", tmp_path / "there"
    for lake in made:
        for day in DAYS:
            score(lake, day)
        (lake / "landing/.sample.json").write_text("{}")
        (lake / "models/m").mkdir(parents=True)
        (lake / "models/newest.json").write_text(json.dumps({"model_id": "m"}))
        (lake / "models/m/manifest.json").write_text(json.dumps({"content_hash": "c"}))
    return made


def test_the_same_results_are_the_same(lakes, capsys):
    assert compare(*lakes) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "2 days, 2 predictions to 1e-09" in line
    assert "is the same as" in line


@pytest.mark.parametrize("side", [0, 1], ids=["here", "there"])
def test_a_day_that_only_one_of_them_has_is_named_and_the_others_are_compared(lakes, capsys, side):
    score(lakes[side], OWN)
    assert compare(*lakes) == 0
    told = capsys.readouterr().out
    for table in ("predictions", "inference_data", "outcomes", "drift"):
        assert f"not compared: {table} of {OWN}, only {('here', 'there')[side]}\n" in told
    assert "2 days, 2 predictions" in told


def test_what_differs_in_a_day_that_both_have_counts_whatever_one_of_them_has_beside(lakes, capsys):
    score(lakes[0], OWN)
    shutil.rmtree(lakes[1] / "predictions" / DAYS[0])
    shutil.rmtree(lakes[1] / "predictions" / DAYS[1])
    for folder in ("inference_data", "outcomes", "drift", "landing/inference/batch"):
        shutil.rmtree(lakes[1] / folder / DAYS[1])
    score(lakes[1], DAYS[1], probability=0.26)
    assert compare(*lakes) == 2
    told = capsys.readouterr().out
    assert f"differs: predictions/{DAYS[0]}: not in both, although it has landed in both\n" in told
    assert f"differs: predictions/{DAYS[1]}: probabilities differ by up to 0.01\n" in told


def test_without_a_demo_here_there_is_nothing_to_compare(lakes, capsys):
    shutil.rmtree(lakes[0])
    assert compare(*lakes) == 0
    assert "`make demo` plays one" in capsys.readouterr().out
