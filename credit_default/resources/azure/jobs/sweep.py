"""A search as an Azure ML sweep job: a grid over the numbers of the trials that we drew."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from credit_default.core.model.trials import CrossValidated, best
from credit_default.ports import StepResult

if TYPE_CHECKING:
    from azure.ai.ml.entities import Command
    from azure.ai.ml.sweep import SweepJob

#: What every trial logs to its own MLflow run, where the sweep looks for it.
METRIC = "mean_auc"


def sweep_job(trial: Command, *, trials: int, at_once: int, time_limit: float) -> SweepJob:
    """Turn the command of one trial into the sweep over all of them.

    The numbers are the same ones that a local search counts through, so Azure tries exactly what would be tried
    locally, however many run at once.
    """
    from azure.ai.ml.entities import ManagedIdentityConfiguration
    from azure.ai.ml.sweep import Choice

    sweep = trial.sweep(
        primary_metric=METRIC,
        goal="maximize",
        sampling_algorithm="grid",
        search_space={"trial": Choice(list(range(trials)))},
        compute=trial.compute,
        max_total_trials=trials,
        max_concurrent_trials=min(at_once, trials),
        timeout=round(time_limit),
        trial_timeout=round(time_limit),
        identity=ManagedIdentityConfiguration(),
        queue_settings=trial.queue_settings,
    )
    sweep.name = trial.name
    sweep.display_name = trial.display_name
    sweep.experiment_name = trial.experiment_name
    sweep.tags = trial.tags
    return sweep._to_job()  # noqa: SLF001 - what `create_or_update` does with it, too


def best_of(trials: Sequence[StepResult]) -> StepResult:
    """Return what the best trial stored, by the very rule of a local search, with the figures of all in it."""
    by_number = {
        result.number: (result, stored)
        for stored in trials
        for result in (CrossValidated(**trial) for trial in stored.result["trials"])
    }
    chosen = by_number[best([result for result, _ in by_number.values()]).number][1]
    figures = [dataclasses.asdict(by_number[number][0]) for number in sorted(by_number)]
    return dataclasses.replace(chosen, result={**chosen.result, "trials": figures})
