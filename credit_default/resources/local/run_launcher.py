"""A run launcher that notices when the process of a run is gone.

Dagster's default launcher cannot say whether a run's process still lives, so a run whose orchestrator was killed
stays "started" for ever. With this one, run monitoring finds it and run retries go on with it.
"""

from __future__ import annotations

from typing import Any

import psutil
from dagster import DagsterEventType, DagsterInstance, DagsterRun

from credit_default.core import patient_sqlite
from credit_default.resources.dagster_internals import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

#: A process that began this many seconds after it was announced is another one that got the same id.
_CLOCK_TOLERANCE_SECONDS = 2.0


class WatchfulRunLauncher(DefaultRunLauncher):
    """Launches as Dagster does by default, and checks the run's process by its id and its time of birth."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        patient_sqlite.install()

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask :meth:`check_run_worker_health`."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Say whether the process that executes the run still lives."""
        if not self.has_instance:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "The launcher has no instance yet.")
        announced = announced_process(self._instance, run.run_id)
        if announced is None:
            # Just launched: the process has not spoken yet. The start timeout covers it.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        number, moment = announced
        if _lives(number, moment):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"The run's process {number} is gone.")


def announced_process(instance: DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """Return the process id that a run announced last, and when (seconds since the epoch)."""
    found = None
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        metadata = event.engine_event_data.metadata if event is not None else {}
        if "pid" in metadata:
            found = int(str(metadata["pid"].value)), entry.timestamp
    return found


def _lives(number: int, announced_at: float) -> bool:
    try:
        process = psutil.Process(number)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.create_time() <= announced_at + _CLOCK_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return False
