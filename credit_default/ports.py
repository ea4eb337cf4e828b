"""The six things that a platform provides. ``local/`` and ``azure/`` implement each under the same file name.

Assets ask for a port by its class and never for an implementation, so the same asset runs in every environment:

.. code-block:: python

    @dg.asset
    def prepared_data(context: dg.AssetExecutionContext, compute: Compute, storage: Storage): ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from credit_default.telemetry.records import Record


@dataclass(frozen=True)
class StepResult:
    """A step says that a result is complete in its job's output.

    ``files`` maps what each file or folder is to where the job wrote it, ready for :meth:`Storage.publish`.
    """

    partition: str | None
    data_version: str
    result: Mapping[str, Any]
    files: Mapping[str, str]
    checks: Sequence[Mapping[str, Any]]
    job_name: str
    #: What a platform knows about the job besides its name: where to look at it, how long it waited and ran.
    job_metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DayRejected:
    """A step says that a day cannot be made, and why."""

    partition: str
    error: str
    error_type: str


StepMessage = StepResult | DayRejected


@dataclass(frozen=True)
class DirEntry:
    """A file, folder or link directly below a key. A link is neither of the others, wherever it leads."""

    name: str
    is_folder: bool
    size: int
    is_link: bool = False


@dataclass(frozen=True)
class StoredFile:
    """A file at any depth below a key, and when it was last written."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class FolderState:
    """State of a folder now.

    Attributes
    ----------
    fingerprint
        Changes when the files do; empty when the folder holds no data.
    seconds_ago
        How long ago the last file, or the folder itself, changed.
    problem
        Why the folder cannot be used, if it cannot; the rest says nothing then.
    """

    fingerprint: str
    seconds_ago: float
    problem: str | None = None


@dataclass(frozen=True)
class ModelVersion:
    """A registered model. ``key`` is its folder in storage; ``sha256`` is that of its model file."""

    name: str
    version: str
    key: str
    sha256: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class EndpointState:
    """Which versions are deployed, which one answers, which one did before it, and which run changed that.

    ``outdated`` says that what answers runs other code than this: it has to be deployed again.
    """

    deployments: tuple[str, ...] = ()
    default: str | None = None
    previous: str | None = None
    changed_by: str | None = None
    outdated: bool = False


class Compute(dg.ConfigurableResource[Any], ABC):
    """Runs steps."""

    @abstractmethod
    def run(
        self,
        context: dg.AssetExecutionContext,
        step: str,
        *,
        inputs: Mapping[str, str],
        options: Mapping[str, str] | None = None,
        days: Sequence[str] = (),
        versions: Sequence[str] = (),
    ) -> Iterator[StepMessage]:
        """Run ``python -m credit_default.steps.<step>`` and yield what it reports, as it reports it.

        A step that a crashed run had started is found by its name, which is made of the root run's id, the step,
        its days, inputs and options, and is waited for instead of started again. It counts as dealt with once the
        caller asks for a message after the last, that is, when everything it yielded was published and recorded.

        Parameters
        ----------
        inputs
            Option name to storage key; the step gets a path that it can read.
        options
            Further options and their values. An empty value gives a flag.
        days
            The partitions to work on, given to the step as ``--days``.
        versions
            Data versions of what the inputs hold now. A job that worked on others is not taken for this one.

        Raises
        ------
        JobFailed
            With the step's own error, or how the process ended.
        """

    def search(
        self,
        context: dg.AssetExecutionContext,
        step: str,
        *,
        inputs: Mapping[str, str],
        options: Mapping[str, str],
        trials: int,
    ) -> Iterator[StepMessage]:
        """Run a step that searches with `trials`, and yield what its best trial stored; otherwise like :meth:`run`.

        Here the step gets ``--trials`` and tries all of them by itself. A platform that can run the trials side by side
        does so: the step then gets ``--only-trial``, too.
        """
        yield from self.run(context, step, inputs=inputs, options={**options, "trials": str(trials)})

    def remove_jobs(self, before: datetime, *, under_way: set[str]) -> list[str]:  # noqa: ARG002 - see below
        """Remove what jobs left behind, if nothing of it has changed since a moment; returns the jobs' names.

        Jobs of runs that are `under_way` (`resources.messages.runs_under_way`) are kept, whatever their age.
        """
        return []


