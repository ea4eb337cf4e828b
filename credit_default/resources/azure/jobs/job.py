"""One job on Azure ML: looked at until it ends, and held to its limits."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from credit_default.errors import JobFailed, JobKilled, JobTimedOut
from credit_default.pipes.messages import MEMORY_HINT
from credit_default.resources.azure.client.retries import RetryPolicy
from credit_default.resources.azure.jobs.command import SPOT_TAG
from credit_default.resources.azure.jobs.history import ENDED, RunDetails, RunHistory
from credit_default.resources.azure.jobs.logs import ChildLogs, UserLogs, invocation_logs, trial_logs
from credit_default.resources.azure.jobs.messages import JobMessages, listing_of

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Job

_RUNNING = frozenset({"Running", "Finalizing"})
#: Ways of not running that are watched apart from waiting for a machine.
_STUCK = {"NotResponding": "CREDIT_DEFAULT_NOT_RESPONDING_LIMIT", "Paused": "CREDIT_DEFAULT_PAUSED_LIMIT"}
CANCEL_REQUESTED = "CancelRequested"
#: How Azure ML tells that the system killed a program: by its exit code, or in words.
_KILLED = re.compile(
    r"\b(?:status|exit|return)[ _-]?code:? *(?:137|-9)\b|SIGKILL|OOMKilled|out of memory", re.IGNORECASE
)
#: For how long Azure is given to cancel a job.
CANCEL_SECONDS = 300.0


@dataclass(frozen=True)
class Limits:
    """How long, in seconds, a job may be in each state; the names are those of the settings."""

    queue: float
    run: float
    not_responding: float
    paused: float


@dataclass(frozen=True)
class JobOutcome:
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

    @property
    def killed(self) -> bool:
        """Whether the system killed its program, as far as Azure says so."""
        reasons = f"{self.details.error} {self.details.reasons}" if self.details is not None else ""
        return self.status == "Failed" and _KILLED.search(reasons) is not None

    def failure(self, name: str, error: str, printed: str) -> JobFailed:
        """Return the error of a job that did not say itself how it ended.

        Parameters
        ----------
        error
            Why it failed, in Azure's words.
        printed
            What its program printed last.
        """
        message = f"Job {name} did not finish: {error}\n{printed}".strip()
        if not self.killed:
            return JobFailed(message)
        cause = f"Azure says that its program was killed (exit code 137 or the like); {MEMORY_HINT}"
        return JobKilled(f"{message}\n({MEMORY_HINT})", cause)


class Preempted(Exception):
    """Azure took a job's machine away more often than it is to be tried there."""

    def __init__(self, times: int) -> None:
        super().__init__(f"{times} times")
        self.times = times


