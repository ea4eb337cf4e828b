"""Storage in a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import Field

from credit_default import permissions
from credit_default.errors import NotThere, StorageError
from credit_default.resources.local import folders
from credit_default.resources.ports import Change, Entry, Storage

_LONGEST_WAIT_SECONDS = 300.0
#: Folder in which files from outside arrive.
_LANDING = "landing"


class LocalStorage(Storage):
    """Keys are paths below ``root``.

    Published files are hard links to a job's output where the file system allows it, so publishing costs nothing
    and the output stays whole for a run that has to publish again after a crash.
    """

    root: str = Field(description="Folder of every table, model and report.")

    def path(self, key: str) -> Path:
        """Return the path of a key."""
        return Path(self.root) / key

    def uri(self, key: str) -> str:  # noqa: D102 - see the port
        return self.path(key).absolute().as_uri()

    def exists(self, key: str) -> bool:  # noqa: D102 - see the port
        return self.path(key).exists()

    def entries(self, key: str) -> list[Entry]:  # noqa: D102 - see the port
        try:
            found = folders.scan(self.path(key), follow=True).entries
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"{self.path(key)}: {folders.describe_problem(error)}") from error
        return [
            Entry(name, stat.S_ISDIR(status.st_mode), status.st_size, stat.S_ISLNK(status.st_mode))
            for name, status in found.items()
        ]

    def read(self, key: str) -> bytes:  # noqa: D102 - see the port
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError as error:
            raise self._not_there(key) from error

    def write(self, key: str, content: bytes) -> None:  # noqa: D102 - see the port
        target = self.path(key)
        temporary = self._temporary_for(target)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)

    def publish(self, staged: str, key: str) -> None:  # noqa: D102 - see the port
        source, target = Path(staged), self.path(key)
        if not source.is_dir():
            temporary = self._temporary_for(target)
            _link(str(source), str(temporary))
            temporary.replace(target)
            # Replacing a file by a link to itself does nothing (POSIX), and leaves the link.
            temporary.unlink(missing_ok=True)
        elif not target.exists():
            temporary = self._temporary_for(target)
            shutil.copytree(source, temporary, copy_function=_link)
            try:
                temporary.rename(target)
            except OSError:
                # Another run published the same immutable folder in between.
                shutil.rmtree(temporary)
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
        try:
            return folders.scan(self.path(key), follow=True).fingerprint()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            raise StorageError(f"{self.path(key)}: {folders.describe_problem(error)}") from error

    def changes(self, key: str, names: Collection[str]) -> Mapping[str, Change]:  # noqa: D102 - see the port
        found = {}
        for name in names:
            path = self.path(f"{key}/{name}")
            try:
                state = folders.scan(path)
                found[name] = Change(state.fingerprint(), state.seconds_ago())
            except FileNotFoundError:
                continue
            except OSError as error:
                if not folders.is_plain_file(path):
                    found[name] = Change("", 0.0, folders.describe_problem(error, path))
        return found

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

    def _not_there(self, key: str) -> NotThere:
        return NotThere(f"{key} is not in storage ({self.root}); materialise the asset that makes it")

    def _temporary_for(self, target: Path) -> Path:
        """Return a fresh path in the same file system, within which ``os.replace`` is atomic.

        It is apart from the tables, so that a crash leaves nothing among them.
        """
        staging = self.path(".staging")
        staging.mkdir(parents=True, exist_ok=True)
        if target.is_relative_to(self.path(_LANDING)):
            # Others deliver there, too: a day that we begin must not shut them out.
            permissions.make_like_parent(target.parent)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
        return staging / uuid.uuid4().hex


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copy2(source, target)
    return target
