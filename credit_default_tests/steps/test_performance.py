import json

import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.steps.performance import main
from credit_default_tests.steps.days import Lake, day_of, told


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    for number in range(3):
        lake.day(f"2026-01-0{number + 1}", day_of(number, 300 + number), "a" * 64, version=str(number))
    return lake


@pytest.fixture
def run(lake, capsys):
    def run(*days):
        main(
            [
                *("--predictions", str(lake.root / "predictions")),
                *("--outcomes", str(lake.root / "outcomes")),
                *("--days", ",".join(days), "--output", str(lake.root / "out")),
            ]
        )
        captured = capsys.readouterr()
        return {item["partition"]: item for item in told(captured.out)}, captured.err

    return run


def test_each_day_has_its_own_figures_in_the_file_and_in_what_is_told(lake, run):
    stored, _ = run("2026-01-01", "2026-01-02", "2026-01-03")
    assert [item["result"]["n_joined"] for item in stored.values()] == [300, 301, 302]
    assert [item["result"]["model_version"] for item in stored.values()] == ["0", "1", "2"]
    assert len({item["data_version"] for item in stored.values()}) == 3
    for day, item in stored.items():
        assert json.loads((lake.root / "out" / day / "performance.json").read_text()) == item["result"]
        assert 0.6 < item["result"]["metrics"]["roc_auc"] < 0.8
        assert item["result"]["outcomes_data_version"] == f"known-{day}"


def test_a_day_that_lacks_outcomes_or_predictions_is_refused_and_the_others_go_on(lake, run):
    (lake.root / "outcomes/2026-01-01/outcomes.parquet").unlink()
    (lake.root / "predictions/2026-01-02/predictions.parquet").write_bytes(b"PAR1 but not all of it")
    stored, said = run("2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04")
    assert list(stored) == ["2026-01-03"]
    assert "2026-01-01/outcomes.parquet is not there" in said
    assert "2026-01-02/predictions.parquet: expected a complete Parquet file" in said
    assert "2026-01-04/predictions.parquet is not there" in said


@pytest.mark.parametrize("column", ["model_name", "model_version", "model_sha256"])
def test_a_day_that_several_models_scored_is_refused_as_in_drift_and_the_others_go_on(lake, run, column):
    path = lake.root / "predictions/2026-01-02/predictions.parquet"
    scored = tables.read(path)
    values = pa.array(["another", *scored[column].to_pylist()[1:]])
    tables.write(scored.set_column(scored.column_names.index(column), column, values), path, data_version="mixed")
    stored, said = run("2026-01-01", "2026-01-02", "2026-01-03")
    assert list(stored) == ["2026-01-01", "2026-01-03"]
    assert f"2026-01-02: the predictions have 2 values of {column}, expected one; score the day again." in said


def test_a_day_that_ends_in_an_exception_nobody_planned_for_is_refused_and_the_others_go_on(lake, run):
    path = lake.root / "outcomes/2026-01-02/outcomes.parquet"
    tables.write(tables.read(path).drop_columns(["default_payment_next_month"]), path, data_version="spoilt")
    stored, said = run("2026-01-01", "2026-01-02", "2026-01-03")
    assert list(stored) == ["2026-01-01", "2026-01-03"]
    assert "2026-01-02: ended in KeyError at credit_default/core/monitoring/performance.py, line" in said
