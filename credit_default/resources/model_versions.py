"""Hashes that the registry holds of the files of a version, and how processes that use the version get them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from credit_default.core.model.model_folder import MANIFEST_TAG, Expectation, has_lost_tag
from credit_default.errors import HashMismatch, NotThere
from credit_default.pipes.process_variables import (
    MANIFEST_SHA256_VARIABLE,
    MODEL_NAME_VARIABLE,
    MODEL_SHA256_VARIABLE,
    MODEL_VERSION_VARIABLE,
)
from credit_default.ports import ModelVersion, Storage
from credit_default.resources import ledger

#: Tags of a registered version: its folder in storage, and the sha256 of its model file.
KEY, SHA256 = "storage_key", "model_sha256"


def expectation_of(
    model: ModelVersion, storage: Storage | None, warn: Callable[[str], object] = lambda _: None
) -> Expectation:
    """Return what the registry says about a version.

    Parameters
    ----------
    storage
        Of the lake, whose ledger says what the registry said when the version went live; None for a version of a
        registry that others share.
    warn
        Gets a note when the registry knows no hash of the manifest, as of versions from before it had a tag for it.

    Raises
    ------
    HashMismatch
        The tag with that hash was removed, or changed since the version went live.
    """
    registered = model.tags.get(MANIFEST_TAG) or None
    known = ledger.read(storage).manifest_of(model.version) if storage is not None else None
    if has_lost_tag(model.tags) or (known is not None and registered is None):
        raise HashMismatch(
            f"Version {model.version} of {model.name} has lost its tag {MANIFEST_TAG} in the registry, so nothing but "
            "its model file could be held to what was trained; put the tag back, or train and register anew"
        )
    if known not in {None, registered}:
        raise HashMismatch(
            f"Version {model.version} of {model.name} has the tag {MANIFEST_TAG} {registered} in the registry, "
            f"expected {known} as in the ledger of promotions when it went live; find out which of the two was "
            "changed, and put it back"
        )
    if registered is None:
        warn(
            f"Version {model.version} of {model.name} was registered before the registry had a tag {MANIFEST_TAG}: "
            "threshold, golden rows, bins and reference are held to the manifest beside them alone. Train and register "
            "anew to have them held to the registry."
        )
    return Expectation(model.sha256, registered)


def options_of(expectation: Expectation, prefix: str = "") -> dict[str, str]:
    """Return it as options of a step."""
    return {f"{prefix or 'model-'}sha256": expectation.sha256, f"{prefix}manifest-sha256": expectation.manifest_text}


def variables_of(
    model: ModelVersion, storage: Storage, warn: Callable[[str], object] = lambda _: None
) -> dict[str, str]:
    """Return what a scoring script gets to know about a version, as variables of its process."""
    expectation = expectation_of(model, storage, warn)
    return {
        MODEL_NAME_VARIABLE: model.name,
        MODEL_VERSION_VARIABLE: model.version,
        MODEL_SHA256_VARIABLE: expectation.sha256,
        MANIFEST_SHA256_VARIABLE: expectation.manifest_text,
    }


def is_ours(tags: Mapping[str, str] | None) -> bool:
    """Whether a version has the tags without which nothing can be done with it."""
    return bool(tags and tags.get(KEY) and tags.get(SHA256))


def no_such_version(name: str, wanted: str, versions: Iterable[str], untagged: Iterable[str]) -> NotThere:
    """Return the error for a version or alias that the registry does not have, or has without the tags that count."""
    have, lost = ", ".join(versions) or "none", ", ".join(untagged)
    lacking = f"; without the tags {KEY} and {SHA256}, by which versions of ours are known: {lost}" if lost else ""
    return NotThere(
        f"The registry has no version or alias {wanted!a} of {name}; versions there: {have}{lacking}. "
        "Run the job train_model to make one"
    )
