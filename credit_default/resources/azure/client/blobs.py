"""A blob container: every request ends in bounded time, and every failure is told in our own words.

Through Microsoft's own client, azure-storage-blob, which Dagster's Azure library and the Azure ML SDK bring along. Two
libraries above and beside it were tried. obstore 0.12 fails a whole listing over one blob whose name holds an empty
part (``landing//x.csv``, which a slip in an upload makes), so that one odd file would stop every sensor, and it does
not show whether a server-side copy is still pending. adlfs is a layer on this client that adds a cache of listings,
which sensors must not see.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from credit_default.core.lake import checked_key
from credit_default.core.system_errors import explained
from credit_default.errors import CreditDefaultError, NotThere, StorageError

if TYPE_CHECKING:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobProperties, ContainerClient

    from credit_default.resources.azure.client.credential import Credential

_Result = TypeVar("_Result")

#: A larger upload goes up in blocks of this size, which become the blob all at once when their list is committed.
_BLOCK_BYTES = 8 * 1024 * 1024
_OPTIONS: dict[str, Any] = {
    "connection_timeout": 10,
    "read_timeout": 60,
    "max_single_put_size": _BLOCK_BYTES,
    "max_block_size": _BLOCK_BYTES,
}
_RETRIES: dict[str, Any] = {"initial_backoff": 1, "increment_base": 2, "retry_total": 4, "random_jitter_range": 1}
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
#: How Azure says that a blob, or the source of a copy, is not there.
_NO_BLOB = ("BlobNotFound", "CannotVerifyCopySource")


class BlobContainer:
    """One container, opened when it is first used.

    Parameters
    ----------
    account, name
        Of the storage account and of the container.
    credential
        Who we are.
    time_limit
        Seconds that one upload or copy may take.
    """

    def __init__(self, account: str, name: str, credential: Credential, *, time_limit: float) -> None:
        self.address = f"https://{account}.blob.core.windows.net"
        self._account = account
        self._name = name
        self._credential = credential
        self._time_limit = time_limit
        self._client: ContainerClient | None = None
        self._lock = threading.Lock()

    def ask(self, key: str, operation: Callable[[ContainerClient], _Result]) -> _Result:
        """Do something with the container; a token that is refused is replaced once.

        Raises
        ------
        NotThere
            There is no blob at ``key``.
        StorageError
            The container is not there, refuses us, or cannot be reached.
        """
        from azure.core.exceptions import AzureError, HttpResponseError

        checked_key(key)
        for fresh in (False, True):
            try:
                return operation(self._opened())
            except AzureError as error:
                # A token that nobody gives us passes for an answer of storage without one.
                if isinstance(error, HttpResponseError) and error.status_code is not None:
                    if error.status_code == _UNAUTHORISED and not fresh:
                        self._credential.forget()
                        self._client = None
                        continue
                    raise self._told(error, key) from error
                raise StorageError(
                    f"Storage account {self._account} could not be reached or asked for a token "
                    f"({type(error).__name__}); check AZURE_STORAGE_ACCOUNT, the network, and who we are logged in as"
                ) from error
        raise AssertionError

    def create(self, key: str, content: bytes) -> None:
        """Write a small blob, unless there is one."""
        from azure.core.exceptions import ResourceExistsError

        def put(client: ContainerClient) -> None:
            with contextlib.suppress(ResourceExistsError):
                client.upload_blob(key, content, overwrite=False)

        self.ask(key, put)

    def read_tagged(self, key: str) -> tuple[bytes, str] | None:
        """Return a small blob and the ETag of this very content, or None when there is no blob."""

        def read(client: ContainerClient) -> tuple[bytes, str]:
            download = client.download_blob(key)
            return download.readall(), download.properties.etag

        try:
            return self.ask(key, read)
        except NotThere:
            return None

    def write_if(self, key: str, content: bytes, etag: str | None) -> bool:
        """Write a small blob if it is still the one with this ETag, or is not there when that is None.

        Returns False when somebody else changed it. When an answer was lost and the question repeated, that may have
        been ourselves.
        """
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

        unchanged: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
        if etag is not None:
            unchanged = {"match_condition": MatchConditions.IfNotModified, "etag": etag}

        def put(client: ContainerClient) -> bool:
            try:
                client.upload_blob(key, content, overwrite=True, **unchanged)
            except (ResourceExistsError, ResourceModifiedError):
                return False
            return True

        return self.ask(key, put)

    def copy(self, source: str, target: str) -> None:
        """Copy a blob to a place where none is, inside the storage account, and wait until it is all there.

        A blob that is there already stays; if it is still being copied, that is waited for too. Replacing a blob this
        way would not do: Azure may show an empty one until the copy is complete.
        """
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceExistsError, ResourceModifiedError

        def start(client: ContainerClient) -> None:
            # One of them says that there is a blob; which one depends on how Azure looks at the condition.
            with contextlib.suppress(ResourceExistsError, ResourceModifiedError):
                url = client.get_blob_client(source).url
                client.get_blob_client(target).start_copy_from_url(url, match_condition=MatchConditions.IfMissing)

        checked_key(target)
        self.ask(source, start)
        deadline = time.monotonic() + self._time_limit
        while (found := self._properties(target)).copy.status == "pending":
            if time.monotonic() > deadline:
                raise self._late(target)
            time.sleep(0.5)
        if found.copy.status in ("failed", "aborted"):
            self._remove_unless_changed(target, found.etag)
            raise StorageError(f"Azure {found.copy.status} the copy of {source} to {target}; run this again")

    def replace(self, source: str, target: str) -> None:
        """Put the content of a blob in the place of another: readers see the old one or the new one, whole.

        The content passes through this process, and a large one goes up in blocks whose list is committed at the end.
        """
        deadline = time.monotonic() + self._time_limit
        checked_key(target)

        def pass_through(client: ContainerClient) -> None:
            download = client.download_blob(source)
            if download.size <= _BLOCK_BYTES:
                content: bytes | Iterator[bytes] = download.readall()
            else:
                content = self._in_time(download.chunks(), deadline, target)
            client.upload_blob(target, content, length=download.size, overwrite=True)

        self.ask(source, pass_through)

    def download(self, key: str, path: Path) -> None:
        """Write a blob to a file of this machine, a part at a time: it may be larger than the memory."""

        def pass_through(client: ContainerClient) -> None:
            with explained(path), path.open("wb") as file:
                client.download_blob(key).readinto(file)

        self.ask(key, pass_through)

    def find(self, key: str) -> BlobProperties | None:
        """Return what is known about a blob, or None."""
        try:
            return self._properties(key)
        except NotThere:
            return None

    def _in_time(self, chunks: Iterator[bytes], deadline: float, target: str) -> Iterator[bytes]:
        for chunk in chunks:
            if time.monotonic() > deadline:
                raise self._late(target)
            yield chunk

    def _properties(self, key: str) -> BlobProperties:
        return self.ask(key, lambda client: client.get_blob_client(key).get_blob_properties())

    def _remove_unless_changed(self, key: str, etag: str) -> None:
        """Remove a blob as we know it: meanwhile somebody else may have put a whole one there."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

        def remove(client: ContainerClient) -> None:
            with contextlib.suppress(ResourceModifiedError, ResourceNotFoundError):
                client.delete_blob(key, etag=etag, match_condition=MatchConditions.IfNotModified)

        self.ask(key, remove)

    def _late(self, key: str) -> StorageError:
        return StorageError(
            f"{key} in container {self._name} of {self._account} was not complete after {self._time_limit:g} s; "
            "raise CREDIT_DEFAULT_UPLOAD_LIMIT if it is that large"
        )

    def _told(self, error: HttpResponseError, key: str) -> CreditDefaultError:
        found = getattr(error, "error_code", None)
        code = getattr(found, "value", found) or error.reason
        where = f"container {self._name} of storage account {self._account}"
        if code == "ContainerNotFound":
            return StorageError(f"There is no {where}; make it, or set AZURE_STORAGE_CONTAINER to one that is there")
        if error.status_code == _NOT_FOUND and code in _NO_BLOB:
            return NotThere(f"{key} is not in storage ({where}); materialise the asset that makes it")
        if error.status_code in (_UNAUTHORISED, _FORBIDDEN):
            return StorageError(
                f"We may not use {where} ({error.status_code} {code}); give the identity that runs this the role "
                "Storage Blob Data Contributor on it, and check the account's network rules"
            )
        return StorageError(f"{where} did not do what was asked about {key} ({error.status_code} {code}); try again")

    def _opened(self) -> ContainerClient:
        with self._lock:
            if self._client is None:
                # At INFO, azure-core logs every request with its headers.
                logging.getLogger("azure").setLevel(logging.WARNING)
                from azure.storage.blob import ContainerClient, ExponentialRetry

                retry: Any = ExponentialRetry(**_RETRIES)
                credential: Any = self._credential
                self._client = ContainerClient(
                    self.address, self._name, credential=credential, retry_policy=retry, **_OPTIONS
                )
            return self._client
