"""What only one may do at a time, wherever he is: whoever has the lease of a blob."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from credit_default.errors import StorageError
from credit_default.resources.azure.client.blobs import BlobContainer

if TYPE_CHECKING:
    from azure.storage.blob import BlobLeaseClient, ContainerClient

#: Azure takes a lease back from whoever does not renew it for this long, because he died.
_LEASE_SECONDS = 60
_RENEW_SECONDS = 20.0
_LONGEST_WAIT_SECONDS, _PAUSE_SECONDS = 300.0, 0.5
_CONFLICT = 409


@contextmanager
def held(blobs: BlobContainer, key: str) -> Iterator[None]:
    """Hold the lease of a blob, which is made if it is not there.

    Raises
    ------
    StorageError
        Somebody else does not let go of it.
    """
    blobs.create(key, b"")
    lease = _acquired(blobs, key)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(blobs, key, lease, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        # Azure ends it by itself soon, and what was done stands.
        with contextlib.suppress(StorageError):
            blobs.ask(key, lambda _: lease.release())


def _acquired(blobs: BlobContainer, key: str) -> BlobLeaseClient:
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    while (lease := blobs.ask(key, lambda client: _try(client, key))) is None:
        if time.monotonic() > deadline:
            raise StorageError(
                f"{key} was held by another process for {_LONGEST_WAIT_SECONDS:g} s; look what that does, and run this "
                "again"
            )
        time.sleep(_PAUSE_SECONDS)
    return lease


def _try(client: ContainerClient, key: str) -> BlobLeaseClient | None:
    from azure.core.exceptions import HttpResponseError

    try:
        return client.get_blob_client(key).acquire_lease(_LEASE_SECONDS)
    except HttpResponseError as error:
        if error.status_code == _CONFLICT:
            return None
        raise


def _renew(blobs: BlobContainer, key: str, lease: BlobLeaseClient, done: threading.Event) -> None:
    while not done.wait(_RENEW_SECONDS):
        # What fails is tried again; the lease lasts three times as long.
        with contextlib.suppress(StorageError):
            blobs.ask(key, lambda _: lease.renew())
