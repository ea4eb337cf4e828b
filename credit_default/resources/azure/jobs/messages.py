"""Reading what a job reports: chunks of Pipes messages below a prefix that follows from the job's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from dagster_pipes import PipesParams

from credit_default.core import lake
from credit_default.pipes import azure_messages
from credit_default.pipes.azure_output import OUTPUT_PREFIX
from credit_default.pipes.messages import StepMessages
from credit_default.ports import StepMessage
from credit_default.resources.azure.storage import AzureStorage

_WRITTEN_EVERY_SECONDS = 5.0
#: Folder of one process's messages to its starts, to their chunks, to when each was stored.
Listing = dict[str, dict[str, dict[str, datetime]]]


def channel_of(job: str, storage: AzureStorage, *, interval: float) -> PipesParams:
    """Return what a job's step is told: where to write its messages and what it makes."""
    return {
        azure_messages.ACCOUNT_URL: storage.blobs.address,
        azure_messages.CONTAINER: storage.container,
        azure_messages.KEY_PREFIX: lake.job_messages(job),
        OUTPUT_PREFIX: lake.job_output(job),
        azure_messages.INTERVAL: str(min(interval, _WRITTEN_EVERY_SECONDS)),
    }


def listing_of(job: str, storage: AzureStorage) -> Listing:
    """Return everything that was stored by the processes of a job, however many there are, in one listing."""
    prefix = f"{lake.job_messages(job)}/"
    blobs = storage.blobs.ask(prefix, lambda client: list(client.list_blobs(name_starts_with=prefix)))
    found: Listing = {}
    for blob in blobs:
        folder, start, name = blob.name.rsplit("/", 2)
        found.setdefault(folder, {}).setdefault(start, {})[name] = blob.last_modified
    return found


def _newest(starts: Mapping[str, Mapping[str, datetime]]) -> str:
    # By the clock of the storage account: the folders' names tell the time of machines whose clocks may differ.
    return max(starts, key=lambda start: (starts[start].get("1.json") or min(starts[start].values()), start))


class JobMessages:
    """Messages of one step, from the first on, however often they were read before.

    When Azure starts a job anew on another machine, the step starts anew as well: what the earlier start had reported
    is forgotten, and the messages of the newest one are read.
    """

    def __init__(self, storage: AzureStorage, messages: StepMessages, folder: str) -> None:
        self.storage = storage
        self._messages = messages
        self._folder = folder
        self._start = ""
        self._read_to = 0
        #: What the step reported so far.
        self.arrived: list[StepMessage] = []
        #: How often the step was started.
        self.starts = 0

    @property
    def closed(self) -> bool:
        """Whether the step said that it has ended."""
        return self._messages.closed

    @property
    def error(self) -> str | None:
        """The error that the step ended with, in its own words."""
        return self._messages.error

    def read(self, listing: Listing) -> None:
        """Handle everything that was reported since the last time.

        Parameters
        ----------
        listing
            What :func:`listing_of` the job returned just now.
        """
        starts = listing.get(self._folder, {})
        self.starts = len(starts)
        if not starts:
            return
        newest = _newest(starts)
        if newest != self._start:
            self._start, self._read_to = newest, 0
            self.arrived.clear()
            self._messages.start_over()
        for line in self._new_lines(starts[newest]):
            message = self._messages.feed(line)
            if message is not None:
                self.arrived.append(message)

    def _new_lines(self, there: Mapping[str, datetime]) -> Iterator[str]:
        while (name := f"{self._read_to + 1}.json") in there:
            chunk = self.storage.read(f"{self._folder}/{self._start}/{name}").decode()
            # Counted before its lines are handled: none of them may be handled twice.
            self._read_to += 1
            yield from chunk.splitlines()
