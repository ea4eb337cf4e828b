"""Which attempt at a job is to be gone on with: the rules that make one intent one paid job."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from credit_default.resources.azure.command import SPOT_TAG
from credit_default.resources.azure.history import RunHistory
from credit_default.resources.azure.job import status_of
from credit_default.resources.azure.messages import folder_of
from credit_default.resources.azure.patience import Patience
from credit_default.resources.azure.storage import AzureStorage

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Job

_OVER = frozenset({"Failed", "Canceled", "CancelRequested"})


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
    number: int
    there: bool
    preemptions: int


@dataclass(frozen=True)
class Attempts:
    """The attempts at jobs, asked of Azure each time: nothing is remembered that a crash could lose.

    Attempts are numbered from 1 without a gap. One that failed, was cancelled, or was dealt with is passed over;
    the first other one is gone on with; the first number that is free is the next attempt.
    """

    client: MLClient
    history: RunHistory
    storage: AzureStorage
    patience: Patience

    def newest(self, name: str) -> Attempt:
        """Return the attempt to go on with, or the one to make."""
        preemptions = 0
        for number in count(1):
            attempt = f"{name}-{number}"
            job = self.find(attempt)
            if job is None:
                return Attempt(attempt, number, there=False, preemptions=preemptions)
            if status_of(job) in _OVER:
                preemptions += self._preempted(job)
            elif not self.settled(attempt):
                return Attempt(attempt, number, there=True, preemptions=preemptions)
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

    def settled(self, name: str) -> bool:
        """Whether everything that a job made was published and recorded."""
        key = f"{folder_of(name)}/settled"
        return self.patience.ask(f"looking whether job {name} was dealt with", lambda: self.storage.exists(key))

    def settle(self, name: str) -> None:
        """Note that everything that a job made was published and recorded.

        What it made stays below ``jobs/``, for whoever looks into it, until a lifecycle rule of the account removes it.
        """
        key = f"{folder_of(name)}/settled"
        self.patience.ask(f"noting that job {name} was dealt with", lambda: self.storage.write(key, b""))

    def _preempted(self, job: Job) -> bool:
        if (job.tags or {}).get(SPOT_TAG) != "yes":
            return False
        name = str(job.name)
        return self.patience.ask(f"asking why job {name} failed", lambda: self.history.details(name)).preempted
