"""What holds for every asset of a kind, said once: days, owners, kinds, freshness."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import dagster as dg

from credit_default import settings
from credit_default.code_version import code_version

OWNERS = ["team:credit-risk"]

#: UTC days from a fixed start; today is a day already, since its files may arrive before it ends.
DAYS = dg.DailyPartitionsDefinition(start_date=settings.read().start.isoformat(), timezone="UTC", end_offset=1)

#: Many days are one process: starting one costs more than a day's work.
ONE_RUN = dg.BackfillPolicy.single_run()

#: Runs with the same value never overlap (see dagster.yaml).
DAILY_TABLES = {"credit_default/tables": "daily"}
MODEL_TABLES = {"credit_default/tables": "model"}

#: The pool of steps that keep compute busy; its limit, where there is one, is the instance's (see dagster.yaml).
#: Deploying is no part of it: a rollback must not wait until a training is over.
ON_COMPUTE = "compute"

_DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30))
_MODEL = dg.FreshnessPolicy.time_window(fail_window=timedelta(days=45), warn_window=timedelta(days=35))
FRESHNESS = {
    "batch_predictions": _DAILY,
    "drift_metrics": _DAILY,
    "trained_model": _MODEL,
    "registered_model": _MODEL,
}


def spec(
    name: str,
    *,
    group: str,
    description: str,
    kinds: set[str],
    deps: Sequence[str] = (),
    daily: bool = False,
    columns: Sequence[tuple[str, str, str]] = (),
) -> dg.AssetSpec:
    """Describe one asset, with everything that the policies of this module say about it."""
    schema = dg.TableSchema([dg.TableColumn(column, kind, text) for column, kind, text in columns])
    return dg.AssetSpec(
        name,
        group_name=group,
        description=description,
        kinds=kinds,
        deps=list(deps),
        owners=OWNERS,
        code_version=code_version(),
        freshness_policy=FRESHNESS.get(name),
        partitions_def=DAYS if daily else None,
        metadata={"dagster/column_schema": schema} if columns else {},
        skippable=daily,
    )
