"""Lists a folder that others write to, without following a link in it or opening a file of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from credit_default.core.files.companions import is_companion, is_hidden


@dataclass(frozen=True)
class FolderState:
    """A folder and what lies directly in it, by name; links stand for themselves."""

    folder: os.stat_result
    entries: dict[str, os.stat_result]

    def fingerprint(self) -> str:
        """Return a hash of the data files' names and states; empty when there is none.

        The first half follows names, sizes and times of modification. The second half follows times of change, which
        no program can put back, and kinds: it tells content that changed while size and time of modification did not.
        A change of owner or mode, and a copy or restored backup of the folder, show there too.
        """
        content, state = hashlib.sha256(), hashlib.sha256()
        found = {
            name: status for name, status in self.entries.items() if not is_hidden(name) and not is_companion(name)
        }
        for name, status in found.items():
            # Linux keeps names as bytes, and not all of them are UTF-8.
            content.update(os.fsencode(name) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
            state.update(f"{stat.S_IFMT(status.st_mode)}\0{status.st_ctime_ns}\n".encode())
        return content.hexdigest()[:16] + state.hexdigest()[:16] if found else ""

    def seconds_ago(self) -> float:
        """Return how long ago the folder, or an entry of it, was last modified."""
        now = time.time()
        # Absolute: files of a machine whose clock runs ahead must not look new until that moment comes.
        return min(abs(now - status.st_mtime) for status in (self.folder, *self.entries.values()))


def scan(path: Path, *, follow: bool = False) -> FolderState:
    """List a folder.

    Parameters
    ----------
    follow
        Whether `path` itself may be a link.

    Raises
    ------
    OSError
        It is not there, is no folder, or may not be read.
    """
    # Opened before it is looked at, so that nobody can put a link in its place in between.
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        entries = {}
        with os.scandir(descriptor) as found:
            for entry in found:
                try:
                    entries[entry.name] = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it vanished since it was listed
        return FolderState(os.fstat(descriptor), dict(sorted(entries.items())))
    finally:
        os.close(descriptor)


def is_plain_file(path: Path) -> bool:
    """Whether there is a file in the place of a folder."""
    return _kind(path) == stat.S_IFREG


def describe_problem(error: OSError, path: Path | None = None) -> str:
    """Say why a folder cannot be listed, and what to do."""
    if path is not None and _kind(path) == stat.S_IFLNK:
        return "a link, and links are not followed; put the folder itself here"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "this user may not read it; give the user that runs the platform the right to read the folder"
    return f"cannot be listed ({os.strerror(error.errno or errno.EIO)}); look at the folder, or remove it"


def _kind(path: Path) -> int | None:
    """Return what is there, or None when nobody may know."""
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return None
