"""Whether a day has to be scored: a pure comparison of what landed and what is live with what was scored."""

from __future__ import annotations

from dataclasses import dataclass

from credit_default.deploy.changes import Action, Change
from credit_default.errors import NotThere
from credit_default.resources.ports import ModelVersion


@dataclass(frozen=True)
class Predicted:
    """Which model made the predictions of a day, as they say it themselves."""

    model_version: str
    model_sha256: str


def plan_invocation(
    where: str, day: str, live: ModelVersion | None, *, landed: bool, dealt_with: bool, predicted: Predicted | None
) -> Change:
    """Return what changes so that a day is scored by the live version, from what landed for it.

    Parameters
    ----------
    where
        The lake.
    landed
        Whether files landed for the day.
    dealt_with
        Whether the Dagster instance knows that these very files were taken in, scored and measured.
    predicted
        Of the predictions that there are.

    Raises
    ------
    NotThere
        Nothing is live, or nothing landed.
    """
    if live is None:
        raise NotThere("Nothing is live at the batch endpoint; run `credit-default deploy deployment` first")
    if not landed:
        raise NotThere(f"No file landed for {day}; put one into landing/inference/batch/{day}/ of the lake")
    name = f"{day}/predictions.parquet"
    if predicted is None:
        return Change(Action.CREATE, "predictions", name, where, "the day was not scored yet", live.version)
    if (predicted.model_version, predicted.model_sha256) != (live.version, live.sha256):
        told = f"version {predicted.model_version} scored the day, and version {live.version} is live"
    elif not dealt_with:
        told = "this Dagster instance does not know of a run that took in these files, scored and measured them"
    else:
        told = f"version {live.version} scored these very files"
        return Change(Action.UNCHANGED, "predictions", name, where, told)
    return Change(Action.UPDATE, "predictions", name, where, told, live.version)
