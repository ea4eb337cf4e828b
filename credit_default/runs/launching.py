"""Run a job of the platform to its end by command, as a Dagster run like any other.

The run is recorded in the instance that this process works on, so lineage and the ledger of promotions are the same
whoever starts it.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from credit_default.core.sentences import sentence
from credit_default.defs.assets.deployment import ASKED_BY
from credit_default.errors import JobFailed, SettingsError
from credit_default.runs import github_actions
from credit_default.runs.run_job import why_failed
from credit_default.runs.run_process import running


def launch(
    job: str,
    log: Path,
    *,
    config: Mapping[str, Any] | None = None,
    days: tuple[str, str] | None = None,
    watch: Callable[[dg.DagsterInstance, dg.DagsterRun], None] | None = None,
) -> str:
    """Run a job to its end in a process of its own; returns the run's id.

    Parameters
    ----------
    log
        File that everything which the process prints is added to.
    config
        Run configuration.
    days
        For daily jobs: the first and the last day to work on.
    watch
        Called with the run while it runs, and once when it has ended.

    Raises
    ------
    JobFailed
        The run failed, for the reason that is told.
    SystemExit
        This process was told to end; the run was, too, and has ended.
    """
    arguments = ["--config", json.dumps(config)] if config else []
    arguments += ["--from", days[0], "--to", days[1]] if days else []
    arguments += ["--tag", f"{ASKED_BY}={login()}"]
    begins = log.stat().st_size if log.exists() else 0
    with dg.DagsterInstance.get() as instance:
        with running(instance, job, arguments, log) as process:
            ended = False
            while not ended:
                ended = process.ended(within=0.5)
                run = process.run() if watch is not None else None
                if watch is not None and run is not None:
                    watch(instance, run)
        run = process.run()
        if process.failed or run is None:
            if github_actions.is_here():
                github_actions.show(f"The log of {job}", log, since=begins)
            failed = sentence(f"{job} failed: {why_failed(instance, run)}")
            raise JobFailed(f"{failed} The whole log: {log}")
    return run.run_id


def login() -> str:
    """Return who runs this, as the machine tells it; in a job of GitHub Actions, who started that.

    Raises
    ------
    SettingsError
        The machine does not know.
    """
    try:
        return github_actions.actor() or getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise SettingsError(
            f"User {os.getuid()} has no login name on this machine, and the ledger has to name somebody; set LOGNAME"
        ) from error
