"""Stores what a step made where the orchestrator that started its Azure ML job reads it.

A step writes below a folder of its machine, and each result goes up once it is complete, a file at a time: a large one
in blocks that become the blob when their list is committed. An output of the job would be a mount, below which nothing
can be renamed or written anew, and which a job that Azure starts again finds full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_pipes import PipesParams

from credit_default.errors import StorageError
from credit_default.pipes import azure_messages

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

OUTPUT_PREFIX = "output_prefix"
#: A request is repeated for about two minutes, as long as the last messages are.
_RETRIES = {"retry_total": 6, "initial_backoff": 2, "increment_base": 2}


class AzureOutput:
    """The folder of a job, or of a trial of a search, in the lake.

    Parameters
    ----------
    params
        See :func:`credit_default.resources.azure.jobs.messages.channel_of`.
    folder
        Where the step writes.
    """

    def __init__(self, params: PipesParams, folder: Path) -> None:
        self._params = params
        self._folder = folder
        self._container: ContainerClient | None = None

    def store(self, names: Iterable[str]) -> None:
        """Store files, or every file of folders; doing it again replaces each blob at once.

        Raises
        ------
        StorageError
            A file could not be stored.
        """
        from azure.core.exceptions import AzureError

        prefix = azure_messages.of_this_process(self._params[OUTPUT_PREFIX])
        for path in _files(self._folder / name for name in names):
            key = f"{prefix}/{path.relative_to(self._folder).as_posix()}"
            try:
                with path.open("rb") as file:
                    self._opened().upload_blob(key, file, overwrite=True)
            except AzureError as error:
                status = getattr(error, "status_code", None)
                raise StorageError(
                    f"{key} could not be stored in container {self._params[azure_messages.CONTAINER]} of "
                    f"{self._params[azure_messages.ACCOUNT_URL]} (status {status or 'none'}); check the network, and "
                    "that the identity of the compute has the role Storage Blob Data Contributor there, and run this "
                    "again."
                ) from error

    def _opened(self) -> ContainerClient:
        if self._container is None:
            self._container = azure_messages.open_container(self._params, **_RETRIES)
        return self._container


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        else:
            yield path
