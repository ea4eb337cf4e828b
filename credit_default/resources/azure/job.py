"""One job on Azure ML: looked at until it ends, held to its limits, cancelled when nobody waits for it any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from credit_default.errors import JobFailed
from credit_default.resources.azure.command import SPOT_TAG
from credit_default.resources.azure.history import RunDetails, RunHistory
from credit_default.resources.azure.logs import UserLogs
from credit_default.resources.azure.messages import JobMessages
from credit_default.resources.azure.patience import Patience

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Job

ENDED = frozenset({"Completed", "Failed", "Canceled"})
_RUNNING = frozenset({"Running", "Finalizing"})
#: Ways of not running that are watched apart from waiting for a machine.
_STUCK = {"NotResponding": "CREDIT_DEFAULT_NOT_RESPONDING_LIMIT", "Paused": "CREDIT_DEFAULT_PAUSED_LIMIT"}
#: For how long Azure is given to cancel a job.
_CANCEL_SECONDS = 300.0


@dataclass(frozen=True)
class Limits:
    """How long, in seconds, a job may be in each state; the names are those of the settings."""

    queue: float
    run: float
    not_responding: float
    paused: float


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    status: str
    #: None when run history could not be asked.
    details: RunDetails | None
    studio_url: str | None
    compute: str
    spot: bool
    queue_seconds: float | None
    #: How often Azure started it again on another machine.
    requeued: int = 0

    @property
    def preempted(self) -> bool:
        """Whether it failed because its machine was taken away."""
        return self.status == "Failed" and self.spot and self.details is not None and self.details.preempted


class TakenAway(Exception):
    """Azure took a job's machine away more often than it is to be tried there."""

    def __init__(self, times: int) -> None:
        super().__init__(f"{times} times")
        self.times = times


@dataclass
class JobWatch:
    """Waits for a job and passes on what it says meanwhile."""

    client: MLClient
    history: RunHistory
    patience: Patience
    name: str
    log: Any
    messages: Sequence[JobMessages]
    limits: Limits
    poll_seconds: float
    #: How often Azure may start it anew on another machine.
    most_requeued: int | None = None

    def __post_init__(self) -> None:
        self.logs = UserLogs(self.history)
        self._warned = False

    def until_it_ends(self) -> Ending:
        """Wait for the end. Whatever ends the waiting before it, an interrupt above all, cancels the job.

        Raises
        ------
        JobFailed
            A limit was passed, or Azure could not be reached.
        TakenAway
            Its machine was taken away too often.
        """
        try:
            return self._follow()
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Cancel the job and wait until Azure says that it has ended."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        self.log.warning(f"Cancelling job {self.name}.")
        deadline = time.monotonic() + _CANCEL_SECONDS
        asked = False
        while time.monotonic() < deadline:
            try:
                if not asked:
                    self.client.jobs.begin_cancel(self.name)
                    asked = True
                status = status_of(self.client.jobs.get(self.name))
                if status in ENDED:
                    self.log.info(f"Job {self.name} is {status}.")
                    return
            except ResourceNotFoundError:
                return  # it never got there
            except AzureError as error:
                if getattr(error, "status_code", None) == 401:  # noqa: PLR2004 - unauthorised
                    self.patience.credential.forget()
                self.log.warning(f"Job {self.name} could not be cancelled yet ({type(error).__name__}).")
            time.sleep(min(self.poll_seconds, 5.0))
        self.log.error(f"Azure did not confirm that job {self.name} has ended; look at it in the studio.")

    def _follow(self) -> Ending:
        status, since, requeued = "", time.monotonic(), 0
        for job in self._looks():
            before, status = status, status_of(job)
            if status != before:
                if before in _RUNNING and status not in _RUNNING | ENDED | _STUCK.keys() | {"CancelRequested"}:
                    requeued += 1
                if _phase(status) != _phase(before):
                    since = time.monotonic()
                self.log.info(f"Job {self.name} is {status}.")
            restarts = max(requeued, *(messages.starts - 1 for messages in self.messages))
            if status in ENDED:
                return self._ending(job, max(restarts, 0))
            if self.most_requeued is not None and restarts > self.most_requeued:
                raise TakenAway(restarts)
            self._hold_to_limits(status, time.monotonic() - since)
        raise AssertionError

    def _looks(self) -> Iterator[Job]:
        """Look at the job again and again; the messages that it had sent by then are read after its state is known."""
        while True:
            yield self.patience.ask(f"waiting for job {self.name}", self._look)
            time.sleep(self.poll_seconds)

    def _look(self) -> Job:
        job: Job = self.client.jobs.get(self.name)
        for messages in self.messages:
            # Of a search with hundreds of trials, those that have ended are not asked again and again.
            if not messages.closed or len(self.messages) == 1:
                messages.read()
        if status_of(job) in _RUNNING | ENDED:
            self._gently(lambda: self.logs.forward(self.history.details(self.name).logs))
        return job

    def _hold_to_limits(self, status: str, seconds: float) -> None:
        if status == "CancelRequested":
            return
        phase = _phase(status)
        limit, setting, told = {
            "queue": (self.limits.queue, "CREDIT_DEFAULT_QUEUE_LIMIT", "waited for a machine"),
            "run": (self.limits.run, "CREDIT_DEFAULT_RUN_LIMIT", "ran"),
            "NotResponding": (self.limits.not_responding, _STUCK["NotResponding"], "was NotResponding"),
            "Paused": (self.limits.paused, _STUCK["Paused"], "was Paused"),
        }[phase]
        if seconds > limit:
            raise JobFailed(
                f"Job {self.name} {told} for more than {limit:g} s and was cancelled; look at the compute in the "
                f"studio, or raise {setting}"
            )

    def _ending(self, job: Job, requeued: int) -> Ending:
        details = self._gently(lambda: self.history.details(self.name))
        self.logs.finish()
        created = getattr(job.creation_context, "created_at", None)
        started = details.started if details else None
        waited = (started - created).total_seconds() if started and isinstance(created, datetime) else None
        return Ending(
            status=status_of(job),
            details=details,
            studio_url=job.studio_url,
            compute=str(getattr(job, "compute", None) or "serverless").rpartition("/")[2],
            spot=(job.tags or {}).get(SPOT_TAG) == "yes",
            queue_seconds=waited,
            requeued=requeued,
        )

    def _gently(self, question: Callable[[], Any]) -> Any:
        """Ask for what is good to have; a failure is told once, without the address, which may be signed."""
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - the job itself is what counts
            if not self._warned:
                self._warned = True
                self.log.warning(f"Logs of job {self.name} cannot be read for now ({type(error).__name__}).")
            return None


def metadata_of(ending: Ending, *, preemptions: int) -> dict[str, Any]:
    """Return what is worth knowing about the job that made a result."""
    run_seconds = ending.details.run_seconds if ending.details else None
    known = {
        "studio": dg.MetadataValue.url(ending.studio_url) if ending.studio_url else None,
        "compute": f"{ending.compute} (spot)" if ending.spot else ending.compute,
        "queue_seconds": ending.queue_seconds,
        "run_seconds": run_seconds,
        "preemptions": preemptions or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def status_of(job: Job) -> str:
    """Return the state of a job by Azure's name; the SDK gives an enumeration for some kinds of jobs."""
    return str(getattr(job.status, "value", job.status))


def _phase(status: str) -> str:
    if status in _STUCK:
        return status
    return "run" if status in _RUNNING else "queue"
