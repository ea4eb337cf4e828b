"""Storage in a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import Field

from credit_default.core.keys import checked_key
from credit_default.core.system_errors import explained
from credit_default.errors import NotThere, StorageError
from credit_default.resources.ports import Change, Entry, Storage

_LONGEST_WAIT_SECONDS = 300.0


class LocalStorage(Storage):
    """Keys are paths below ``root``.

    Published files are hard links to a job's output where the file system allows it, so publishing costs nothing
    and the output stays whole for a run that has to publish again after a crash.
    """

    root: str = Field(description="Folder of every table, model and report.")

    def path(self, key: str) -> Path:
        """Return the path of a key."""
        return Path(self.root) / checked_key(key)

    def uri(self, key: str) -> str:  # noqa: D102 - see the port
        return self.path(key).absolute().as_uri()

    def exists(self, key: str) -> bool:  # noqa: D102 - see the port
        return self.path(key).exists()

    def entries(self, key: str) -> list[Entry]:  # noqa: D102 - see the port
        try:
            with os.scandir(self.path(key)) as found:
                entries = [entry for item in found if (entry := _entry(item)) is not None]
                return sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, key: str) -> bytes:  # noqa: D102 - see the port
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError as error:
            raise self._not_there(key) from error

    def write(self, key: str, content: bytes) -> None:  # noqa: D102 - see the port
        target = self.path(key)
        with explained(target), self._staged(target) as temporary:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(target)

    def publish(self, staged: str, key: str) -> None:  # noqa: D102 - see the port
        with explained(self.path(key)):
            self._publish(Path(staged), self.path(key))

    def _publish(self, source: Path, target: Path) -> None:
        if not source.is_dir():
            with self._staged(target) as temporary:
                # Replacing a file by a link to itself does nothing (POSIX), and leaves the link.
                _link(str(source), str(temporary))
                temporary.replace(target)
        elif not target.exists():
            with self._staged(target) as temporary:
                shutil.copytree(source, temporary, copy_function=_link)
                try:
                    temporary.rename(target)
                except OSError:
                    # Another run published the same immutable folder in between.
                    if not target.exists():
                        raise

    def preserve(self, key: str, into: str) -> None:  # noqa: D102 - see the port
        present = self.path(key)
        if not present.exists():
            return
        with present.open("rb") as stream:
            name = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
        kept = f"{into}/{name}{present.suffix}"
        if not self.exists(kept):
            self.publish(str(present), kept)

    def remove(self, key: str) -> None:  # noqa: D102 - see the port
        self.path(key).unlink(missing_ok=True)

    def fingerprint(self, key: str) -> str:  # noqa: D102 - see the port
        # Hidden files, such as an editor or a file manager leaves, are never read and change nothing.
        found = [entry for entry in self.entries(key) if not entry.name.startswith((".", "_"))]
        if not found:
            return ""
        digest = hashlib.sha256()
        for entry in found:
            status = _status(self.path(key) / entry.name)
            told = f"{status.st_size}\0{status.st_mtime_ns}" if status else "gone"
            digest.update(f"{entry.name}\0{told}\n".encode())
        return digest.hexdigest()[:16]

    def changes(self, key: str, names: Collection[str]) -> Mapping[str, Change]:  # noqa: D102 - see the port
        found = ((name, self.fingerprint(f"{key}/{name}")) for name in names)
        return {
            name: Change(fingerprint, self._seconds_ago(f"{key}/{name}")) for name, fingerprint in found if fingerprint
        }

    @contextmanager
    def held(self, key: str) -> Iterator[None]:  # noqa: D102 - see the port
        path = self.path(f".locks/{key}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path, timeout=_LONGEST_WAIT_SECONDS):
                yield
        except Timeout as error:
            raise StorageError(
                f"{key} was held by another process for {_LONGEST_WAIT_SECONDS:g} s; look what that does, and run this "
                "again"
            ) from error

    @contextmanager
    def on_disk(self, key: str) -> Iterator[Path]:  # noqa: D102 - see the port
        path = self.path(key)
        if not path.exists():
            raise self._not_there(key)
        yield path

    def _seconds_ago(self, key: str) -> float:
        """Return how long ago a folder or a file directly in it last changed."""
        folder = self.path(key)
        paths = [folder, *(folder / entry.name for entry in self.entries(key))]
        now = time.time()
        # Absolute: files of a machine whose clock runs ahead must not look new until that moment comes.
        return min((abs(now - status.st_mtime) for path in paths if (status := _status(path))), default=0.0)

    def _not_there(self, key: str) -> NotThere:
        return NotThere(f"{key} is not in storage ({self.root}); materialise the asset that makes it")

    @contextmanager
    def _staged(self, target: Path) -> Iterator[Path]:
        """Yield a fresh path in the same file system, within which ``os.replace`` is atomic, and leave nothing there.

        It is apart from the tables, so that a crash leaves nothing among them.
        """
        staging = self.path(".staging")
        staging.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        path = staging / uuid.uuid4().hex
        try:
            yield path
        finally:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _entry(item: os.DirEntry[str]) -> Entry | None:
    """Return an entry, or None when it vanished since it was listed."""
    try:
        size = item.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None
    try:
        return Entry(item.name, item.is_dir(), size)
    except OSError:
        return Entry(item.name, False, size)  # a link that leads to itself


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file, of the link when it leads nowhere, or None when nothing is there."""
    for status in (path.stat, path.lstat):
        try:
            return status()
        except OSError:
            continue
    return None


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copy2(source, target)
    return target
