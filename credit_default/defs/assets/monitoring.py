"""What became of the clients: outcomes as they arrive, and how well the predictions did."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from credit_default.core import lake
from credit_default.defs.assets.daily import Days, ingest, materialised_day, recorded_day, versions_of
from credit_default.defs.landing import withdrawal
from credit_default.defs.shared import columns, metadata
from credit_default.defs.shared.policies import DAYS, ON_COMPUTE, ONE_RUN, spec
from credit_default.defs.shared.recording import Events
from credit_default.ports import Compute, StepMessage, Storage, Telemetry
from credit_default.settings import MODEL_NAME
from credit_default.telemetry.records import joining_record, measurements

LANDING = lake.LANDED_OUTCOMES
#: What landed outcomes become, and of what.
CHAIN = {"model_performance": ("outcomes", "batch_predictions")}
#: Figures of a day that has no outcomes any more, or no predictions.
_NOTHING_JOINED = {"n_joined": 0}


@dg.multi_asset(
    name="judge_days",
    pool=ON_COMPUTE,
    specs=[
        spec(
            "outcomes",
            group="arrivals",
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
def judge_days(context: dg.AssetExecutionContext, compute: Compute, storage: Storage, telemetry: Telemetry) -> Events:
    """Take in outcomes and measure, each day on its own."""
    days = Days(context, storage, "outcomes", CHAIN)
    if days.wanted("outcomes"):
        yield from ingest(context, days, compute, storage, asset="outcomes", landing=LANDING, telemetry=telemetry)
    if days.wanted("model_performance"):
        yield from _judge(context, days, compute, storage, telemetry)
    days.finish()


def _judge(
    context: dg.AssetExecutionContext, days: Days, compute: Compute, storage: Storage, telemetry: Telemetry
) -> Events:
    root = context.run.root_run_id or context.run.run_id
    emptied = withdrawal.days_without(context.instance, ["outcomes", "batch_predictions"], days.remaining)
    for day, missing in emptied.items():
        with days.guard("model_performance", day):
            about = withdrawal.withdraw_results(storage, [lake.performance(day)], missing.removeprefix("batch_"))
            # Alerts go by the newest record of a day.
            telemetry.emit([joining_record(MODEL_NAME, _NOTHING_JOINED, partition=day, run_id=root)])
            yield recorded_day("model_performance", day, withdrawal.NOTHING, about)
    inputs = {"predictions": lake.PREDICTIONS, "outcomes": lake.OUTCOMES}

    def start_step(some: Sequence[str]) -> Iterator[StepMessage]:
        versions = [*versions_of(context, "batch_predictions", some), *versions_of(context, "outcomes", some)]
        return compute.run(context, "performance", inputs=inputs, days=some, versions=versions)

    rest = [day for day in days.remaining if day not in emptied]
    for day, stored in days.stored("model_performance", rest, start_step):
        with days.guard("model_performance", day):
            key = lake.performance(day)
            storage.publish(stored.files["performance"], key)
            result = json.loads(storage.read(key))
            about = {"partition": day, "model_version": result.get("model_version"), "run_id": context.run.run_id}
            figures = {name: result["metrics"].get(name) for name in ("roc_auc", "gini", "ks", "brier")}
            figures |= {name: result.get(name) for name in ("n_outcomes", "n_joined", "joined_share")}
            record = joining_record(MODEL_NAME, result, partition=day, run_id=root)
            telemetry.emit([record, *measurements(figures, about)])
            yield materialised_day("model_performance", stored, metadata.performed(result, storage.uri(key)))


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
        emptied = withdrawal.is_emptied(context.instance, asset, yesterday)
        return dg.AssetCheckResult(
            passed=yesterday in made and not emptied,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "expected": yesterday,
                "newest": max(made, default="none"),
                "days": len(made),
                **({withdrawal.EMPTIED: yesterday} if emptied else {}),
            },
        )

    return yesterday_is_there


CHECKS: list[Any] = [_latest_day_check("batch_predictions"), _latest_day_check("drift_metrics")]
ASSETS: list[Any] = [judge_days]
