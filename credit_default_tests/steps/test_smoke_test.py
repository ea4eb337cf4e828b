import hashlib
import json

import numpy as np
import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.core.model.model_folder import Expectation
from credit_default.core.schema import PROBABILITY
from credit_default.steps import smoke_test
from credit_default_tests import trained


@pytest.fixture
def model(tmp_path):
    directory = tmp_path / "m"
    trained.save(directory, plots={})
    return directory, trained.registered(directory)


def _run(model, tmp_path):
    directory, known = model
    hashes = ["--model-sha256", known.sha256, "--manifest-sha256", known.manifest_text]
    smoke_test.main(["--model", str(directory), *hashes, "--output", str(tmp_path / "out")])


def test_a_model_that_scores_as_in_training_passes_and_tells_the_difference(model, tmp_path, capsys):
    _run(model, tmp_path)
    told = json.loads(capsys.readouterr().out)
    assert told["result"] == {"rows": 64, "largest_difference": 0.0, "tolerance": 1e-9}


def test_a_model_that_scores_differently_ends_the_step_with_an_error(model, tmp_path):
    path = model[0] / "golden.parquet"
    golden = tables.read(path)
    at = golden.schema.get_field_index(PROBABILITY)
    moved = pa.array(np.minimum(golden[PROBABILITY].to_numpy() + 1e-3, 1))
    tables.write(golden.set_column(at, PROBABILITY, moved), path)
    with pytest.raises(SystemExit, match=r"Error: .*golden\.parquet: got sha256"):
        _run(model, tmp_path)
    # Somebody has registered them like this.
    manifest = json.loads((model[0] / "manifest.json").read_text())
    manifest["files"]["golden.parquet"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (model[0] / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SystemExit, match=r"Error: .*Golden rows, scored by .*, differ by 0\.001"):
        _run((model[0], trained.registered(model[0])), tmp_path)


def test_a_model_that_is_not_the_registered_one_is_not_scored(model, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"Error: .* expected 0{64} as registered"):
        _run((model[0], Expectation("0" * 64, None)), tmp_path)
    assert capsys.readouterr().out == ""
