"""Which attempt at a job is to be gone on with: the rules that make one intent one paid job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from credit_default.core import lake
from credit_default.resources.azure.client.retries import RetryPolicy
from credit_default.resources.azure.jobs.canceller import JobCanceller
from credit_default.resources.azure.jobs.command import SPOT_TAG
from credit_default.resources.azure.jobs.history import ENDED, RunHistory
from credit_default.resources.azure.jobs.job import CANCEL_REQUESTED, CANCEL_SECONDS, not_cancelled, status_of
from credit_default.resources.azure.storage import AzureStorage

if TYPE_CHECKING:
    import dagster as dg
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Job

#: Name of the blob that says which run dealt with a job; empty when the job was of no use.
_MARKER = "settled"
#: Name of the blob that says how often a job lost its machine, when that is why it was cancelled.
_TAKEN = "taken-away"
_OVER = frozenset({"Failed", "Canceled"})


@dataclass(frozen=True)
class Attempt:
    """One submission of a job, made or still to be made.

    Attributes
    ----------
    there
        Whether Azure has it: it runs, or it completed and its results were not dealt with.
    preemptions
        How many attempts before it, since the last that was dealt with, lost their machine.
    """

    name: str
    there: bool
    preemptions: int


@dataclass(frozen=True)
class Attempts:
    """The attempts at jobs, asked of Azure each time: nothing is remembered that a crash could lose.

    Attempts are numbered from 1 without a gap. One that failed, was cancelled, or was dealt with is passed over;
    the first other one is gone on with; the first number that is free is the next attempt.

    A job was dealt with when everything that it made was published and recorded, by a run that then came to a good
    end. A run that failed later is retried, and the retry takes what the job made once more instead of paying twice.
    """

    client: MLClient
    history: RunHistory
    storage: AzureStorage
    patience: RetryPolicy
    cancelling: JobCanceller
    instance: dg.DagsterInstance
    run_id: str
    #: Folder of a job that holds something as long as nobody removed what it left behind.
    kept: str = "messages"

    def newest(self, name: str) -> Attempt:
        """Return the attempt to go on with, or the one to make."""
        preemptions = 0
        for number in count(1):
            attempt = f"{name}-{number}"
            job = self._found(attempt)
            if job is None:
                return Attempt(attempt, there=False, preemptions=preemptions)
            status = status_of(job)
            if status in _OVER:
                preemptions += self._preempted(job)
            elif status not in ENDED or not self._dealt_with(attempt):
                return Attempt(attempt, there=True, preemptions=preemptions)
            else:
                preemptions = 0
        raise AssertionError

    def find(self, name: str) -> Job | None:
        """Return a job, or None when Azure has none of this name."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            job: Job = self.patience.ask(f"looking for job {name}", lambda: self.client.jobs.get(name))
        except ResourceNotFoundError:
            return None
        return job

    def settle(self, name: str) -> None:
        """Note that this run published and recorded everything that a job made.

        What it made stays below ``jobs/``, for a person to look into, until retention removes it.
        """
        self._mark(name, self.run_id)

    def discard(self, name: str) -> None:
        """Note that what a job made is of no use to anybody."""
        self._mark(name, "")

    def taken_away(self, name: str, times: int) -> None:
        """Note how often Azure took a job's machine away, because of which it was cancelled."""
        key = f"{lake.job(name)}/{_TAKEN}"
        self.patience.ask(f"noting how job {name} ended", lambda: self.storage.write(key, str(times).encode()))

    def _times_taken(self, name: str) -> int:
        key = f"{lake.job(name)}/{_TAKEN}"
        return int(self.storage.read(key)) if self.storage.exists(key) else 0

    def _mark(self, name: str, dealt_with_by: str) -> None:
        key = f"{lake.job(name)}/{_MARKER}"
        self.patience.ask(
            f"noting that job {name} was dealt with", lambda: self.storage.write(key, dealt_with_by.encode())
        )

    def _found(self, name: str) -> Job | None:
        """Return a job, or None. One that is being cancelled is waited for: another beside it would cost twice."""
        deadline = time.monotonic() + CANCEL_SECONDS
        # Interrupted, we do not know whether the job is there and runs; nobody else waits for it.
        with self.cancelling.when_interrupted(name):
            while (job := self.find(name)) is not None and status_of(job) == CANCEL_REQUESTED:
                if time.monotonic() > deadline:
                    raise not_cancelled(name)
                time.sleep(self.patience.pause)
        return job

    def _dealt_with(self, name: str) -> bool:
        return self.patience.ask(f"looking whether job {name} was dealt with", lambda: self._is_marked(name))

    def _is_marked(self, name: str) -> bool:
        key = f"{lake.job(name)}/{_MARKER}"
        if self.storage.exists(key):
            run_id = self.storage.read(key).decode()
            run = self.instance.get_run_by_id(run_id) if run_id and run_id != self.run_id else None
            if run is None or run.is_success:
                return True
        # Retention may have removed its messages, and then nothing of it can be published again.
        return not self.storage.entries(f"{lake.job(name)}/{self.kept}")

    def _preempted(self, job: Job) -> int:
        """Return how often a job lost its machine before it was over."""
        if (job.tags or {}).get(SPOT_TAG) != "yes":
            return 0
        name = str(job.name)
        if status_of(job) == "Canceled":
            # By us, perhaps, because Azure had started it anew too often, of which it tells nothing afterwards.
            return self.patience.ask(f"looking how often job {name} was started", lambda: self._times_taken(name))
        return self.patience.ask(f"asking why job {name} failed", lambda: self.history.details(name)).preempted
