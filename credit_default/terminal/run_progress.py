"""Prints what a run does while it runs: a line for each step, table and check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from credit_default.terminal.tables import cell

_SHOWN = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
#: What is said of a table, where it is known: name in the metadata and title.
_FIGURES = {
    "dagster/row_count": "rows",
    "accepted": "accepted",
    "rejected": "rejected",
    "version": "version",
    "verdict": "verdict",
    "model_version": "model version",
    "mean_pd": "mean PD",
    "n_drifted_features": "drifted features",
    "violation": "violation",
    "roc_auc": "ROC AUC",
}


class RunProgress:
    """Follows the events of one run."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._cursor: str | None = None

    def follow(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        """Print what has happened since the last call."""
        found = instance.get_records_for_run(run.run_id, cursor=self._cursor, of_type=_SHOWN)
        self._cursor = found.cursor
        for record in found.records:
            event = record.event_log_entry.dagster_event
            if event is not None:
                self._say(_describe(event))


def _describe(event: dg.DagsterEvent) -> str:
    kind = event.event_type
    if kind is dg.DagsterEventType.ASSET_MATERIALIZATION:
        made = event.step_materialization_data.materialization
        return f"{_name(made.asset_key, made.partition)}: stored{_figures(made.metadata)}"
    if kind is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        verdict = "passed" if check.passed else "failed"
        more = f": {check.description}" if check.description and not check.passed else ""
        return f"{_name(check.asset_key, check.partition)}: check {check.check_name} {verdict}{more}"
    if kind is dg.DagsterEventType.STEP_SUCCESS:
        return f"step {event.step_key}: done in {event.step_success_data.duration_ms / 1000:.1f} s"
    return f"step {event.step_key}: {'started' if kind is dg.DagsterEventType.STEP_START else 'failed'}"


def _name(key: dg.AssetKey, day: str | None) -> str:
    return " ".join(filter(None, (key.to_user_string(), day)))


def _figures(metadata: Mapping[str, Any]) -> str:
    shown = [f"{title} {_figure(metadata[name].value)}" for name, title in _FIGURES.items() if name in metadata]
    return f" ({', '.join(shown)})" if shown else ""


def _figure(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else cell(value)
