"""Jobs: selections of assets that are run together, and what keeps to retention."""

from __future__ import annotations

from typing import Any

import dagster as dg

from credit_default.defs.automation.retention import apply_retention
from credit_default.defs.shared.policies import DAILY_TABLES, MODEL_TABLES

_TRAINING = ("curated_data", "prepared_data", "data_quality_report", "trained_model", "registered_model")

train_model = dg.define_asset_job(
    "train_model",
    selection=list(_TRAINING),
    tags=MODEL_TABLES,
    description="From curated data to a registered version with a verdict. Deploys nothing.",
)
deploy_model = dg.define_asset_job(
    "deploy_model",
    selection=["batch_deployment"],
    tags=MODEL_TABLES,
    description="Let the newest version that may be promoted answer at the batch endpoint.",
)
deploy_online = dg.define_asset_job(
    "deploy_online",
    selection=["online_deployment"],
    tags=MODEL_TABLES,
    description="Let the version that is live at the batch endpoint answer at the online endpoint, too.",
)
score_batch = dg.define_asset_job(
    "score_batch",
    selection=dg.AssetSelection.assets("inference_data", "batch_predictions", "drift_metrics").without_checks(),
    tags=DAILY_TABLES,
    description="Take in the clients of some days, score them with the champion, measure their drift.",
)
judge_predictions = dg.define_asset_job(
    "judge_predictions",
    selection=dg.AssetSelection.assets("outcomes", "model_performance").without_checks(),
    tags=DAILY_TABLES,
    description="Take in the outcomes of some scored days and measure how well the predictions did.",
)
export_online_inputs = dg.define_asset_job(
    "export_online_inputs",
    selection=["online_inputs"],
    tags=DAILY_TABLES,
    description="Let the clients that online endpoints were asked about arrive, day by day, to be scored and measured.",
)
retrain = dg.define_asset_job(
    "retrain",
    selection=[*_TRAINING, "batch_deployment"],
    tags=MODEL_TABLES,
    description="Train on all the data that has arrived, judge the model, deploy it if its verdict allows.",
)
rollback_model = dg.define_asset_job(
    "rollback_model",
    selection=["batch_deployment"],
    tags=MODEL_TABLES,
    config={"ops": {"batch_deployment": {"config": {"direction": "back", "reason": "rolled back by hand"}}}},
    description="Let the version answer that was live before the present one. Trains nothing, takes seconds.",
)
check_days = dg.define_asset_job(
    "check_days",
    selection=dg.AssetSelection.checks(
        *(
            dg.AssetCheckKey(dg.AssetKey(asset), "yesterday_is_there")
            for asset in ("batch_predictions", "drift_metrics")
        )
    ),
    description="Look whether yesterday was scored and measured.",
)

JOBS: list[Any] = [
    train_model,
    deploy_model,
    deploy_online,
    score_batch,
    judge_predictions,
    export_online_inputs,
    retrain,
    rollback_model,
    check_days,
    apply_retention,
]