class Storage(dg.ConfigurableResource[Any], ABC):
    """Keeps tables, models and reports under keys such as ``predictions/2026-01-31/predictions.parquet``."""

    @abstractmethod
    def uri(self, key: str) -> str:
        """Return the address by which a person or another program finds ``key``."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether a file or folder is there."""

    @abstractmethod
    def entries(self, key: str) -> list[DirEntry]:
        """List what lies directly below a folder, by name; nothing when the folder is not there.

        Links are listed and not followed. Raises :class:`~credit_default.errors.StorageError` when it cannot be read.
        """

    @abstractmethod
    def files(self, key: str) -> Iterator[StoredFile]:
        """Yield every file below a folder, at any depth and hidden ones too, but no links; nothing without a folder.

        Raises `errors.StorageError` after all others when a folder among them may not be listed.
        """

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Read a small file. Raises :class:`~credit_default.errors.NotThere`."""

    @abstractmethod
    def write(self, key: str, content: bytes) -> None:
        """Write a small file, whole or not at all."""

    @abstractmethod
    def publish(self, staged: str, key: str) -> None:
        """Make a job's output visible at ``key``, whole or not at all.

        A file replaces what was there. A folder is immutable: publishing it a second time changes nothing.
        """

    @abstractmethod
    def preserve(self, key: str, into: str) -> None:
        """Keep the present file at ``key``, if there is one, in a second folder under a name made of its sha256.

        Its time of modification there is now, also when it was kept before: retention counts from then on.
        """

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove a file, if it is there."""

    @abstractmethod
    def fingerprint(self, key: str) -> str:
        """Return a hash that changes when a folder's files do; empty when there is none.

        Opens no file, follows no link in the folder, and leaves out what is no data: hidden files (names that begin
        with a dot or an underscore) and companions, such as ``desktop.ini``. An earlier version of this program may
        have recorded the first 16 characters alone. Raises :class:`~credit_default.errors.StorageError` when the
        folder cannot be read.
        """

    @abstractmethod
    def changes(self, key: str, names: Collection[str]) -> Mapping[str, FolderState]:
        """Return what many sub-folders of a folder hold now, asking as little as possible.

        Those that are not there are left out. The fingerprint is that of :meth:`fingerprint`. A sub-folder that cannot
        be read, or is a link, is a problem of its own and none of the others.
        """

    @abstractmethod
    def held(self, key: str) -> AbstractContextManager[None]:
        """Hold an exclusive lock on ``key``, across processes and machines; it ends within a minute of its holder.

        Raises :class:`~credit_default.errors.StorageError` when another holder does not let go.
        """

    @abstractmethod
    def on_disk(self, key: str) -> AbstractContextManager[Path]:
        """Hold a file or folder on this machine's disk to be read only. Raises `errors.NotThere`."""

    def catalogue(self, name: str, key: str, *, version: str) -> str | None:  # noqa: ARG002 - for those that have one
        """Enter a table into the platform's data catalogue as an immutable version of ``name``.

        ``key`` is a file that nobody replaces, such as a job's output. Returns the version, or None where there is no
        catalogue. What is there already is not entered again.
        """
        return None


class ModelRegistry(dg.ConfigurableResource[Any], ABC):
    """Knows every model version, where it came from, and which ones are champion and challenger."""

    @abstractmethod
    def register(self, key: str, *, sha256: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register the model folder at ``key``, or return the version that already holds this sha256."""

    @abstractmethod
    def get(self, version_or_alias: str) -> ModelVersion:
        """Return a version. Raises :class:`~credit_default.errors.NotThere`."""

    @abstractmethod
    def versions(self) -> list[ModelVersion]:
        """Return every version, newest first."""

    @abstractmethod
    def set_alias(self, alias: str, version: str) -> None:
        """Point ``champion`` or ``challenger`` at a version. Raises :class:`~credit_default.errors.NotThere`."""


class Endpoint(dg.ConfigurableResource[Any], ABC):
    """Has versions deployed side by side; one of them answers, and the one before it is kept."""

    @abstractmethod
    def state(self) -> EndpointState:
        """Return what is deployed now."""

    @abstractmethod
    def deploy(self, context: dg.AssetExecutionContext, model: ModelVersion) -> Mapping[str, Any]:
        """Put a version beside the default and smoke-score it on its golden rows.

        Raises :class:`~credit_default.errors.JobFailed` when it cannot be scored with, and
        :class:`~credit_default.errors.SmokeTestFailed` when it does not score as in training; the default stays.
        """

    @abstractmethod
    def make_default(self, version: str, *, changed_by: str = "") -> EndpointState:
        """Let a deployed version answer from now on; ``changed_by`` is the id of the root run that wants it.

        Raises :class:`~credit_default.errors.NotThere` when it is not deployed.
        """


class BatchEndpoint(Endpoint, ABC):
    """Scores the clients of whole days."""

    @abstractmethod
    def invoke(
        self, context: dg.AssetExecutionContext, days: Sequence[str], *, versions: Sequence[str] = ()
    ) -> Iterator[StepMessage]:
        """Score days with the default version, like :meth:`Compute.run`. Raises `errors.NotThere` without one."""


class OnlineEndpoint(Endpoint, ABC):
    """Scores the clients of a request at once, over HTTP."""

    @abstractmethod
    def scoring_uri(self) -> str | None:
        """Return where the default version is asked by POST, or None when there is no such address yet."""


class Telemetry(dg.ConfigurableResource[Any], ABC):
    """Tells whoever watches what happens, and what was told."""

    @abstractmethod
    def emit(self, records: Sequence[Record]) -> int:
        """Send each trace, custom metric and exception (:mod:`credit_default.telemetry.records`) once, by its key.

        Returns how many were new.
        """

    @abstractmethod
    def query(
        self, kql: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Mapping[str, Any]]:
        """Return the rows of a KQL query over ``traces``, ``customMetrics`` and ``exceptions``, column to value.

        Raises :class:`~credit_default.errors.QueryError` when it is malformed, or asks for what is not supported, and
        :class:`~credit_default.errors.PartialAnswer` when it asks for more than is answered at once.
        """
