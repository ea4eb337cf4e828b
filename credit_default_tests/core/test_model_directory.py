import hashlib
import json
import shutil
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from credit_default.core import model_directory, tables
from credit_default.core.bins import count
from credit_default.core.model_directory import MODEL_FILE, load, most_recent, save, smoke_test
from credit_default.core.schema import FEATURE_NAMES, PROBABILITY, PROTECTED
from credit_default.errors import HashMismatch, ModelError, NotThere, SmokeTestFailed, UntrustedType
from credit_default_tests import trained


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "m"
    return directory, trained.save(directory)


@pytest.fixture
def copy(saved, tmp_path):
    directory, manifest = saved
    return shutil.copytree(directory, tmp_path / "copy"), manifest


def _replace_model(directory, something) -> str:
    content = skops.io.dumps(something)
    (directory / MODEL_FILE).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


class Foreign:
    def __init__(self):
        self.command = "anything"

    def fit(self, rows):
        return self


def test_a_loaded_model_scores_exactly_as_the_trained_one(saved):
    directory, manifest = saved
    model = load(directory, expected_sha256=manifest["model_sha256"])
    test = trained.parts()["test"]
    np.testing.assert_array_equal(model.probabilities(test), trained.model().probabilities(test))
    assert model.threshold == trained.model().threshold
    assert [feature.name for feature in model.features] == manifest["features"]


def test_the_manifest_tells_the_hash_of_every_other_file(saved):
    directory, manifest = saved
    found = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    assert found == {*manifest["files"], "manifest.json"}
    for name, sha256 in manifest["files"].items():
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == sha256
    assert manifest == json.loads((directory / "manifest.json").read_text())
    assert manifest["model_sha256"] == manifest["files"][MODEL_FILE]
    assert manifest["model_sha256"].startswith(manifest["model_id"])
    assert manifest["content_hash"] == trained.model().content_hash


def test_two_saves_of_equal_models_share_the_content_hash(saved, tmp_path):
    assert trained.save(tmp_path / "again")["content_hash"] == saved[1]["content_hash"]


