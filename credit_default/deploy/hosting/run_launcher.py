"""A run launcher that notices dead runs from another container than theirs.

Dagster's default launcher cannot say whether a run still lives. The one of a machine without containers looks at the
run's process. Here that would be wrong: the daemon looks from a container of its own, where the process of a living
run is not to be seen and its number may be another's. So the code server is asked, which started the run and keeps it.
"""

from __future__ import annotations

from dagster import DagsterRun

from credit_default.resources.dagster_internals import (
    CheckRunHealthResult,
    DagsterUserCodeUnreachableError,
    DefaultRunLauncher,
    WorkerStatus,
    executes,
)


class ContainerRunLauncher(DefaultRunLauncher):
    """Launches as Dagster does by default, and asks the code server whether it still executes a run.

    When the container of the code server ends, so do the runs in it. The next one knows nothing of them: that is how
    they are found. It holds for ``dagster api grpc``, not for ``dagster code-server start``, whose servers come and go
    while their runs live on.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask :meth:`check_run_worker_health`."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Say whether the code server still executes the run."""
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]  # Dagster has no types
        if client is None:
            # It has just ended, or was started by hand and past any code server: run monitoring's longest time ends it.
            return CheckRunHealthResult(WorkerStatus.RUNNING, "No code server was told to execute this run.")
        try:
            lives = executes(client, run.run_id)
        except DagsterUserCodeUnreachableError:
            # It may be busy, or about to be back. What is not known to be dead must not be started twice.
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The code server does not answer.")
        if lives:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        where = f"{client.host}:{client.port}"
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"The code server at {where} does not execute this run any more."
        )
