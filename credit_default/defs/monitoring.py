"""What became of the clients: outcomes as they arrive, and how well the predictions did."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from credit_default.defs import columns, metadata
from credit_default.defs.policies import DAYS, ONE_RUN, spec
from credit_default.defs.recording import Events, failure_of_days, materialised_day
from credit_default.resources.ports import Compute, Refused, Storage

LANDING = "landing/outcomes"


@dg.multi_asset(
    name="judge_days",
    specs=[
        spec(
            "outcomes",
            group="monitoring",
            kinds={"parquet", "python"},
            daily=True,
            columns=columns.OUTCOMES,
            description=(
                "What became of the clients that were scored on a day, from `landing/outcomes/<day>/`. The day is the "
                "scored one, not the day the outcome arrived: a late or corrected file makes that day anew."
            ),
        ),
        spec(
            "model_performance",
            group="monitoring",
            kinds={"scikitlearn"},
            daily=True,
            deps=["outcomes", "batch_predictions"],
            description=(
                "Predictions of a day against its outcomes: ROC AUC, Gini, KS, bad rate and calibration by score band."
            ),
        ),
    ],
    can_subset=True,
    partitions_def=DAYS,
    backfill_policy=ONE_RUN,
)
def judge_days(context: dg.AssetExecutionContext, compute: Compute, storage: Storage) -> Events:
    """Take in outcomes and measure, each day on its own."""
    days = list(context.partition_keys)
    failed: dict[str, str] = {}
    selected = {key.to_user_string() for key in context.selected_asset_keys}

    if "outcomes" in selected:
        fingerprints = {day: storage.fingerprint(f"{LANDING}/{day}") for day in days}
        for message in compute.run(context, "outcomes", inputs={"landing": LANDING}, days=days):
            if isinstance(message, Refused):
                failed[message.partition] = f"outcomes: {message.error}"
                continue
            day = str(message.partition)
            key = f"outcomes/{day}/outcomes.parquet"
            rejected = f"quarantine/outcomes/{day}/rejected.csv"
            if "quarantine" in message.files:
                storage.publish(message.files["quarantine"], rejected)
            storage.publish(message.files["table"], key)
            where = storage.uri(rejected) if "quarantine" in message.files else None
            about = metadata.accepted(message.result, storage.uri(key), where)
            yield materialised_day("outcomes", message, {**about, "landing_fingerprint": fingerprints[day]})

    going_on = [day for day in days if day not in failed]
    if "model_performance" in selected and going_on:
        inputs = {"predictions": "predictions", "outcomes": "outcomes"}
        for message in compute.run(context, "performance", inputs=inputs, days=going_on):
            if isinstance(message, Refused):
                failed[message.partition] = f"model_performance: {message.error}"
                continue
            key = f"performance/{message.partition}/performance.json"
            storage.publish(message.files["performance"], key)
            result = json.loads(storage.read(key))
            yield materialised_day("model_performance", message, metadata.performed(result, storage.uri(key)))

    if failed:
        raise failure_of_days(failed, len(days) - len(failed))


def _latest_day_check(asset: str) -> dg.AssetChecksDefinition:
    """Freshness looks at when anything was made; this looks at which days are there."""

    @dg.asset_check(
        asset=asset,
        name="yesterday_is_there",
        description=(
            "Yesterday (UTC) was made. A freshness policy alone stays green when only old days are made again."
        ),
    )
    def yesterday_is_there(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
        made = context.instance.get_materialized_partitions(dg.AssetKey(asset))
        return dg.AssetCheckResult(
            passed=yesterday in made,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"expected": yesterday, "newest": max(made, default="none"), "days": len(made)},
        )

    return yesterday_is_there


CHECKS: list[Any] = [_latest_day_check("batch_predictions"), _latest_day_check("drift_metrics")]
ASSETS: list[Any] = [judge_days]
