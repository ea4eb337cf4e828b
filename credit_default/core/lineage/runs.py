"""The runs that a prediction comes from, and whether the times fit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from credit_default.core.lineage.evidence import Finding, Recorded, Run, Step

RUNS = Step("runs")
#: How far the clocks of two machines may be apart.
CLOCKS = timedelta(minutes=1)


def of_scoring_run(
    run: Run | None,
    run_id: str,
    *,
    since: datetime,
    scored_at: datetime,
    recorded: Recorded | None,
    log_is_empty: bool,
) -> Finding:
    """Look at the run that wanted the predictions.

    Parameters
    ----------
    since
        When its first attempt started: a later one may have found scored what that had asked for.
    recorded
        The materialisation that this run, or a later attempt of it, recorded of them.
    log_is_empty
        Whether this Dagster instance has recorded no predictions at all.
    """
    if run is None:
        told = f"this Dagster instance knows no run {run_id}"
        return RUNS.unchecked("scoring", told) if log_is_empty else RUNS.missing("scoring", told)
    end = recorded.at if recorded is not None else run.ended
    if scored_at < since - CLOCKS or (end is not None and scored_at > end + CLOCKS):
        return RUNS.altered("scoring", f"scored_at is no time at which run {run_id} was scoring")
    return RUNS.ok("scoring", _told(run))


def of_training_run(run: Run | None, trained: Recorded | None) -> Finding:
    """Look at the run that trained the model, found by what it recorded."""
    if trained is None:
        return RUNS.unchecked("training", "this Dagster instance has not recorded the training")
    if run is None:
        return RUNS.missing("training", f"this Dagster instance knows no run {trained.run_id}")
    return RUNS.ok("training", _told(run))


def of_events(what: str, recorded: Recorded, of_run: Sequence[Recorded] | None) -> Finding:
    """Hold what the event log's index says that a run made to the run's own events.

    Parameters
    ----------
    what
        The run.
    recorded
        The materialisation, by the index.
    of_run
        Those of the same asset and day, by the run's own events; None when these are gone.
    """
    if of_run is None:
        return RUNS.missing(what, f"the events of run {recorded.run_id} are gone from the event log")
    if any((one.data_version, one.metadata) == (recorded.data_version, recorded.metadata) for one in of_run):
        return RUNS.ok(what, f"the events of run {recorded.run_id} say the same as the event log's index")
    return RUNS.altered(what, f"the events of run {recorded.run_id} say otherwise than the event log's index")


def of_index(run_id: str) -> Finding:
    """Tell that a run is known, and that the index of the event log has nothing of what any run recorded."""
    return RUNS.missing(
        "event log",
        f"run {run_id} is known here, and the event log's index, which says what runs made, is gone or empty",
    )


def _told(run: Run) -> str:
    ended = f"{run.ended:%Y-%m-%d %H:%M:%S} UTC" if run.ended else "now"
    return f"{run.job}, run {run.run_id}: {run.status}, {run.started:%Y-%m-%d %H:%M:%S} to {ended}"
