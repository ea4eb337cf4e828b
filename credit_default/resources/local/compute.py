"""Compute on this machine: each step is a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster_pipes import PipesDefaultMessageWriter
from pydantic import Field

from credit_default import settings
from credit_default.core.lake import checked_key
from credit_default.core.system_errors import explained
from credit_default.errors import JobFailed, JobKilled, JobTimedOut
from credit_default.pipes.messages import StepMessages, job_name, open_session, runs_under_way
from credit_default.pipes.process_variables import JOB_VARIABLE
from credit_default.ports import Compute, StepMessage
from credit_default.resources.local.job import Job, JobState

_POLL_SECONDS = 0.1


class LocalCompute(Compute):
    """Runs steps as subprocesses that survive a crash of the run which started them."""

    jobs: str = Field(description="Folder with one sub-folder per job.")
    lake: str = Field(description="Folder below which storage keys are paths.")
    tracking_uri: str = Field(description="MLflow tracking URI that steps log to.")
    grace_seconds: float = Field(default=10.0, description="How long a cancelled step may take before it is killed.")
    steps: str = Field(default="credit_default.steps", description="Package that the steps are modules of.")
    step_timeout: float = Field(default=settings.DEFAULT_STEP_TIMEOUT, description="Seconds that a step may run.")
    keep_days: int | None = Field(default=30, description="How long folders of ended jobs are kept; None for ever.")

    def run(  # noqa: D102 - see the port
        self,
        context: dg.AssetExecutionContext,
        step: str,
        *,
        inputs: Mapping[str, str],
        options: Mapping[str, str] | None = None,
        days: Sequence[str] = (),
        versions: Sequence[str] = (),
    ) -> Iterator[StepMessage]:
        self._remove_expired_jobs(context.instance)
        name = job_name(context, step, days, inputs=inputs, options=options, versions=versions)
        job, fresh = self._find_or_name(name)
        channel = {PipesDefaultMessageWriter.FILE_PATH_KEY: str(job.messages)}
        messages = StepMessages(job.name, channel, lambda path: str(job.output / path))
        with open_session(context, messages) as session:
            # Whoever waits is broken off where a signal finds him, also right after the process was started.
            try:
                if fresh:
                    command = self._command(job, step, inputs=inputs, options=options or {}, days=days)
                    with explained(job.folder):
                        job.start(command, {**os.environ, **self._environment(job), **session})
                    context.log.info(f"Started job {job.name}.")
                else:
                    context.log.info(f"Found job {job.name}, which an earlier attempt had started; going on with it.")
                yield from self._follow(job, messages)
            finally:
                if job.alive():
                    # Whoever waits has stopped waiting: a cancelled run, or an error in publishing.
                    context.log.warning(f"Stopping job {job.name} and everything it started.")
                    job.cancel(self.grace_seconds)
        # Read by the caller up to here, so published and recorded.
        job.settle()
        if messages.error:
            raise JobFailed(messages.error)
        if not messages.closed:
            cause = job.how_it_ended()
            message = f"Job {job.name} did not finish: {cause}.\n{job.last_words()}".strip()
            raise JobKilled(message, cause) if job.was_killed() else JobFailed(message)

    def _command(
        self, job: Job, step: str, *, inputs: Mapping[str, str], options: Mapping[str, str], days: Sequence[str]
    ) -> list[str]:
        return [
            *(sys.executable, "-m", f"{self.steps}.{step}", "--output", str(job.output)),
            *(part for option, key in inputs.items() for part in (f"--{option}", self._path(key))),
            *(part for option, value in options.items() for part in (f"--{option}", value) if part),
            *(("--days", ",".join(days)) if days else ()),
        ]

    def _path(self, key: str) -> str:
        return str(Path(self.lake) / checked_key(key))

    def _find_or_name(self, name: str) -> tuple[Job, bool]:
        """Return the attempt to go on with, or a new one and True."""
        attempts = Job.attempts(Path(self.jobs), name)
        if attempts:
            last = attempts[-1]
            if last.state(closed_well=_closed_well(last.messages)) in (JobState.RUNNING, JobState.COMPLETED):
                return last, False
            number = last.attempt + 1
        else:
            number = 1
        return Job(Path(self.jobs) / f"{name}-{number}"), True

    def _follow(self, job: Job, messages: StepMessages) -> Iterator[StepMessage]:
        running = True
        deadline = time.monotonic() + self.step_timeout - job.seconds_since_start()
        while running:
            running = job.alive()  # asked before reading, so that nothing written before the end is missed
            for line in job.new_lines("messages.jsonl"):
                message = messages.feed(line)
                if message is not None:
                    yield message
            for stream in ("stdout", "stderr"):
                for line in job.new_lines(stream):
                    getattr(sys, stream).write(line)
            if running and time.monotonic() > deadline:
                job.cancel(self.grace_seconds)
                raise JobTimedOut(
                    f"Job {job.name} ran for more than {self.step_timeout:g} s and was stopped with everything it had "
                    f"started; raise {settings.STEP_TIMEOUT_VARIABLE} if it needs longer"
                )
            if running:
                time.sleep(_POLL_SECONDS)

    def _environment(self, job: Job) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            JOB_VARIABLE: job.name,
            "PYTHONUNBUFFERED": "1",
            # Nothing calls home: these are the switches of evidently and MLflow.
            "DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def remove_jobs(self, before: datetime, *, under_way: set[str]) -> list[str]:  # noqa: D102 - see the port
        removed: list[str] = []
        with contextlib.suppress(FileNotFoundError):  # nothing has run yet
            for path in Path(self.jobs).iterdir():
                # Another run may remove the same; and what is no job of ours, or may not be removed, stays.
                with contextlib.suppress(OSError):
                    if path.is_symlink() or not path.is_dir() or path.stat().st_mtime >= before.timestamp():
                        continue
                    if under_way.isdisjoint(path.name.split("-")) and not Job(path).alive():
                        shutil.rmtree(path)
                        removed.append(path.name)
        return removed

    def _remove_expired_jobs(self, instance: dg.DagsterInstance) -> None:
        """Remove them here too: on a laptop, the daemon and its schedules may never run."""
        if self.keep_days is not None:
            before = datetime.now(UTC) - timedelta(days=self.keep_days)
            self.remove_jobs(before, under_way=runs_under_way(instance))


def _closed_well(messages: Path) -> bool:
    """Whether a step's messages end with a close that tells of no error."""
    try:
        lines = messages.read_bytes().splitlines()
    except FileNotFoundError:
        return False
    if not lines:
        return False
    try:
        last = json.loads(lines[-1])
    except (ValueError, RecursionError):
        return False
    if not isinstance(last, dict) or last.get("method") != "closed":
        return False
    return "exception" not in (last.get("params") or {})
