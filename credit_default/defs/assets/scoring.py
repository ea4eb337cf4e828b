"""A day of clients: taken in, scored by the champion, measured for drift.

The three daily assets are one operation that can be subset. A day that fails drops out and the others go on through
predictions and drift; as three operations, Dagster would skip all that follows once one of them failed.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from credit_default import settings
from credit_default.core import lake
from credit_default.core.data.retention import kept_until
from credit_default.core.model.model_folder import Expectation, as_text
from credit_default.defs.assets.daily import Days, ingest, materialised_day, recorded_day, versions_of
from credit_default.defs.landing import withdrawal
from credit_default.defs.shared import columns, metadata
from credit_default.defs.shared.history import figure, newest
from credit_default.defs.shared.policies import DAYS, ON_COMPUTE, ONE_RUN, spec
from credit_default.defs.shared.recording import Events
from credit_default.errors import HashMismatch
from credit_default.ports import BatchEndpoint, Compute, ModelRegistry, StepMessage, Storage, Telemetry
from credit_default.resources.model_versions import SHA256, expectation_of
from credit_default.settings import MODEL_NAME
from credit_default.telemetry.records import drift_measurements, drift_records, measurements

LANDING = lake.LANDED_INFERENCE
#: What a landed day becomes, and of what.
CHAIN = {"batch_predictions": ("inference_data",), "drift_metrics": ("batch_predictions",)}


@dg.multi_asset(
    name="score_days",
    pool=ON_COMPUTE,
    specs=[
        spec(
            "inference_data",
            group="arrivals",
            kinds={"parquet", "python"},
            daily=True,
            deps=["online_inputs"],
            columns=columns.INFERENCE,
            description=(
                "The clients that arrived for a day in `landing/inference/batch/<day>/`, held to the contract: typed "
                "rows here, refused ones with their reasons in `quarantine/inference_data/<day>/`. A table that "
                "another one replaces is kept in `superseded_inference_data/`."
            ),
        ),
        spec(
            "batch_predictions",
            group="scoring",
            kinds={"parquet", "scikitlearn"},
            daily=True,
            deps=["inference_data", "batch_deployment"],
            columns=columns.PREDICTIONS,
            description=(
                "One probability of default for each accepted client of a day, by the version that was live, with what "
                "is needed to trace it. Predictions that it replaces are kept in `superseded_predictions/<day>/`."
            ),
        ),
        spec(
            "drift_metrics",
            group="monitoring",
            kinds={"evidently"},
            daily=True,
            deps=["inference_data", "batch_predictions"],
            description=(
                "How far a day is from the reference of the model that scored it: Evidently's distances and verdict, "
                "PSI and CSI on the model's own bins, and `violation`, which knows how much chance alone explains."
            ),
        ),
    ],
    can_subset=True,
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
)
def score_days(
    context: dg.AssetExecutionContext,
    *,
    compute: Compute,
    storage: Storage,
    registry: ModelRegistry,
    endpoint: BatchEndpoint,
    telemetry: Telemetry,
) -> Events:
    """Take the selected assets through the run's days, each day on its own."""
    days = Days(context, storage, "inference_data", CHAIN)
    if days.wanted("inference_data"):
        yield from ingest(
            context,
            days,
            compute,
            storage,
            asset="inference_data",
            landing=LANDING,
            telemetry=telemetry,
            in_catalogue=True,
        )
    if days.wanted("batch_predictions"):
        yield from _predict(context, days, endpoint, storage, telemetry)
    if days.wanted("drift_metrics"):
        yield from _measure(context, days, compute=compute, storage=storage, registry=registry, telemetry=telemetry)
    days.finish()


