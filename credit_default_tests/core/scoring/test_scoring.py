import hashlib
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core import tables
from credit_default.core.model.model_directory import load
from credit_default.core.scoring import scoring
from credit_default.core.scoring.predictions import PREDICTIONS
from credit_default.core.scoring.scoring import score_file
from credit_default.errors import ContractError, NotThere, UnreadableFile
from credit_default_tests import trained

DAY = date(2026, 3, 1)
NOW = datetime(2026, 3, 2, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "m"
    trained.save(directory)
    return load(directory, trained.registered(directory))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "inference_data.parquet"
    tables.write(trained.parts()["test"].select(tables.schema().names), path)
    return path


def _score(model, source, destination, **changes):
    about = {
        "as_of": DAY,
        "model_name": "credit-card-default",
        "model_version": "7",
        "input_data_version": "abc",
        "run_id": "run-1",
        "scored_at": NOW,
    }
    return score_file(model, source, destination, **{**about, **changes})


def test_every_row_gets_its_own_prediction_in_its_own_order(model, source, tmp_path):
    summary = _score(model, source, tmp_path / "p.parquet")
    rows, made = tables.read(source), pq.read_table(tmp_path / "p.parquet")
    assert made.schema.equals(PREDICTIONS)
    assert made["client_id"].to_pylist() == rows["client_id"].to_pylist()
    np.testing.assert_array_equal(made["probability_of_default"].to_numpy(), model.probabilities(rows))
    np.testing.assert_array_equal(
        made["predicted_default"].to_numpy(), made["probability_of_default"].to_numpy() >= model.threshold
    )
    for name, value in {
        "as_of": DAY,
        "model_name": "credit-card-default",
        "model_version": "7",
        "model_sha256": model.sha256,
        "input_data_version": "abc",
        "run_id": "run-1",
        "scored_at": NOW,
    }.items():
        assert made[name].unique().to_pylist() == [value]
    assert summary["rows"] == rows.num_rows
    assert summary["mean_pd"] == pytest.approx(made["probability_of_default"].to_numpy().mean())
    assert summary["predicted_default_share"] == pytest.approx(made["predicted_default"].to_numpy().mean())
    quantiles = np.quantile(made["probability_of_default"].to_numpy(), [0.05, 0.25, 0.5, 0.75, 0.95])
    np.testing.assert_allclose(list(summary["pd_quantiles"].values()), quantiles, atol=0.005)


def test_a_prediction_id_leads_to_the_day_the_model_the_input_and_the_row(model, source, tmp_path):
    _score(model, source, tmp_path / "p.parquet")
    key = hashlib.sha256(f"2026-03-01|{model.sha256}|abc".encode()).hexdigest()[:16]
    ids = pq.read_table(tmp_path / "p.parquet")["prediction_id"].to_pylist()
    assert ids == [f"{key}-{row}" for row in range(1, len(ids) + 1)]


def test_a_rerun_has_the_same_data_version_and_another_input_another(model, source, tmp_path):
    first = _score(model, source, tmp_path / "p.parquet")
    again = _score(model, source, tmp_path / "p.parquet", run_id="run-2", scored_at=datetime.now(UTC))
    assert again["data_version"] == first["data_version"]
    assert (
        _score(model, source, tmp_path / "p.parquet", input_data_version="d")["data_version"] != first["data_version"]
    )
    other_day = _score(model, source, tmp_path / "p.parquet", as_of=date(2026, 3, 2))
    assert other_day["data_version"] != first["data_version"]


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 1_000))
def test_the_size_of_batches_changes_nothing(model, tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("batches")
    table = trained.parts()["test"].slice(0, 700).select(tables.schema().names)
    pq.write_table(table, folder / "s.parquet", row_group_size=300)
    whole = _score(model, folder / "s.parquet", folder / "whole.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BATCH_ROWS", rows)
        batched = _score(model, folder / "s.parquet", folder / "batched.parquet")
    assert pq.read_table(folder / "whole.parquet").equals(pq.read_table(folder / "batched.parquet"))
    assert batched["data_version"] == whole["data_version"]


def test_a_day_without_rows_gives_predictions_without_rows(model, tmp_path):
    tables.write(tables.schema().empty_table(), tmp_path / "empty.parquet")
    summary = _score(model, tmp_path / "empty.parquet", tmp_path / "p.parquet")
    assert (summary["rows"], summary["mean_pd"], summary["pd_quantiles"]) == (0, None, None)
    assert pq.read_table(tmp_path / "p.parquet").schema.equals(PREDICTIONS)


def _peak_of(model, path, rows) -> int:
    """Most bytes that Arrow held at once while a file was scored."""
    pq.write_table(rows, path, row_group_size=8_192)
    del rows
    before = pa.total_allocated_bytes()
    held = []
    probabilities = type(model).probabilities

    def watched(self, batch):
        held.append(pa.total_allocated_bytes() - before)
        return probabilities(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BATCH_ROWS", 8_192)
        patch.setattr(type(model), "probabilities", watched)
        _score(model, path, path.with_suffix(".predictions"))
    return max(held)


def test_memory_does_not_grow_with_the_file(model, source, tmp_path):
    rows = tables.read(source)
    smaller = _peak_of(model, tmp_path / "smaller.parquet", pa.concat_tables([rows] * 100))
    larger = _peak_of(model, tmp_path / "larger.parquet", pa.concat_tables([rows] * 400))
    # Four times the rows. How many batches wait for each other differs from run to run, on a busy machine above all.
    assert larger < 2.5 * smaller


def test_what_cannot_be_read_is_told_and_leaves_nothing_behind(model, source, tmp_path):
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableFile, match=r"inference_data\.parquet"):
        _score(model, source, tmp_path / "out" / "p.parquet")
    with pytest.raises(NotThere):
        _score(model, tmp_path / "none.parquet", tmp_path / "out" / "p.parquet")
    pq.write_table(pa.table({"client_id": ["1"]}), source)
    with pytest.raises(ContractError, match="credit_limit"):
        _score(model, source, tmp_path / "out" / "p.parquet")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_scoring_that_dies_half_way_leaves_the_earlier_predictions_as_they_were(model, source, tmp_path):
    destination = tmp_path / "p.parquet"
    _score(model, source, destination)
    before = destination.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BATCH_ROWS", 100)
        calls = iter(range(10))
        real = type(model).probabilities

        def dying(self, batch):
            if next(calls) == 3:
                raise MemoryError
            return real(self, batch)

        patch.setattr(type(model), "probabilities", dying)
        with pytest.raises(MemoryError):
            _score(model, source, destination)
    assert destination.read_bytes() == before
