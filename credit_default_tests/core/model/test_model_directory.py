import hashlib
import io
import json
import shutil
import zipfile
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
import skops.io
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from credit_default.core import tables
from credit_default.core.lake import MANIFEST_FILE, MODEL_FILE
from credit_default.core.model import model_directory
from credit_default.core.model.model_directory import load, most_recent, save, smoke_test
from credit_default.core.model.model_folder import Expectation, open_folder
from credit_default.core.schema import FEATURE_NAMES, PROBABILITY, PROTECTED
from credit_default.core.statistics.bins import count
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


def _replace(directory, name: str, content: bytes) -> Expectation:
    """Put another file into a model directory and register that, as somebody with both in hands could."""
    (directory / name).write_bytes(content)
    path, sha256 = directory / MANIFEST_FILE, hashlib.sha256(content).hexdigest()
    manifest = json.loads(path.read_text())
    manifest["files"][name] = sha256
    path.write_text(json.dumps(manifest | ({"model_sha256": sha256} if name == MODEL_FILE else {})))
    return trained.registered(directory)


def _replace_model(directory, something) -> Expectation:
    return _replace(directory, MODEL_FILE, skops.io.dumps(something))


class Foreign:
    def __init__(self):
        self.command = "anything"

    def fit(self, rows):
        return self


def test_a_loaded_model_scores_exactly_as_the_trained_one(saved):
    directory, manifest = saved
    model = load(directory, trained.registered(directory))
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
        load(directory, trained.registered(directory))
    assert manifest["model_sha256"] in str(told.value)
    assert hashlib.sha256(content).hexdigest() in str(told.value)


def test_a_type_that_is_not_on_the_allow_list_is_refused_by_name(copy):
    directory, _ = copy
    registered = _replace_model(directory, Pipeline([("foreign", Foreign())]))
    with pytest.raises(UntrustedType, match=r"test_model_directory\.Foreign"):
        load(directory, registered)


def test_the_models_own_list_of_trusted_types_is_not_believed(copy):
    directory, _ = copy
    _replace_model(directory, Pipeline([("foreign", Foreign())]))
    described = yaml.safe_load((directory / "MLmodel").read_text())
    described["flavors"]["sklearn"]["skops_trusted_types"] = [f"{__name__}.Foreign"]
    registered = _replace(directory, "MLmodel", yaml.safe_dump(described).encode())
    with pytest.raises(UntrustedType):
        load(directory, registered)


def test_a_file_of_trusted_types_that_is_no_pipeline_is_refused(copy):
    directory, _ = copy
    registered = _replace_model(directory, LogisticRegression())
    with pytest.raises(ModelError, match="LogisticRegression"):
        load(directory, registered)


def test_a_file_that_is_no_skops_file_is_refused(copy):
    directory, _ = copy
    registered = _replace(directory, MODEL_FILE, b"not a zip file")
    with pytest.raises(ModelError, match="expected a skops file"):
        load(directory, registered)


def test_a_directory_without_a_model_says_so(tmp_path):
    with pytest.raises(NotThere, match=r"manifest\.json is not there"):
        load(tmp_path, Expectation("0", "0"))


def test_golden_rows_score_as_in_training(saved):
    directory, _ = saved
    result = smoke_test(load(directory, trained.registered(directory)))
    assert result["rows"] == 64
    assert result["largest_difference"] == 0


@pytest.mark.parametrize("wrong", [1e-6, np.nan])
def test_golden_rows_that_score_differently_fail_the_smoke_test(copy, wrong):
    directory, _ = copy
    golden = tables.read(directory / "golden.parquet")
    moved = golden[PROBABILITY].to_numpy().copy()
    moved[3] += wrong
    at = golden.schema.get_field_index(PROBABILITY)
    tables.write(golden.set_column(at, PROBABILITY, pa.array(moved)), directory / "golden.parquet")
    model = load(directory, _replace(directory, "golden.parquet", (directory / "golden.parquet").read_bytes()))
    with pytest.raises(SmokeTestFailed, match=r"Golden rows, scored by .* with mlflow==.*, differ"):
        smoke_test(model)


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

    from credit_default.core.model.training import train

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
    model = load(tmp_path, trained.registered(tmp_path))
    assert smoke_test(model)["largest_difference"] == 0
    # Rows without a day are not more or less recent.
    assert manifest["reference_rows"] == trained.training_rows().num_rows


