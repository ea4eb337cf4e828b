"""The model's life: trained, registered with a verdict."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from credit_default.code_version import code_version
from credit_default.core import lake
from credit_default.core.model.model_folder import (
    MANIFEST_TAG,
    MODEL_ID_LENGTH,
    Expectation,
    read_manifest,
)
from credit_default.core.promotion.gates import Verdict
from credit_default.core.stored_json import read_object
from credit_default.defs.assets.data import current_prepared
from credit_default.defs.assets.evaluation import Evaluation, evaluate
from credit_default.defs.shared import metadata
from credit_default.defs.shared.history import figure, newest
from credit_default.defs.shared.kills import run_whole
from credit_default.defs.shared.policies import ON_COMPUTE, spec
from credit_default.defs.shared.recording import Events, materialised
from credit_default.ports import BatchEndpoint, Compute, ModelRegistry, StepResult, Storage
from credit_default.resources.model_versions import SHA256, expectation_of

#: Tag of a registered version that says what was decided about it.
VERDICT = "verdict"


class Training(dg.Config):
    """How a model is searched for."""

    trials: int = Field(8, ge=1, le=500, description="How many sets of hyper-parameters are tried.")
    seed: int = Field(
        20051, description="Draws the trials, the folds and the fits; the same seed gives the same model."
    )
    protected_attributes: bool = Field(
        False,
        description="Whether sex, marital status and age are inputs of the model. Off by default: see the README.",
    )
    reference_rows: int = Field(
        1_000,
        ge=0,
        description=(
            "Most recent training rows kept as the reference that drift is measured against; 0 keeps all, and so does "
            "a training on rows without a day, as a first one is."
        ),
    )


@dg.multi_asset(
    name="trained_model",
    pool=ON_COMPUTE,
    specs=[
        spec(
            "trained_model",
            group="model",
            kinds={"scikitlearn", "mlflow"},
            deps=["prepared_data"],
            description=(
                "A calibrated gradient-boosted classifier, searched by cross-validation inside the development part "
                "and looked at once on the test part. Each trial is a nested MLflow run; the model is an MLflow model "
                "in skops format with its sha256, content hash, golden rows and the reference for its drift."
            ),
        )
    ],
)
def trained_model(context: dg.AssetExecutionContext, config: Training, compute: Compute, storage: Storage) -> Events:
    """Train on the newest prepared data."""
    options = {
        "seed": str(config.seed),
        "reference-rows": str(config.reference_rows),
        "code-version": code_version(),
        **({"protected-attributes": ""} if config.protected_attributes else {}),
    }
    inputs = {"prepared": current_prepared(storage)}
    start = partial(compute.search, context, "train", inputs=inputs, options=options, trials=config.trials)
    for message in run_whole(start, log=context.log):
        assert isinstance(message, StepResult)
        key = lake.model(message.result["model_id"])
        storage.publish(message.files["model"], key)
        storage.write(lake.TRAINED_POINTER, json.dumps({"model_id": message.result["model_id"]}).encode())
        yield materialised(message, metadata.trained(message.result, storage, key))


@dg.multi_asset(
    name="registered_model",
    pool=ON_COMPUTE,
    specs=[
        spec(
            "registered_model",
            group="model",
            kinds={"mlflow"},
            deps=["trained_model"],
            description=(
                "The trained model as a version in the registry, with tags that lead back to its data, code, run and "
                "figures, and a verdict: by the absolute gates for a first model, beside the live one, on rows that "
                "neither was trained on, for every other. A rejected version is kept, and never goes live."
            ),
        )
    ],
)
def registered_model(
    context: dg.AssetExecutionContext,
    compute: Compute,
    storage: Storage,
    registry: ModelRegistry,
    endpoint: BatchEndpoint,
) -> Events:
    """Judge the newest trained model, and register it."""
    remedy = "run the job train_model, which writes it anew"
    pointer = read_object(storage.read(lake.TRAINED_POINTER), lake.TRAINED_POINTER, remedy, model_id=str)
    model_id = pointer["model_id"]
    key = lake.model(model_id)
    content = storage.read(f"{key}/{lake.MANIFEST_FILE}")
    known = next((one for one in registry.versions() if one.key == key), None)
    expectation = expectation_of(known, storage) if known is not None else _trained(context.instance, model_id, content)
    manifest = read_manifest(content, expectation, f"{key}/{lake.MANIFEST_FILE}")
    if known is not None and storage.exists(lake.verdict(known.version)):
        # A file is judged once: the champion may be another one by now, or this very model.
        version, judged = known, Evaluation.read(storage.read(lake.verdict(known.version)))
    else:
        live = endpoint.state().default
        champion = registry.get(live) if live is not None and known is None else None
        judged = evaluate(
            context, compute, storage, key=key, manifest=manifest, expectation=expectation, champion=champion
        )
        trained_at = _trained_at(context.instance, manifest["model_sha256"])
        tags = {**_tags(manifest, content, judged.verdict), metadata.TRAINED_AT: trained_at}
        version = registry.register(key, sha256=manifest["model_sha256"], tags=tags)
        storage.write(lake.verdict(version.version), judged.stored())
    if judged.verdict.decision == "promote":
        registry.set_alias("challenger", version.version)
    beside = f", beside version {judged.champion}" if judged.champion else ""
    context.log.info(f"Version {version.version} of {version.name}: {judged.verdict.decision}{beside}.")
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(manifest["content_hash"]),
        metadata=metadata.registered(
            version, manifest, judged.verdict, storage.uri(key), champion=judged.champion, compared=judged.figures
        ),
    )


def _trained(instance: dg.DagsterInstance, model_id: str, content: bytes) -> Expectation:
    """Return what a folder is held to that is not registered yet: what the training recorded, if it was one of ours."""
    record, found = newest(instance, "trained_model"), hashlib.sha256(content).hexdigest()
    sha256 = figure(record, SHA256) if record is not None else None
    if record is not None and isinstance(sha256, str) and sha256[:MODEL_ID_LENGTH] == model_id:
        return Expectation(sha256, figure(record, MANIFEST_TAG) or found)
    # Another Dagster instance has trained it: the manifest is all that there is.
    manifest = read_object(content, f"{lake.model(model_id)}/{lake.MANIFEST_FILE}", "train again", model_sha256=str)
    return Expectation(manifest[SHA256], found)


def _tags(manifest: Mapping[str, Any], content: bytes, verdict: Verdict) -> dict[str, str]:
    test = manifest["metrics"]["test"]
    return {
        MANIFEST_TAG: hashlib.sha256(content).hexdigest(),
        "model_id": manifest["model_id"],
        "content_hash": manifest["content_hash"],
        "prepared_data_version": manifest["prepared_data_version"],
        "code_version": manifest["code_version"],
        "mlflow_run_id": manifest.get("mlflow_run_id") or "",
        "protected_attributes": str(manifest["protected_attributes"]).lower(),
        **{name: f"{test[name]:.6f}" for name in ("roc_auc", "gini", "ks", "brier") if test[name] is not None},
        VERDICT: verdict.decision,
    }


def _trained_at(instance: dg.DagsterInstance, sha256: str) -> str:
    """Return when a model was trained: right before it is registered, unless this instance has recorded it."""
    record, moment = newest(instance, "trained_model"), datetime.now(UTC)
    if record is not None and figure(record, "model_sha256") == sha256:
        moment = datetime.fromtimestamp(record.timestamp, UTC)
    return moment.isoformat(timespec="seconds")


ASSETS: list[Any] = [trained_model, registered_model]
