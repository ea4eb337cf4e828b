"""What a trace says of a model and of what it was trained on; scoring a row again is looked at end to end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credit_default.core.data.prepared import prepare
from credit_default.core.data.sample import development_clients
from credit_default.core.files.landing_folder import sha256_of
from credit_default.core.lineage import model
from credit_default.core.lineage.evidence import Recorded
from credit_default.resources.azure import registry

NOW = datetime(2026, 1, 31, tzinfo=UTC)
SHA256 = "a" * 64
TAGS = {"model_id": "a" * 16, "content_hash": "c", "prepared_data_version": "p", "code_version": "c0de",
        "mlflow_run_id": "", "verdict": "promote"}  # fmt: skip
ELSEWHERE = {model.IMPORTED_FROM: "azureml://registries/shared/models/m/versions/1"}


def recorded(version: str = "d", **metadata) -> Recorded:
    return Recorded(run_id="run", at=NOW, data_version=version, code_version="c0de", metadata=metadata)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A model's folder, as far as its files go."""
    (tmp_path / "plots").mkdir()
    files = [tmp_path / "model.skops", tmp_path / "plots/roc.png"]
    for path in files:
        path.write_text(path.name)
    manifest = {
        **{name: TAGS[name] for name in ("model_id", "content_hash", "prepared_data_version", "code_version")},
        "model_sha256": SHA256,
        "mlflow_run_id": None,
        "threshold": 0.25,
        "files": {path.relative_to(tmp_path).as_posix(): sha256_of(path) for path in files},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


TRAINED = recorded(model_sha256=SHA256, content_hash="c", prepared_data_version="p", threshold=0.25)


def verdicts(folder: Path, *, tags=TAGS, trained=TRAINED, log_is_empty=False) -> dict[str, str]:
    manifest = model.manifest_in(folder)
    found = model.of_model(folder, manifest, sha256=SHA256, tags=tags, trained=trained, log_is_empty=log_is_empty)
    return {one.what: one.verdict for one in found}


FINE = {"files": "ok", "sha256": "ok", "manifest": "ok", "event log": "ok"}


def test_a_model_that_registry_and_event_log_know_so_is_fine(folder):
    assert verdicts(folder) == FINE


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda folder: (folder / "plots/roc.png").write_text("other"), "altered"),
        (lambda folder: (folder / "plots/more.png").write_text("more"), "altered"),
        (lambda folder: (folder / "plots/roc.png").unlink(), "missing"),
    ],
)
def test_a_file_that_was_changed_added_or_removed_is_found(folder, change, verdict):
    change(folder)
    assert verdicts(folder) == {**FINE, "files": verdict}


@pytest.mark.parametrize("content", ["", "[]", "no JSON"])
def test_a_manifest_that_is_none_is_found(folder, content):
    (folder / "manifest.json").write_text(content)
    assert verdicts(folder) == {"manifest": "altered"}


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("model_sha256", "b" * 64, {"sha256", "event log"}),
        ("content_hash", "other", {"manifest", "event log"}),
        ("mlflow_run_id", "other", {"manifest"}),
        ("threshold", 0.5, {"event log"}),
        ("files", ["model.skops"], {"files"}),
    ],
)
def test_a_manifest_that_says_something_else_is_found(folder, name, value, found):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    assert {what for what, verdict in verdicts(folder).items() if verdict == "altered"} == found


def test_a_training_that_was_not_recorded_here_is_missing_unless_it_was_elsewhere(folder):
    assert verdicts(folder, trained=None)["event log"] == "missing"
    assert verdicts(folder, trained=None, log_is_empty=True)["event log"] == "cannot be checked"
    assert verdicts(folder, trained=None, tags={**TAGS, **ELSEWHERE})["event log"] == "cannot be checked"
    assert model.IMPORTED_FROM == registry.IMPORTED_FROM


@pytest.mark.parametrize(
    ("name", "sha256", "verdict"),
    [("credit-card-default", SHA256, "ok"), ("credit-card-default", "b" * 64, "altered"), ("other", SHA256, "altered")],
)
def test_a_version_is_the_file_that_the_predictions_name(name, sha256, verdict):
    shared = {"model_name": "credit-card-default", "model_version": "3", "model_sha256": SHA256}
    assert model.of_version(shared, name=name, sha256=sha256).verdict == verdict


class TestPreparedData:
    @pytest.fixture
    def version(self, tmp_path) -> str:
        made = prepare(development_clients().slice(0, 600), curated_data_version="curated")
        made.write(tmp_path / "prepared")
        return made.version

    def verdicts(self, folder, version, *, tags=TAGS, events=()) -> dict[str, str]:
        found = model.of_prepared(folder, version, tags=tags, recorded=events)
        return {one.what: one.verdict for one in found}

    def test_a_version_follows_from_its_content_and_was_recorded(self, tmp_path, version):
        folder, made = tmp_path / "prepared", recorded(version, curated_data_version="curated")
        assert self.verdicts(folder, version, events=[made]) == {"content": "ok", "event log": "ok"}
        assert self.verdicts(folder, "other", events=[made]) == {"content": "altered", "event log": "missing"}
        forged = recorded(version, curated_data_version="other")
        assert self.verdicts(folder, version, events=[forged]) == {"content": "ok", "event log": "altered"}
        assert self.verdicts(folder, version) == {"content": "ok", "event log": "cannot be checked"}

    @pytest.mark.parametrize("name", ["manifest.json", "bins.json", "test.parquet"])
    def test_what_cannot_be_read_is_altered(self, tmp_path, version, name):
        (tmp_path / "prepared" / name).write_text("nothing")
        assert self.verdicts(tmp_path / "prepared", version)["content"] == "altered"

    def test_what_is_gone_is_missing_unless_it_is_elsewhere(self):
        assert self.verdicts(None, "p") == {"content": "missing"}
        assert self.verdicts(None, "p", tags=ELSEWHERE) == {"content": "cannot be checked"}
