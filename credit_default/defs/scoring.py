"""A day of clients: taken in, scored by the champion, measured for drift.

The three daily assets are one operation that can be subset. A day that fails drops out and the others go on through
predictions and drift; as three operations, Dagster would skip all that follows once one of them failed.
"""

import json
from typing import Any

import dagster as dg

from credit_default.core.telemetry import drift_records
from credit_default.defs import columns, metadata
from credit_default.defs.policies import DAYS, ONE_RUN, spec
from credit_default.defs.recording import Events, failure_of_days, materialised_day
from credit_default.resources.ports import BatchEndpoint, Compute, Refused, Storage, Telemetry

LANDING = "landing/inference/batch"


@dg.multi_asset(
    name="score_days",
    specs=[
        spec(
            "inference_data",
            group="scoring",
            kinds={"parquet", "python"},
            daily=True,
            columns=columns.INFERENCE,
            description=(
                "The clients that arrived for a day in `landing/inference/batch/<day>/`, held to the contract: typed rows "
                "here, refused ones with their reasons in `quarantine/inference_data/<day>/`."
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
                "One probability of default for each accepted client of a day, by the version that was live, with what is "
                "needed to trace it. Predictions that it replaces are kept in `superseded_predictions/<day>/`."
            ),
        ),
        spec(
            "drift_metrics",
            group="monitoring",
            kinds={"evidently"},
            daily=True,
            deps=["inference_data", "batch_predictions"],
            description=(
                "How far a day is from the reference of the model that scored it: Evidently's distances and verdict, PSI "
                "and CSI on the model's own bins, and `violation`, which knows how much chance alone explains."
            ),
        ),
    ],
    can_subset=True,
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
)
def score_days(
    context: dg.AssetExecutionContext,
    compute: Compute,
    storage: Storage,
    endpoint: BatchEndpoint,
    telemetry: Telemetry,
) -> Events:
    """Take the selected assets through the run's days, each day on its own."""
    days = list(context.partition_keys)
    failed: dict[str, str] = {}
    selected = {key.to_user_string() for key in context.selected_asset_keys}

    def going_on() -> list[str]:
        return [day for day in days if day not in failed]

    if "inference_data" in selected:
        fingerprints = {day: storage.fingerprint(f"{LANDING}/{day}") for day in days}
        for message in compute.run(context, "inference_data", inputs={"landing": LANDING}, days=days):
            if isinstance(message, Refused):
                failed[message.partition] = f"inference_data: {message.error}"
                continue
            day = str(message.partition)
            key = f"inference_data/{day}/inference_data.parquet"
            rejected = f"quarantine/inference_data/{day}/rejected.csv"
            if "quarantine" in message.files:
                storage.publish(message.files["quarantine"], rejected)
            storage.publish(message.files["table"], key)
            where = storage.uri(rejected) if "quarantine" in message.files else None
            about = metadata.accepted(message.result, storage.uri(key), where)
            yield materialised_day("inference_data", message, {**about, "landing_fingerprint": fingerprints[day]})

    if "batch_predictions" in selected and going_on():
        for message in endpoint.invoke(context, going_on()):
            if isinstance(message, Refused):
                failed[message.partition] = f"batch_predictions: {message.error}"
                continue
            day = str(message.partition)
            key = f"predictions/{day}/predictions.parquet"
            storage.preserve(key, into=f"superseded_predictions/{day}")
            storage.publish(message.files["predictions"], key)
            yield materialised_day("batch_predictions", message, metadata.predicted(message.result, storage.uri(key)))

    if "drift_metrics" in selected and going_on():
        inputs = {"models": "models", "predictions": "predictions", "inference-data": "inference_data"}
        for message in compute.run(context, "drift", inputs=inputs, days=going_on()):
            if isinstance(message, Refused):
                failed[message.partition] = f"drift_metrics: {message.error}"
                continue
            key = f"drift/{message.partition}"
            storage.publish(message.files["report"], f"{key}/report.html")
            storage.publish(message.files["drift"], f"{key}/drift.json")
            # From the stored result, once it is stored: what is sent, shown and kept is the same.
            result = json.loads(storage.read(f"{key}/drift.json"))
            telemetry.emit(drift_records(result, run_id=context.run.run_id))
            yield materialised_day(
                "drift_metrics", message, metadata.drifted(result, storage.uri(f"{key}/report.html"))
            )

    if failed:
        raise failure_of_days(failed, len(going_on()))


ASSETS: list[Any] = [score_days]
