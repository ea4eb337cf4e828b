"""Storage in a container of Azure Blob Storage: keys are the names of blobs."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import dagster as dg
from pydantic import Field, PrivateAttr

from credit_default.core import lake
from credit_default.core.files.companions import is_companion, is_hidden
from credit_default.core.stored_json import read_object
from credit_default.errors import NotThere, StorageError
from credit_default.ports import DirEntry, FolderState, Storage, StoredFile
from credit_default.resources.azure.client.blobs import BlobContainer
from credit_default.resources.azure.client.leases import held
from credit_default.resources.azure.client.retries import RetryPolicy
from credit_default.resources.azure.client.workspace import AzureWorkspace

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties, ContainerClient

#: Length of YYYY-MM: folders whose names begin alike are listed by one request.
_MONTH = 7
_PAUSE_SECONDS = 2.0


class AzureStorage(Storage):
    """What jobs on Azure ML read and write under ``azureml://``, seen from the orchestrator.

    A **file** is replaced by one upload, which readers see whole or not at all. A **folder** is many blobs and cannot
    appear at once. A blob below ``.published/`` names the staged folder that it is first published from, and says so
    once it is whole; until then it does not count as there. Whoever publishes the same folder next, after a crash or
    at the same time, completes it from the very folder that is named there, so that it is never a mixture.

    The account is one without a hierarchical namespace, whose listings would name folders among the files.
    """

    account: str = Field(description="Storage account of the lake.")
    container: str = Field(description="Blob container of the lake.")
    datastore: str = Field(
        default="credit_default", description="Azure ML datastore by which jobs reach the container."
    )
    time_limit: float = Field(default=600.0, description="Seconds that an upload or a copy may take.")
    unreachable_limit: float = Field(default=900.0, description="Seconds that Azure ML may fail to answer.")
    workspace: dg.ResourceDependency[AzureWorkspace]
    _blobs: BlobContainer | None = PrivateAttr(default=None)

    @property
    def blobs(self) -> BlobContainer:
        """The container; it opens no connection by itself."""
        if self._blobs is None:
            credential = self.workspace.credential()
            self._blobs = BlobContainer(self.account, self.container, credential, time_limit=self.time_limit)
        return self._blobs

    def uri(self, key: str) -> str:  # noqa: D102 - see the port
        return f"{self.blobs.address}/{self.container}/{quote(key)}"

    def datastore_uri(self, key: str) -> str:
        """Return the address by which jobs of the workspace find ``key``."""
        return f"azureml://datastores/{self.datastore}/paths/{lake.checked_key(key)}"

    def exists(self, key: str) -> bool:  # noqa: D102 - see the port
        if self.blobs.find(key) is not None:
            return True
        return self.holds_anything(key) and not self._half_published(key)

    def entries(self, key: str) -> list[DirEntry]:  # noqa: D102 - see the port
        prefix = f"{key}/"
        found: dict[str, DirEntry] = {}
        items: list[Any] = self.blobs.ask(key, lambda client: list(client.walk_blobs(name_starts_with=prefix)))
        for item in items:
            if item.name.endswith("/") and item.name != prefix:
                # Some tools leave an empty blob of the folder's own name beside it, which this replaces.
                name = item.name[len(prefix) : -1]
                found[name] = DirEntry(name, True, 0)
            elif item.name != prefix:
                name = item.name[len(prefix) :]
                found.setdefault(name, DirEntry(name, False, item.size))
        return [found[name] for name in sorted(found)]

    def files(self, key: str) -> Iterator[StoredFile]:  # noqa: D102 - see the port
        for blob in self._list(f"{key}/"):
            if not blob.name.endswith("/"):
                yield StoredFile(blob.name, blob.size, blob.last_modified)

    def read(self, key: str) -> bytes:  # noqa: D102 - see the port
        return self.blobs.ask(key, lambda client: client.download_blob(key).readall())

    def write(self, key: str, content: bytes) -> None:  # noqa: D102 - see the port
        self.blobs.ask(key, lambda client: client.upload_blob(key, content, overwrite=True))

    def upload(self, path: Path, key: str, *, replace: bool = True) -> None:
        """Write a file of this machine, whole or not at all, a part at a time: it may be larger than the memory.

        Without `replace`, what is there stays.
        """
        from azure.core.exceptions import ResourceExistsError

        def put(client: "ContainerClient") -> None:
            with path.open("rb") as file, nullcontext() if replace else suppress(ResourceExistsError):
                client.upload_blob(key, file, overwrite=replace)

        self.blobs.ask(key, put)

    def publish(self, staged: str, key: str) -> None:  # noqa: D102 - see the port
        if self.blobs.find(staged) is not None:
            self.blobs.replace(staged, key)
        else:
            self._publish_folder(staged, key)

    def preserve(self, key: str, into: str) -> None:  # noqa: D102 - see the port
        try:
            digest = self.blobs.ask(key, lambda client: _sha256(client.download_blob(key).chunks()))
        except NotThere:
            return
        kept = f"{into}/{digest[:16]}{PurePosixPath(key).suffix}"
        # Immutable by its name: copied if it is not there yet.
        self.blobs.copy(key, kept)
        # Gives it a new time of modification: retention counts from the last time it was replaced.
        self.blobs.ask(kept, lambda client: client.get_blob_client(kept).set_blob_metadata())

    def remove(self, key: str) -> None:  # noqa: D102 - see the port
        try:
            self.blobs.ask(key, lambda client: client.delete_blob(key))
        except NotThere:
            return

    def fingerprint(self, key: str) -> str:  # noqa: D102 - see the port
        return _fingerprint(f"{key}/", self._list(f"{key}/"))

    def changes(self, key: str, names: Collection[str]) -> Mapping[str, FolderState]:  # noqa: D102 - see the port
        wanted = set(names)
        blobs: dict[str, list[BlobProperties]] = {}
        for start in sorted({name[:_MONTH] for name in wanted}):
            for blob in self._list(f"{key}/{start}"):
                name, slash, _ = blob.name[len(key) + 1 :].partition("/")
                if slash and name in wanted:
                    blobs.setdefault(name, []).append(blob)
        return {
            name: FolderState(_fingerprint(f"{key}/{name}/", found), _seconds_ago(found))
            for name, found in blobs.items()
        }

    def held(self, key: str) -> AbstractContextManager[None]:  # noqa: D102 - see the port
        return held(self.blobs, f"{lake.LOCKS}/{key}")

    @contextmanager
    def on_disk(self, key: str) -> Iterator[Path]:  # noqa: D102 - see the port
        names = [key] if self.blobs.find(key) is not None else [blob.name for blob in self._list(f"{key}/")]
        if not names:
            self.read(key)  # tells what is not there
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            for name in names:
                path = (root / name).resolve()
                if not path.is_relative_to(root):
                    raise StorageError(f"A blob below {key} has a name that leads out of its folder; remove it")
                path.parent.mkdir(parents=True, exist_ok=True)
                self.blobs.download(name, path)
            yield root / key

    def catalogue(self, name: str, key: str, *, version: str) -> str | None:  # noqa: D102 - see the port
        self._catalogue(name, PurePosixPath(key).name, version, lambda kept: self.blobs.copy(key, kept))
        return version

    def catalogue_file(self, name: str, path: Path, *, version: str) -> None:
        """Enter a file of this machine into the catalogue, like :meth:`catalogue`."""
        self._catalogue(name, path.name, version, lambda kept: self.upload(path, kept, replace=False))

    def _catalogue(self, name: str, file_name: str, version: str, keep: Callable[[str], None]) -> None:
        from credit_default.resources.azure.assets.catalogue import register

        kept = lake.data_asset(name, version, file_name)
        register(
            self.workspace.client(),
            RetryPolicy(self.workspace.credential(), self.unreachable_limit, _PAUSE_SECONDS),
            name,
            version,
            path=self.datastore_uri(kept),
            keep=lambda: keep(kept),
        )

    def _publish_folder(self, staged: str, key: str) -> None:
        if not self.holds_anything(staged):
            raise NotThere(f"{staged} is not in storage, from which {key} was to be published; run its job again")
        marker = lake.published(key)
        self.blobs.create(marker, json.dumps({"from": staged, "whole": False}).encode())
        marked = self._marker(marker)
        if marked["whole"]:
            return
        # The first to publish, whoever that was.
        source = marked["from"]
        blobs = self._list(f"{source}/")
        if not blobs:
            raise NotThere(
                f"{source} is gone, from which {key} was half published; remove {marker} and what is below {key}, and "
                "materialise the asset that makes it"
            )
        for blob in blobs:
            self.blobs.copy(blob.name, f"{key}/{blob.name[len(source) + 1 :]}")
        self.write(marker, json.dumps({**marked, "whole": True}).encode())

    def _half_published(self, key: str) -> bool:
        try:
            return not self._marker(lake.published(key))["whole"]
        except NotThere:
            return False  # a folder that files arrive in one by one

    def _marker(self, marker: str) -> dict[str, Any]:
        """Return from where a folder is published, and whether it is whole."""
        folder = marker.removeprefix(f"{lake.PUBLISHED}/").removesuffix(".json")
        remedy = f"remove it and what is below {folder}, and materialise the asset that makes it"
        return read_object(self.read(marker), marker, remedy, **{"from": str, "whole": bool})

    def holds_anything(self, key: str) -> bool:
        """Whether there is anything below a folder, by one request however much there is."""
        return self.blobs.ask(
            key, lambda client: any(True for _ in client.list_blobs(name_starts_with=f"{key}/", results_per_page=1))
        )

    def _list(self, prefix: str) -> "list[BlobProperties]":
        return self.blobs.ask(prefix, lambda client: list(client.list_blobs(name_starts_with=prefix)))


def _fingerprint(prefix: str, blobs: "Iterable[BlobProperties]") -> str:
    """Hash names, sizes and ETags; Azure gives a blob another ETag with every change, also of its kind."""
    digest, empty = hashlib.sha256(), True
    for blob in sorted(blobs, key=lambda blob: blob.name):
        name = blob.name[len(prefix) :]
        # An empty name is the folder's own marker, such as the portal makes.
        if name and not any(is_hidden(part) or is_companion(part) for part in name.split("/")):
            digest.update(f"{name}\0{blob.size}\0{blob.etag}\n".encode())
            empty = False
    return "" if empty else digest.hexdigest()[:16]


def _seconds_ago(blobs: "Iterable[BlobProperties]") -> float:
    now = datetime.now(UTC)
    # Absolute: a clock that differs from Azure's must not make files look new until that moment comes.
    return min(abs((now - blob.last_modified).total_seconds()) for blob in blobs)


def _sha256(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
