"""Storage in a folder of this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import Field

from credit_default.core import lake
from credit_default.core.system_errors import explained
from credit_default.errors import NotThere, StorageError
from credit_default.ports import DirEntry, FolderState, Storage, StoredFile
from credit_default.resources.local import folders
from credit_default.settings import permissions

_LONGEST_WAIT_SECONDS = 300.0


class LocalStorage(Storage):
    """Keys are paths below ``root``.

    Published files are hard links to a job's output where the file system allows it, so publishing costs nothing
    and the output stays whole for a run that has to publish again after a crash.
    """

    root: str = Field(description="Folder of every table, model and report.")

    def path(self, key: str) -> Path:
        """Return the path of a key."""
        return Path(self.root) / lake.checked_key(key)

    def uri(self, key: str) -> str:  # noqa: D102 - see the port
        return self.path(key).absolute().as_uri()

    def exists(self, key: str) -> bool:  # noqa: D102 - see the port
        return self.path(key).exists()

    def entries(self, key: str) -> list[DirEntry]:  # noqa: D102 - see the port
        try:
            found = folders.scan(self.path(key), follow=True).entries
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"{self.path(key)}: {folders.describe_problem(error)}") from error
        return [
            DirEntry(name, stat.S_ISDIR(status.st_mode), status.st_size, stat.S_ISLNK(status.st_mode))
            for name, status in found.items()
        ]

    def files(self, key: str) -> Iterator[StoredFile]:  # noqa: D102 - see the port
        unlisted: list[OSError] = []
        for folder, _, names in os.walk(self.path(key), onerror=unlisted.append):
            for path in (Path(folder, name) for name in sorted(names)):
                try:
                    status = path.lstat()
                except OSError as error:
                    unlisted.append(error)
                    continue
                if stat.S_ISREG(status.st_mode):
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield StoredFile(path.relative_to(self.root).as_posix(), status.st_size, modified)
        for problem in unlisted:
            if not isinstance(problem, FileNotFoundError | NotADirectoryError):  # removed meanwhile
                raise StorageError(f"{problem.filename}: {folders.describe_problem(problem)}") from problem

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
        # Retention counts from the last time it was replaced; the time when it was made is in the table.
        self.path(kept).touch()

    def remove(self, key: str) -> None:  # noqa: D102 - see the port
        self.path(key).unlink(missing_ok=True)

    def fingerprint(self, key: str) -> str:  # noqa: D102 - see the port
        try:
            return folders.scan(self.path(key), follow=True).fingerprint()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            raise StorageError(f"{self.path(key)}: {folders.describe_problem(error)}") from error

    def changes(self, key: str, names: Collection[str]) -> Mapping[str, FolderState]:  # noqa: D102 - see the port
        found = {}
        for name in names:
            path = self.path(f"{key}/{name}")
            try:
                state = folders.scan(path)
                found[name] = FolderState(state.fingerprint(), state.seconds_ago())
            except FileNotFoundError:
                continue
            except OSError as error:
                if not folders.is_plain_file(path):
                    found[name] = FolderState("", 0.0, folders.describe_problem(error, path))
        return found

    @contextmanager
    def held(self, key: str) -> Iterator[None]:  # noqa: D102 - see the port
        path = self.path(f"{lake.LOCKS}/{key}.lock")
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

    @contextmanager
    def _staged(self, target: Path) -> Iterator[Path]:
        """Yield a fresh path in the same file system, within which ``os.replace`` is atomic, and leave nothing there.

        It is apart from the tables, so that a crash leaves nothing among them.
        """
        staging = self.path(lake.STAGING)
        staging.mkdir(parents=True, exist_ok=True)
        if target.is_relative_to(self.path(lake.LANDING)):
            # Others deliver there, too: a day that we begin must not shut them out.
            permissions.make_like_parent(target.parent)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
        path = staging / uuid.uuid4().hex
        try:
            yield path
        finally:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copy2(source, target)
    return target
