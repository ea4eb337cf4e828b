"""From a prediction to its model and to the data that this was trained on: whether anything was altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from credit_default.core import lake, tables
from credit_default.core.data import prepared
from credit_default.core.files.landing_folder import sha256_of
from credit_default.core.lineage.evidence import Finding, Recorded, Step
from credit_default.core.model.golden_rows import TOLERANCE
from credit_default.core.model.model_folder import MANIFEST_TAG, Expectation, differences, has_lost_tag
from credit_default.core.plurals import plural, verb
from credit_default.core.schema import PROBABILITY
from credit_default.core.scoring.predictions import PREDICTED
from credit_default.errors import CreditDefaultError

MODEL, TRAINING = Step("model"), Step("training data")
#: Tag of a version that was trained in another workspace, where its data and its runs are.
IMPORTED_FROM = "taken_from"
_TAGGED = ("model_id", "content_hash", "prepared_data_version", "code_version", "mlflow_run_id")
_TRAINED = ("model_sha256", "content_hash", "prepared_data_version", "threshold")


def of_version(shared: Mapping[str, Any], *, name: str, sha256: str) -> Finding:
    """Hold what the predictions say of their model to what the registry says of that version."""
    version = shared["model_version"]
    if shared["model_name"] != name:
        return MODEL.altered("registry", f"version {version} is one of {name}, and the predictions name another model")
    return MODEL.equal("registry", sha256, shared["model_sha256"], by="the predictions")


def manifest_in(folder: Path) -> Mapping[str, Any]:
    """Read the manifest of a model's or a prepared version's folder; empty when there is none that can be read."""
    try:
        told = json.loads((folder / lake.MANIFEST_FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def of_model(
    folder: Path,
    manifest: Mapping[str, Any],
    *,
    sha256: str,
    tags: Mapping[str, str],
    trained: Recorded | None,
    log_is_empty: bool,
) -> Iterator[Finding]:
    """Look at every file of a registered model.

    Parameters
    ----------
    sha256
        What the registry says about the model file.
    tags
        Those of the registered version.
    trained
        The materialisation of ``trained_model`` that is about this file, if there is one.
    log_is_empty
        Whether this Dagster instance has recorded no training at all.
    """
    if not manifest:
        yield MODEL.altered("manifest", f"{lake.MANIFEST_FILE} is gone or cannot be read")
        return
    yield from _files(folder, manifest)
    yield MODEL.equal("sha256", str(manifest.get("model_sha256")), sha256, by="the registry")
    manifest_sha256 = sha256_of(folder / lake.MANIFEST_FILE)
    other = [name for name in _TAGGED if name in tags and (manifest.get(name) or "") != tags[name]]
    if other:
        yield MODEL.altered("manifest", f"differs from the registry's tags in {', '.join(other)}")
    elif has_lost_tag(tags):
        yield MODEL.altered("manifest", f"the registry has lost the version's tag {MANIFEST_TAG}")
    elif tags.get(MANIFEST_TAG) not in {None, manifest_sha256}:
        yield MODEL.altered("manifest", "its sha256 is not the one of the registry's tags")
    else:
        code, tracked = (manifest.get(name) or "none" for name in ("code_version", "mlflow_run_id"))
        yield MODEL.ok("manifest", f"code version {code}, MLflow run {tracked}, as the registry's tags say")
    if trained is None:
        told = "no materialisation of trained_model is about this model"
        yield _unrecorded(MODEL, tags, told, log_is_empty=log_is_empty)
        return
    # An event that was recorded by an older platform holds less.
    recorded = [name for name in _TRAINED if name in trained.metadata]
    differing = [name for name in recorded if trained.metadata[name] != manifest.get(name)]
    if trained.code_version != manifest.get("code_version"):
        differing.append("code_version")
    if trained.metadata.get(MANIFEST_TAG) not in {None, manifest_sha256}:
        differing.append("its sha256")
    if differing:
        yield MODEL.altered("event log", f"the manifest differs from trained_model in {', '.join(differing)}")
    else:
        yield MODEL.ok("event log", f"trained by run {trained.run_id} at {trained.at:%Y-%m-%d %H:%M:%S} UTC")


def of_score(folder: Path, inputs: pa.Table, prediction: Mapping[str, Any], *, expectation: Expectation) -> Finding:
    """Score a row again with the registered model and hold the prediction to that.

    Parameters
    ----------
    inputs
        The one row.
    expectation
        What the registry says about the model's folder.
    """
    # Seconds of imports, and only here.
    from credit_default.core.model import model_directory

    try:
        model = model_directory.load(folder, expectation)
    except CreditDefaultError as error:
        return MODEL.altered("score", f"the row cannot be scored again: {type(error).__name__}")
    probability = float(model.probabilities(inputs)[0])
    # A NaN is no small difference either.
    if not abs(probability - prediction[PROBABILITY]) <= TOLERANCE:
        return MODEL.altered("score", "the model gives this row another probability of default")
    if (probability >= model.threshold) != prediction[PREDICTED]:
        return MODEL.altered("score", "the model decides otherwise about this row")
    return MODEL.ok("score", f"the row scores the same again, to {TOLERANCE:g}")


def of_prepared(
    folder: Path | None, version: str, *, tags: Mapping[str, str], recorded: Sequence[Recorded]
) -> Iterator[Finding]:
    """Work out the version of prepared data from its content.

    Parameters
    ----------
    folder
        Of the prepared version that the model's manifest names; None when it is gone.
    recorded
        Every materialisation of ``prepared_data``.
    """
    if folder is None:
        if IMPORTED_FROM in tags:
            yield TRAINING.unchecked("content", _elsewhere(tags))
        else:
            yield TRAINING.missing("content", f"prepared data {version} is gone")
        return
    yield _content(folder, version)
    curated = str(manifest_in(folder).get("curated_data_version"))
    same = [one for one in recorded if one.data_version == version]
    if not same:
        told = f"prepared data {version} was never recorded"
        yield _unrecorded(TRAINING, tags, told, log_is_empty=not recorded)
    elif any(one.metadata.get("curated_data_version") in (curated, None) for one in same):
        yield TRAINING.ok("event log", f"prepared of curated data {curated} by run {same[0].run_id}")
    else:
        yield TRAINING.altered("event log", f"prepared data {version} was recorded as made of other curated data")


def _unrecorded(step: Step, tags: Mapping[str, str], told: str, *, log_is_empty: bool) -> Finding:
    if IMPORTED_FROM in tags:
        return step.unchecked("event log", _elsewhere(tags))
    return (step.unchecked if log_is_empty else step.missing)("event log", told)


def _elsewhere(tags: Mapping[str, str]) -> str:
    return f"the model was trained in another workspace: {tags[IMPORTED_FROM]}"


def _files(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Finding]:
    told = manifest.get("files")
    expected = told if isinstance(told, dict) else {}
    got = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != lake.MANIFEST_FILE
    ]
    # By what is there, since a name in a manifest that was altered may lead anywhere.
    changed = [name for name, _ in differences(folder, {name: expected[name] for name in expected if name in got})]
    gone = [name for name in expected if name not in got]
    added = [name for name in got if name not in expected]
    if gone:
        yield MODEL.missing("files", f"gone: {', '.join(gone)}")
    if changed or added:
        parts = (f"{word}: {', '.join(names)}" for word, names in (("changed", changed), ("added", added)) if names)
        yield MODEL.altered("files", "; ".join(parts))
    if not (gone or changed or added):
        yield MODEL.ok(
            "files", f"{plural(len(got), 'file')} {verb(len(got), 'has', 'have')} the sha256 that the manifest says"
        )


def _content(folder: Path, version: str) -> Finding:
    manifest = manifest_in(folder)
    try:
        bins = json.loads((folder / lake.BINS_FILE).read_text("utf-8"))
        hashes = {name: tables.content_hash(tables.read(folder / lake.table_file(name))) for name in manifest["parts"]}
        told = {name: part["content_hash"] for name, part in manifest["parts"].items()}
        content = prepared.as_text({"parts": hashes, "bins": bins})
    except (CreditDefaultError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return TRAINING.altered("content", f"prepared data {version} cannot be read: {type(error).__name__}")
    changed = [name for name in told if told[name] != hashes[name]]
    if changed:
        return TRAINING.altered("content", f"rows of {', '.join(changed)} are not those of the manifest")
    got = hashlib.sha256(content.encode()).hexdigest()[:32]
    return TRAINING.equal("content", got, version, by="the registry")
