"""Hashes that the registry holds of a version, and versions whose tags were removed or changed."""

from __future__ import annotations

import pytest

from credit_default.core.model.model_folder import Expectation, as_text, read_text
from credit_default.errors import HashMismatch
from credit_default.ports import ModelVersion
from credit_default.resources import ledger
from credit_default.resources.local.storage import LocalStorage
from credit_default.resources.model_versions import expectation_of, no_such_version, options_of, variables_of

SHA256, MANIFEST = "a" * 64, "b" * 64


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    return LocalStorage(root=str(tmp_path))


def version(**tags: str) -> ModelVersion:
    return ModelVersion("credit-card-default", "3", "models/x", SHA256, tags)


def test_a_version_is_held_to_both_of_its_hashes(storage):
    model, notes = version(manifest_sha256=MANIFEST, trained_at="2026-01-01"), []
    assert expectation_of(model, storage, notes.append) == Expectation(SHA256, MANIFEST)
    assert notes == []
    assert options_of(expectation_of(model, storage)) == {"model-sha256": SHA256, "manifest-sha256": MANIFEST}
    told = variables_of(model, storage)
    assert (told["CREDIT_DEFAULT_MODEL_SHA256"], told["CREDIT_DEFAULT_MANIFEST_SHA256"]) == (SHA256, MANIFEST)


def test_a_version_from_before_the_tag_is_used_with_a_note(storage):
    notes = []
    assert expectation_of(version(), storage, notes.append) == Expectation(SHA256, None)
    assert notes[0].startswith("Version 3 of credit-card-default was registered before the registry had a tag")
    assert variables_of(version(), storage)["CREDIT_DEFAULT_MANIFEST_SHA256"] == "none"


@pytest.mark.parametrize("tags", [{}, {"manifest_sha256": ""}])
def test_a_tag_that_was_removed_is_no_way_past_it(storage, tags):
    with pytest.raises(HashMismatch, match="has lost its tag manifest_sha256 in the registry"):
        expectation_of(version(trained_at="2026-01-01", **tags), storage)


def test_what_the_ledger_knows_of_a_version_that_went_live_is_held_to_the_tag(storage):
    with ledger.held(storage) as writer:
        writer.enter("promote", "3", who="a person", reason="a reason", manifest_sha256=MANIFEST)
    assert expectation_of(version(manifest_sha256=MANIFEST), storage).manifest_sha256 == MANIFEST
    with pytest.raises(HashMismatch, match=rf"{'c' * 64} in the registry, expected {MANIFEST} as in the ledger"):
        expectation_of(version(manifest_sha256="c" * 64), storage)
    # Not even when whatever dates the version is removed with the tag.
    with pytest.raises(HashMismatch, match="has lost its tag"):
        expectation_of(version(), storage)


def test_what_a_step_is_told_of_several_models_is_read_again():
    known = {SHA256: Expectation(SHA256, MANIFEST), "c" * 64: Expectation("c" * 64, None)}
    assert read_text(as_text(known)) == known
    assert read_text(as_text({})) == {}


def test_a_version_that_lost_its_tags_is_named():
    told = str(no_such_version("m", "3", ["1"], ["3"]))
    assert "versions there: 1; without the tags storage_key and model_sha256" in told
    assert ": 3." in told