def _with_manifest(directory, **changed) -> None:
    path = directory / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


@pytest.mark.parametrize(
    "name", ["golden.parquet", "bins.json", "reference.parquet", "MLmodel", "plots/roc.png", "manifest.json"]
)
def test_any_file_that_was_changed_is_refused_before_it_is_parsed_and_a_restored_folder_works_again(
    copy, name, monkeypatch
):
    directory, _ = copy
    registered, path = trained.registered(directory), directory / name
    kept = path.read_bytes()
    path.write_bytes(kept + b"\n")
    with monkeypatch.context() as patched:
        patched.setattr(model_directory, "_parse", lambda *_: pytest.fail("a model of a changed folder was parsed"))
        with pytest.raises(HashMismatch, match=rf"{name}: got sha256 [0-9a-f]{{64}}, expected [0-9a-f]{{64}} as"):
            load(directory, registered)
        path.unlink()
        with pytest.raises(NotThere, match=rf"{name} is not there"):
            load(directory, registered)
    path.write_bytes(kept)
    assert load(directory, registered).threshold == trained.model().threshold


def test_a_file_that_is_changed_after_the_folder_was_opened_is_not_read(copy):
    directory, _ = copy
    opened = open_folder(directory, trained.registered(directory))
    (directory / "golden.parquet").write_bytes(b"another")
    with pytest.raises(HashMismatch, match=r"golden\.parquet: got sha256"):
        opened.read("golden.parquet")


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -0.1, 1.5, None, "0.5", True, [0.5]])
def test_a_threshold_that_is_no_probability_is_refused_even_if_it_was_registered(copy, threshold):
    directory, _ = copy
    before = trained.registered(directory)
    _with_manifest(directory, threshold=threshold)
    with pytest.raises(HashMismatch, match=r"manifest\.json: got sha256"):
        load(directory, before)
    with pytest.raises(ModelError, match="the threshold is no number from 0 to 1"):
        load(directory, trained.registered(directory))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "an empty file"),
        (b'{"model_sha256": "', "no JSON or only a part of it"),
        (b"[]", "JSON that is a list and no object"),
        (b"null", "JSON that is a NoneType and no object"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "no 'model_sha256'"),
        (b'{"model_sha256": 3, "files": {}}', "a int as 'model_sha256'"),
        (b'{"model_sha256": "3", "files": []}', "a list as 'files'"),
        (b'{"model_sha256": "3", "files": {"a": 1}}', "no sha256 for a file"),
        (b'{"model_sha256": "3", "files": {"../a": "0"}}', "leads out of the lake"),
        (b'{"model_sha256": "3", "files": {"/etc/passwd": "0"}}', "leads out of the lake"),
        (b'{"model_sha256": "3", "files": {}}', "is of model 3, expected"),
    ],
)
def test_a_manifest_of_any_shape_is_refused_in_a_line_even_if_it_was_registered(copy, content, told):
    directory, manifest = copy
    (directory / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(ModelError, match=told) as caught:
        load(directory, Expectation(manifest["model_sha256"], hashlib.sha256(content).hexdigest()))
    assert "\n" not in str(caught.value)


def test_a_version_from_before_the_tag_is_held_to_its_model_file_alone(copy):
    directory, manifest = copy
    _with_manifest(directory, seed=-1)
    assert load(directory, Expectation(manifest["model_sha256"], None)).manifest["seed"] == -1
    (directory / "golden.parquet").write_bytes(b"another")
    with pytest.raises(HashMismatch, match=r"golden\.parquet"):
        load(directory, Expectation(manifest["model_sha256"], None))


def test_a_model_whose_description_is_nested_too_deeply_is_refused_in_a_line(copy):
    directory, _ = copy
    stream, depth = io.BytesIO(), 100_000
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("schema.json", '{"a":' * depth + "1" + "}" * depth)
    registered = _replace(directory, MODEL_FILE, stream.getvalue())
    with pytest.raises(ModelError, match="expected a skops file that the train step wrote"):
        load(directory, registered)
