"""How a step that is an Azure ML job reports: its Pipes messages as blobs, in chunks, while it works.

Dagster's writer for Azure stops for good at the first chunk that cannot be uploaded, refuses a chunk whose upload it
repeats, and starts from chunk 1 again, over the earlier ones, when Azure starts a job anew on another machine.
This one keeps a chunk until it is stored, says so if it never was, and writes below a folder of its own::

    <prefix>/[trial-<number>/]<moment>-<random>/1.json
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from typing import IO, TYPE_CHECKING, Any

from dagster_pipes import PipesBlobStoreMessageWriter, PipesBlobStoreMessageWriterChannel, PipesParams

from credit_default.pipes.process_variables import TRIAL_VARIABLE

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

ACCOUNT_URL = "account_url"
CONTAINER = "container"
KEY_PREFIX = "key_prefix"
INTERVAL = "interval"
#: For how long the last chunks are tried again after the step has ended.
CLOSING_SECONDS = 120.0
#: The client gives up soon, because the channel tries again with everything that was said meanwhile.
_REQUESTS: dict[str, Any] = {
    "retry_total": 2,
    "initial_backoff": 1,
    "increment_base": 2,
    "connection_timeout": 10,
    "read_timeout": 30,
}
#: A larger blob goes up in blocks of this size, none of which takes longer than a request may.
_BLOCK_BYTES = 4 * 1024 * 1024


class AzureMessageChannel(PipesBlobStoreMessageWriterChannel):
    """Uploads what was said since the last time, every ``interval`` seconds and at the end."""

    def __init__(
        self, container: ContainerClient, prefix: str, *, interval: float, closing_seconds: float = CLOSING_SECONDS
    ) -> None:
        super().__init__(interval=interval)
        self._container = container
        self._prefix = prefix
        self._closing_seconds = closing_seconds
        self._waiting = ""
        self._error: Exception | None = None

    def upload_messages_chunk(self, payload: StringIO | IO[str], index: int) -> None:
        """Store a chunk; storing it a second time changes nothing."""
        self._container.upload_blob(f"{self._prefix}/{index}.json", payload.read().encode(), overwrite=True)

    @contextmanager
    def buffered_upload_loop(self) -> Iterator[None]:
        """Upload in the background; what could not be uploaded at the end is an error of the step."""
        closing = threading.Event()
        thread = threading.Thread(target=self._upload_until, args=(closing,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            closing.set()
            thread.join()
        if self._error is not None:
            raise self._error

    def _upload_until(self, closing: threading.Event) -> None:
        while not closing.wait(self._interval):
            self._upload()
        deadline = time.monotonic() + self._closing_seconds
        while not self._upload() and time.monotonic() < deadline:
            time.sleep(min(1.0, self._interval))

    def _upload(self) -> bool:
        """Try to upload everything that waits; say whether it is stored."""
        if not self._waiting:
            self._waiting = "".join(f"{json.dumps(message)}\n" for message in self.flush_messages())
        if self._waiting:
            try:
                self.upload_messages_chunk(StringIO(self._waiting), self._counter)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again, and raised at the end
                self._error = error
                return False
            self._waiting, self._error = "", None
            self._counter += 1
        return self._buffer.empty()


class AzureMessageWriter(PipesBlobStoreMessageWriter[AzureMessageChannel]):
    """Writes messages where the orchestrator that started the job reads them."""

    def make_channel(self, params: PipesParams) -> AzureMessageChannel:
        """Open the container with the identity that the job runs as."""
        return AzureMessageChannel(open_container(params), incarnation(params), interval=float(params[INTERVAL]))


def open_container(params: PipesParams, **options: Any) -> ContainerClient:
    """Open the container that a step reports to, with the identity that the job runs as."""
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import ContainerClient

    # Azure ML names the identity when the compute has one that was made for it; else the compute's own is used.
    credential = DefaultAzureCredential(managed_identity_client_id=os.environ.get("DEFAULT_IDENTITY_CLIENT_ID"))
    return ContainerClient(
        params[ACCOUNT_URL],
        params[CONTAINER],
        credential=credential,
        max_single_put_size=_BLOCK_BYTES,
        max_block_size=_BLOCK_BYTES,
        **{**_REQUESTS, **options},
    )


def incarnation(params: PipesParams) -> str:
    """Return a folder that no other start of the job writes to; a later one sorts after an earlier one."""
    return f"{of_this_process(params[KEY_PREFIX])}/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{secrets.token_hex(3)}"


def of_this_process(prefix: str) -> str:
    """Return the folder of this trial below the one that all trials of a search share; any other job has one only."""
    trial = os.environ.get(TRIAL_VARIABLE)
    return f"{prefix}/trial-{trial}" if trial else prefix


def wanted(params: Mapping[str, Any]) -> bool:
    """Whether whoever started the step reads messages from blobs."""
    return ACCOUNT_URL in params
