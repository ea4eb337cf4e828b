"""What the registry says about the files of a version, and what is made of tags that are not there."""

from __future__ import annotations

import pytest

from credit_default.core.model_folder import Expectation, as_text, read_text
from credit_default.errors import HashMismatch
from credit_default.resources.model_versions import expectation_of, no_such_version, options_of, variables_of
from credit_default.resources.ports import ModelVersion

SHA256, MANIFEST = "a" * 64, "b" * 64


def version(**tags: str) -> ModelVersion:
    return ModelVersion("credit-card-default", "3", "models/x", SHA256, tags)


def test_a_version_is_held_to_both_of_its_hashes():
    model, notes = version(manifest_sha256=MANIFEST, trained_at="2026-01-01"), []
    assert expectation_of(model, notes.append) == Expectation(SHA256, MANIFEST)
    assert notes == []
    assert options_of(expectation_of(model)) == {"model-sha256": SHA256, "manifest-sha256": MANIFEST}
    told = variables_of(model)
    assert (told["CREDIT_DEFAULT_MODEL_SHA256"], told["CREDIT_DEFAULT_MANIFEST_SHA256"]) == (SHA256, MANIFEST)


def test_a_version_from_before_the_tag_is_used_with_a_note():
    notes = []
    assert expectation_of(version(), notes.append) == Expectation(SHA256, None)
    assert notes[0].startswith("Version 3 of credit-card-default was registered before the registry had a tag")
    assert variables_of(version())["CREDIT_DEFAULT_MANIFEST_SHA256"] == "none"


@pytest.mark.parametrize("tags", [{}, {"manifest_sha256": ""}])
def test_a_tag_that_was_removed_is_no_way_past_it(tags):
    with pytest.raises(HashMismatch, match="has lost its tag manifest_sha256 in the registry"):
        expectation_of(version(trained_at="2026-01-01", **tags))


def test_what_a_step_is_told_of_several_models_is_read_again():
    known = {SHA256: Expectation(SHA256, MANIFEST), "c" * 64: Expectation("c" * 64, None)}
    assert read_text(as_text(known)) == known
    assert read_text(as_text({})) == {}


def test_a_version_that_lost_its_tags_is_named():
    told = str(no_such_version("m", "3", ["1"], ["3"]))
    assert "versions there: 1; without the tags storage_key and model_sha256" in told
    assert ": 3." in told