def test_a_changed_model_file_is_refused_before_it_is_parsed(copy, monkeypatch):
    directory, manifest = copy
    content = bytearray((directory / MODEL_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (directory / MODEL_FILE).write_bytes(content)
    monkeypatch.setattr(model_directory, "_parse", lambda *_: pytest.fail("a file that nobody knows was parsed"))
    with pytest.raises(HashMismatch) as told:
        load(directory, expected_sha256=manifest["model_sha256"])
    assert manifest["model_sha256"] in str(told.value)
    assert hashlib.sha256(content).hexdigest() in str(told.value)


def test_a_type_that_is_not_on_the_allow_list_is_refused_by_name(copy):
    directory, _ = copy
    sha256 = _replace_model(directory, Pipeline([("foreign", Foreign())]))
    with pytest.raises(UntrustedType, match=r"test_model_directory\.Foreign"):
        load(directory, expected_sha256=sha256)


def test_the_models_own_list_of_trusted_types_is_not_believed(copy):
    directory, _ = copy
    sha256 = _replace_model(directory, Pipeline([("foreign", Foreign())]))
    described = yaml.safe_load((directory / "MLmodel").read_text())
    described["flavors"]["sklearn"]["skops_trusted_types"] = [f"{__name__}.Foreign"]
    (directory / "MLmodel").write_text(yaml.safe_dump(described))
    with pytest.raises(UntrustedType):
        load(directory, expected_sha256=sha256)


def test_a_file_of_trusted_types_that_is_no_pipeline_is_refused(copy):
    directory, _ = copy
    sha256 = _replace_model(directory, LogisticRegression())
    with pytest.raises(ModelError, match="LogisticRegression"):
        load(directory, expected_sha256=sha256)


def test_a_file_that_is_no_skops_file_is_refused(copy):
    directory, _ = copy
    (directory / MODEL_FILE).write_bytes(b"not a zip file")
    with pytest.raises(ModelError, match="expected a skops file"):
        load(directory, expected_sha256=hashlib.sha256(b"not a zip file").hexdigest())


def test_a_directory_without_a_model_says_so(tmp_path):
    with pytest.raises(NotThere, match=r"model\.skops"):
        load(tmp_path, expected_sha256="0")


def test_golden_rows_score_as_in_training(saved):
    directory, manifest = saved
    result = smoke_test(load(directory, expected_sha256=manifest["model_sha256"]), directory)
    assert result["rows"] == 64
    assert result["largest_difference"] == 0


@pytest.mark.parametrize("wrong", [1e-6, np.nan])
def test_golden_rows_that_score_differently_fail_the_smoke_test(copy, wrong):
    directory, manifest = copy
    golden = tables.read(directory / "golden.parquet")
    moved = golden[PROBABILITY].to_numpy().copy()
    moved[3] += wrong
    at = golden.schema.get_field_index(PROBABILITY)
    tables.write(golden.set_column(at, PROBABILITY, pa.array(moved)), directory / "golden.parquet")
    model = load(directory, expected_sha256=manifest["model_sha256"])
    with pytest.raises(SmokeTestFailed, match=r"Golden rows, scored by .* with mlflow==.*, differ"):
        smoke_test(model, directory)


def test_the_reference_holds_all_features_of_the_training_rows_and_their_scores(saved):
    directory, manifest = saved
    reference = tables.read(directory / "reference.parquet")
    rows = trained.training_rows()
    assert reference.column_names == [*FEATURE_NAMES, PROBABILITY]
    assert set(PROTECTED) < set(reference.column_names)
    assert reference.num_rows == manifest["reference_rows"] == rows.num_rows
    np.testing.assert_array_equal(reference[PROBABILITY].to_numpy(), trained.model().probabilities(rows))


def test_the_bins_cover_the_features_and_the_score_in_tenths(saved):
    directory, _ = saved
    bins = json.loads((directory / "bins.json").read_text())
    assert set(bins["columns"]) == {*FEATURE_NAMES, PROBABILITY}
    counts = count(bins, tables.read(directory / "reference.parquet"))[PROBABILITY]
    np.testing.assert_allclose(counts[:-1] / counts.sum(), 0.1, atol=0.03)


def test_the_most_recent_rows_are_those_with_the_latest_dates_and_undated_ones_are_oldest():
    days = [date(2026, 1, 2), None, date(2026, 1, 3), None, date(2026, 1, 1)]
    rows = pa.table({"as_of": pa.array(days, pa.date32()), "row": range(5)})
    assert most_recent(rows, 2)["row"].to_pylist() == [0, 2]
    assert most_recent(rows, 3)["row"].to_pylist() == [0, 2, 4]
    assert most_recent(rows, 0)["row"].to_pylist() == [0, 1, 2, 3, 4]
    assert most_recent(rows, 99).num_rows == 5


def test_anyone_can_use_the_mlflow_model_on_a_frame(saved):
    import mlflow.pyfunc

    directory, manifest = saved
    frame = trained.parts()["test"].select(manifest["features"]).to_pandas().head(40)
    predicted = mlflow.pyfunc.load_model(str(directory)).predict(
        frame.astype(dict.fromkeys(frame.select_dtypes("category").columns, object))
    )
    expected = trained.model().probabilities(trained.parts()["test"].slice(0, 40))
    np.testing.assert_allclose(np.asarray(predicted)[:, 1], expected, rtol=0, atol=1e-12)
    requirements = (directory / "requirements.txt").read_text().split()
    assert all("==" in requirement for requirement in requirements)


def test_isotonic_models_are_on_the_allow_list_too(tmp_path):
    from dataclasses import replace

    from credit_default.core.training import train

    isotonic = train(**trained.parts(), options=replace(trained.OPTIONS, trials=1, calibration="isotonic"))
    manifest = save(
        isotonic,
        tmp_path,
        training_rows=trained.training_rows(),
        bins={"n": 0, "columns": {}},
        plots={},
        prepared_data_version="v",
        code_version="c",
        reference_rows=100,
    )
    model = load(tmp_path, expected_sha256=manifest["model_sha256"])
    assert smoke_test(model, tmp_path)["largest_difference"] == 0
    # Rows without a day are not more or less recent.
    assert manifest["reference_rows"] == trained.training_rows().num_rows
