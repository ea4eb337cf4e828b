"""Handing a job to Azure ML: everything that it needs is there first, and it is there once, whatever goes wrong."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from credit_default.errors import CreditDefaultError, JobFailed
from credit_default.resources.azure.assets import datastore
from credit_default.resources.azure.client.retries import SIGNED_UPLOADS_HINT, within
from credit_default.resources.azure.jobs import job_environments
from credit_default.resources.azure.jobs.attempts import Attempts
from credit_default.resources.azure.jobs.command import ComputePlacement, Task, command_job
from credit_default.resources.azure.jobs.snapshot import snapshot
from credit_default.resources.azure.jobs.sweep import sweep_job
from credit_default.settings.azure_compute import kind_of

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

    from credit_default.resources.azure.storage import AzureStorage

#: Stands for what is not there: Azure fails a job whose input leads nowhere, and a step says better what is missing.
_EMPTY = ".empty"
_ASKING_SECONDS = 30.0
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Submission:
    """Submits jobs to one workspace.

    Attributes
    ----------
    sources
        Packages that are a job's code.
    upload_limit
        Seconds that everything up to the submission may take; uploads of the SDK can hang for ever.
    """

    client: MLClient
    storage: AzureStorage
    attempts: Attempts
    sources: Sequence[str]
    upload_limit: float

    def addresses(self, inputs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the address and the type of every input, given its key."""
        found = {option: self._locate(key) for option, key in inputs.items()}
        return (
            {option: self.storage.datastore_uri(key) for option, (key, _) in found.items()},
            {option: kind for option, (_, kind) in found.items()},
        )

    def submit(
        self, task: Task, name: str, *, place: ComputePlacement, variables: Mapping[str, str], time_limit: float
    ) -> None:
        """Submit a job, or find that it is there: when its name is taken, or an answer was lost, it is ours.

        Raises
        ------
        JobFailed
            Azure refused the job, or what it needs could not be uploaded.
        """

        def create() -> None:
            within(
                self.upload_limit,
                lambda given_up: self._create(
                    task, name, place=place, variables=variables, time_limit=time_limit, given_up=given_up
                ),
                lambda: self._late(name),
            )

        try:
            self.attempts.patience.ask(f"submitting job {name}", create)
        except CreditDefaultError:
            raise  # in our own words already
        except Exception as error:
            # Whatever was refused: the one thing that counts is whether the job is there.
            if self.attempts.find(name) is None:
                raise JobFailed(
                    f"Azure ML did not take job {name} for compute {place.compute}: {_told(error)}; check the "
                    "compute's name (CREDIT_DEFAULT_COMPUTE) and the roles of the identity that runs this"
                ) from error

    def _create(
        self,
        task: Task,
        name: str,
        *,
        place: ComputePlacement,
        variables: Mapping[str, str],
        time_limit: float,
        given_up: threading.Event,
    ) -> None:
        storage = self.storage
        datastore.ensure(self.client, storage.datastore, account=storage.account, container=storage.container)
        environment = job_environments.ensure(self.client, kind_of(task.step))
        with snapshot(self.sources) as code:
            job: Any = command_job(
                task,
                name,
                place=place,
                code=code,
                environment=environment,
                variables=variables,
                time_limit=time_limit,
            )
            if task.trials is not None:
                job = sweep_job(job, trials=task.trials, at_once=place.instance_count, time_limit=time_limit)
            if given_up.is_set():
                return
            try:
                self.client.jobs.create_or_update(job)  # uploads the code first, which may take its time
            finally:
                if given_up.is_set():
                    # Whoever waited may have found no job yet to cancel. The run may be over, and its log with it.
                    replace(self.attempts.cancelling, log=_LOG).cancel(name)

    def _locate(self, key: str) -> tuple[str, str]:
        if self.storage.holds_anything(key):
            return key, "uri_folder"
        if self.storage.exists(key):
            return key, "uri_file"
        if not self.storage.exists(f"{_EMPTY}/.keep"):
            self.storage.write(f"{_EMPTY}/.keep", b"")
        return _EMPTY, "uri_folder"

    def _late(self, name: str) -> JobFailed:
        where = "the container of its default datastore"
        with suppress(Exception):  # only the message is poorer without it
            default = within(_ASKING_SECONDS, lambda _: self.client.datastores.get_default(), TimeoutError)
            where = f"container {default.container_name} of storage account {default.account_name}"
        return JobFailed(
            f"What job {name} needs was not uploaded within {self.upload_limit:g} s. The workspace keeps its uploads "
            f"in {where}: check that it exists and that the identity that runs this may write there, or raise "
            f"CREDIT_DEFAULT_UPLOAD_LIMIT. {SIGNED_UPLOADS_HINT}"
        )


def _told(error: Exception) -> str:
    """Return the first line of what Azure said; the rest repeats it as JSON."""
    return str(getattr(error, "message", None) or error).strip().partition("\n")[0]