def _predict(
    context: dg.AssetExecutionContext, days: Days, endpoint: BatchEndpoint, storage: Storage, telemetry: Telemetry
) -> Events:
    emptied = withdrawal.days_without(context.instance, ["inference_data"], days.remaining)
    for day in emptied:
        with days.guard("batch_predictions", day):
            about = withdrawal.withdraw_predictions(storage, day)
            yield recorded_day("batch_predictions", day, withdrawal.NOTHING, about)

    def start_step(some: Sequence[str]) -> Iterator[StepMessage]:
        return endpoint.invoke(context, some, versions=versions_of(context, "inference_data", some))

    rest = [day for day in days.remaining if day not in emptied]
    for day, stored in days.stored("batch_predictions", rest, start_step):
        with days.guard("batch_predictions", day):
            key = lake.predictions(day)
            storage.preserve(key, into=lake.superseded(lake.PREDICTIONS, day))
            storage.publish(stored.files["predictions"], key)
            figures = {"rows_scored": "rows", "scoring_seconds": "seconds", "mean_pd": "mean_pd"}
            about = {
                "partition": day,
                "model_version": stored.result.get("model_version"),
                "run_id": context.run.run_id,
            }
            values = {name: stored.result.get(key) for name, key in figures.items()}
            telemetry.emit(measurements(values, about))
            yield materialised_day("batch_predictions", stored, metadata.predicted(stored.result, storage.uri(key)))


def _measure(
    context: dg.AssetExecutionContext,
    days: Days,
    *,
    compute: Compute,
    storage: Storage,
    registry: ModelRegistry,
    telemetry: Telemetry,
) -> Events:
    emptied = withdrawal.days_without(context.instance, ["batch_predictions"], days.remaining)
    for day in emptied:
        with days.guard("drift_metrics", day):
            results = (lake.drift_report(day), lake.drift(day))
            about = withdrawal.withdraw_results(storage, results, "predictions")
            # Named as a calm day of the model that had scored it: a drift which was withdrawn starts no retraining.
            before = newest(context.instance, "drift_metrics", day)
            version = figure(before, "model_version") if before is not None else None
            calm = {"violation": False, "violating_features": "none", **({"model_version": version} if version else {})}
            yield recorded_day("drift_metrics", day, withdrawal.NOTHING, {**about, **calm})
    inputs = {"models": lake.MODELS, "predictions": lake.PREDICTIONS, "inference-data": lake.INFERENCE_DATA}

    def start_step(some: Sequence[str]) -> Iterator[StepMessage]:
        versions = versions_of(context, "batch_predictions", some)
        options = {"registered": as_text(_registered(context, some, registry, storage))}
        return compute.run(context, "drift", inputs=inputs, options=options, days=some, versions=versions)

    rest = [day for day in days.remaining if day not in emptied]
    for day, stored in days.stored("drift_metrics", rest, start_step):
        with days.guard("drift_metrics", day):
            report, drift = lake.drift_report(day), lake.drift(day)
            storage.publish(stored.files["report"], report)
            storage.publish(stored.files["drift"], drift)
            # From the stored result, once it is stored: what is sent, shown and kept is the same.
            result = json.loads(storage.read(drift))
            # A day without rows has no predictions to say which model it is about.
            named = {**result, "model_name": result.get("model_name") or MODEL_NAME}
            run_id = context.run.run_id
            telemetry.emit([*drift_records(named, run_id=run_id), *drift_measurements(named, run_id=run_id)])
            shown = metadata.drifted(result, storage.uri(report), kept_until(settings.read().keep_reports))
            yield materialised_day("drift_metrics", stored, shown)


def _registered(
    context: dg.AssetExecutionContext, days: Sequence[str], registry: ModelRegistry, storage: Storage
) -> dict[str, Expectation]:
    """Return what the registry says about the models that scored days, by the sha256 of their files."""
    records = [newest(context.instance, "batch_predictions", day) for day in days]
    named = {figure(record, SHA256) if record is not None else None for record in records}
    found: dict[str, Expectation] = {}
    for version in registry.versions():
        # Of a day that another instance has scored, nobody here knows by which model.
        if version.sha256 in named or None in named:
            try:
                found[version.sha256] = expectation_of(version, storage, context.log.warning)
            except HashMismatch as error:  # the days that it scored are refused, and no others
                context.log.error(str(error))  # noqa: TRY400 - its words say all there is to say
    return found


ASSETS: list[Any] = [score_days]