@dataclass
class JobWatch:
    """Waits for a job and passes on what it says meanwhile."""

    client: MLClient
    history: RunHistory
    patience: RetryPolicy
    name: str
    log: Any
    messages: Sequence[JobMessages]
    limits: Limits
    poll_seconds: float
    #: How often Azure may start it anew on another machine.
    most_requeued: int | None = None
    #: Whether it is an invocation of a batch endpoint, whose work is done by a job below it.
    invocation: bool = False

    def __post_init__(self) -> None:
        self.logs: UserLogs | ChildLogs
        if self.invocation:
            self.logs = invocation_logs(self.history)
        else:
            self.logs = trial_logs(self.history) if len(self.messages) > 1 else UserLogs(self.history)
        self._warned = False

    def wait(self) -> JobOutcome:
        """Wait for the end. Whoever calls this cancels the job when the waiting is broken off.

        Raises
        ------
        JobFailed
            A limit was passed, or Azure could not be reached.
        TakenAway
            Its machine was taken away too often.
        """
        return self._follow()

    def _follow(self) -> JobOutcome:
        status, looked, requeued = "", 0.0, 0
        spent: dict[str, float] = {}
        for job in self._looks():
            before, status = status, status_of(job)
            now = time.monotonic()
            if before:
                spent[_phase(before)] = spent.get(_phase(before), 0.0) + now - looked
            else:
                spent = self._spent_before(job)
            looked = now
            if status != before:
                if before in _RUNNING and status not in _RUNNING | ENDED | _STUCK.keys() | {CANCEL_REQUESTED}:
                    requeued += 1
                self.log.info(f"Job {self.name} is {status}.")
            restarts = max([requeued, *(messages.starts - 1 for messages in self.messages)])
            if status in ENDED:
                return self._ending(job, max(restarts, 0))
            if self.most_requeued is not None and restarts > self.most_requeued:
                raise Preempted(restarts)
            self._hold_to_limits(status, spent.get(_phase(status), 0.0))
        raise AssertionError

    def _spent_before(self, job: Job) -> dict[str, float]:
        """Return how long a job waited and ran before it was first looked at: an earlier run may have started it."""
        created, started, now = created_at(job), None, datetime.now(UTC)
        if _phase(status_of(job)) != "queue":
            details = self._best_effort(lambda: self.history.details(self.name))
            started = details.started if details else None
        spent = {}
        if created:
            spent["queue"] = max(((started or now) - created).total_seconds(), 0.0)
        if started:
            spent["run"] = max((now - started).total_seconds(), 0.0)
        return spent

    def _looks(self) -> Iterator[Job]:
        """Look at the job again and again; the messages that it had sent by then are read after its state is known."""
        while True:
            yield self.patience.ask(f"waiting for job {self.name}", self._look)
            time.sleep(self.poll_seconds)

    def _look(self) -> Job:
        job: Job = self.client.jobs.get(self.name)
        listing = listing_of(self.name, self.messages[0].storage) if self.messages else {}
        for messages in self.messages:
            # Of a search with hundreds of trials, those that have ended are not asked again and again.
            if not messages.closed or len(self.messages) == 1:
                messages.read(listing)
        if status_of(job) in _RUNNING | ENDED:
            self._best_effort(lambda: self.logs.forward(self.name))
        return job

    def _hold_to_limits(self, status: str, seconds: float) -> None:
        if status == CANCEL_REQUESTED:
            if seconds > CANCEL_SECONDS:
                raise not_cancelled(self.name)
            return
        phase = _phase(status)
        limit, setting, told = {
            "queue": (self.limits.queue, "CREDIT_DEFAULT_QUEUE_LIMIT", "waited for a machine"),
            "run": (self.limits.run, "CREDIT_DEFAULT_RUN_LIMIT", "ran"),
            "NotResponding": (self.limits.not_responding, _STUCK["NotResponding"], "was NotResponding"),
            "Paused": (self.limits.paused, _STUCK["Paused"], "was Paused"),
        }[phase]
        if seconds > limit:
            kind = JobTimedOut if phase == "run" else JobFailed
            raise kind(
                f"Job {self.name} {told} for more than {limit:g} s in all; look at the compute in the "
                f"studio, or raise {setting}"
            )

    def _ending(self, job: Job, requeued: int) -> JobOutcome:
        spot = (job.tags or {}).get(SPOT_TAG) == "yes"
        ask = self.history.details_of_steps if self.invocation else self.history.details
        if spot and status_of(job) == "Failed":
            # Whether it is tried again hangs on the answer.
            details = self.patience.ask(f"asking why job {self.name} failed", lambda: ask(self.name))
        else:
            details = self._best_effort(lambda: ask(self.name))
        self._best_effort(self._read_on)
        self.logs.finish()
        created, started = created_at(job), details.started if details else None
        waited = (started - created).total_seconds() if started and created else None
        return JobOutcome(
            status=status_of(job),
            details=details,
            studio_url=job.studio_url,
            compute=str(getattr(job, "compute", None) or "serverless").rpartition("/")[2],
            spot=spot,
            queue_seconds=waited,
            requeued=requeued,
        )

    def _read_on(self) -> None:
        while self.logs.forward(self.name):
            pass

    def _best_effort(self, question: Callable[[], Any]) -> Any:
        """Ask for what is good to have; a failure is told once, without the address, which may be signed."""
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - the job itself is what counts
            if not self._warned:
                self._warned = True
                self.log.warning(f"Logs of job {self.name} cannot be read for now ({type(error).__name__}).")
            return None


def metadata_of(ending: JobOutcome, *, preemptions: int) -> dict[str, Any]:
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


def not_cancelled(name: str) -> JobFailed:
    """Return the error of a job that does not end although it was cancelled."""
    return JobFailed(
        f"Job {name} was cancelled and has not ended for {CANCEL_SECONDS:g} s; look at it in the studio, and run this "
        "again once it has ended"
    )


def created_at(job: Job) -> datetime | None:
    """Return when a job was submitted."""
    created = getattr(job.creation_context, "created_at", None)
    return created if isinstance(created, datetime) else None


def status_of(job: Job) -> str:
    """Return the state of a job by Azure's name; the SDK gives an enumeration for some kinds of jobs."""
    return str(getattr(job.status, "value", job.status))


def _phase(status: str) -> str:
    if status in _STUCK or status == CANCEL_REQUESTED:
        return status
    return "run" if status in _RUNNING else "queue"
