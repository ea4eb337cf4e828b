"""Run a job of the platform to its end by command, as a Dagster run like any other.

The run is recorded in the instance that this process works on, so lineage and the ledger of promotions are the same
whoever starts it.
"""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from credit_default.defs.deployment import ASKED_BY
from credit_default.errors import JobFailed, SettingsError
from credit_default.run_job import why_failed

#: A leading dot hides a tag from the UI.
_TAG = ".credit_default/launched"


def launch(job: str, log: Path, *, config: Mapping[str, Any] | None = None, day: str | None = None) -> str:
    """Run a job to its end in a process of its own; returns the run's id.

    Parameters
    ----------
    log
        File that everything which the process prints is added to.
    config
        Run configuration.
    day
        For daily jobs: the day to work on.

    Raises
    ------
    JobFailed
        The run failed, for the reason that is told.
    """
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "credit_default.run_job", job]
    command += ["--config", json.dumps(config)] if config else []
    command += ["--from", day] if day else []
    command += ["--tag", f"{_TAG}={mark}", "--tag", f"{ASKED_BY}={login()}"]
    with log.open("ab") as stream:
        done = subprocess.run(command, stdout=stream, stderr=stream, check=False)  # noqa: S603 - our own program
    with dg.DagsterInstance.get() as instance:
        run = next(iter(instance.get_runs(dg.RunsFilter(tags={_TAG: mark}), limit=1)), None)
        if done.returncode != 0 or run is None:
            raise JobFailed(f"{job} failed: {why_failed(instance, run)} The whole log: {log}")
    return run.run_id


def login() -> str:
    """Return who runs this, as the machine tells it.

    Raises
    ------
    SettingsError
        The machine does not know.
    """
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:
        raise SettingsError(
            f"User {os.getuid()} has no login name on this machine, and the ledger has to name somebody; set LOGNAME"
        ) from error
