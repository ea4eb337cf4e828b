"""The emulator's own way to the blob store: straight to Azurite, past the proxy."""

import shutil
import threading
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from urllib.parse import quote

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import BlobServiceClient, ContainerClient, generate_blob_sas, generate_container_sas


class Blobs:
    """Containers and blobs of the one storage account.

    Parameters
    ----------
    endpoint
        Azurite's address on loopback, without the account.
    account, key
        The storage account and its key.
    bundle
        The certificate authority that signed Azurite's certificate.
    kept
        Folder for what was brought once and does not change.
    """

    def __init__(self, endpoint: str, account: str, key: str, bundle: Path, kept: Path) -> None:
        self.account = account
        self.key = key
        self._kept = kept
        self._keeping = threading.Lock()
        self._service = BlobServiceClient(
            f"{endpoint}/{account}",
            credential={"account_name": account, "account_key": key},
            connection_verify=str(bundle),
            use_env_settings=False,
        )

    def container(self, name: str) -> ContainerClient:
        """Return the SDK's client of a container, for whatever this class has no method for."""
        return self._service.get_container_client(name)

    def create_container(self, name: str) -> None:
        """Make a container unless it is there."""
        try:
            self.container(name).create_container()
        except ResourceExistsError:
            return

    def has_container(self, name: str) -> bool:
        """Whether the container is there."""
        return self.container(name).exists()

    def exists(self, container: str, path: str) -> bool:
        """Whether there is a blob of that name."""
        return self.container(container).get_blob_client(path).exists()

    def names(self, container: str, prefix: str = "") -> Iterator[str]:
        """Name the blobs that begin with the prefix, in order."""
        return iter(self.container(container).list_blob_names(name_starts_with=prefix))

    def read(self, container: str, path: str) -> bytes:
        """Return what a blob holds."""
        return self.container(container).download_blob(path).readall()

    def write(self, container: str, path: str, data: bytes | IO[Any]) -> None:
        """Store a blob, over an older one of that name."""
        self.container(container).upload_blob(path, data, overwrite=True)

    def append(self, container: str, path: str, data: bytes) -> None:
        """Add to the end of an append blob, made when it is not there."""
        blob = self.container(container).get_blob_client(path)
        if not blob.exists():
            blob.create_append_blob()
        if data:
            blob.append_block(data)

    def download(self, container: str, path: str, target: Path) -> bool:
        """Bring a blob, or every blob below a folder, to `target`; False when there is neither."""
        if path.strip("/") and self.exists(container, path.strip("/")):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(container, path.strip("/")))
            return True
        folder = f"{path.strip('/')}/" if path.strip("/") else ""
        found = False
        for name in self.names(container, folder):
            found = True
            file = target / name.removeprefix(folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.read(container, name))
        return found

    def bring_code(self, container: str, path: str, target: Path) -> None:
        """Bring a version of code, hundreds of files that never change: read once, and copied from then on."""
        folder = self._kept / container / path.strip("/")
        with self._keeping:
            if not folder.exists():
                folder.parent.mkdir(parents=True, exist_ok=True)
                with TemporaryDirectory(dir=self._kept) as temporary:
                    self.download(container, path, Path(temporary))
                    shutil.copytree(temporary, folder)
        shutil.copytree(folder, target, dirs_exist_ok=True)

    def upload(self, source: Path, container: str, path: str, *, leave_out: Collection[Path] = ()) -> None:
        """Store a file as the blob `path`, or every file of a folder below it."""
        if source in leave_out:
            return
        if source.is_file():
            with source.open("rb") as data:
                self.write(container, path, data)
            return
        for file in sorted(source.rglob("*")):
            if file.is_file() and file not in leave_out:
                with file.open("rb") as data:
                    self.write(container, f"{path.strip('/')}/{file.relative_to(source).as_posix()}", data)

    def url(self, container: str, path: str) -> str:
        """Return a blob's address as clients know it, unsigned."""
        return f"https://{self.account}.blob.core.windows.net/{container}/{quote(path)}"

    def signed_url(self, container: str, path: str, *, permission: str = "r", hours: float = 1) -> str:
        """Return a blob's address with a shared access signature."""
        signature = generate_blob_sas(
            self.account,
            container,
            path,
            account_key=self.key,
            permission=permission,
            expiry=datetime.now(UTC) + timedelta(hours=hours),
        )
        return f"{self.url(container, path)}?{signature}"

    def container_signature(self, container: str, *, permission: str = "rwl", hours: float = 1) -> str:
        """Return a shared access signature of a whole container."""
        return generate_container_sas(
            self.account,
            container,
            account_key=self.key,
            permission=permission,
            expiry=datetime.now(UTC) + timedelta(hours=hours),
        )
