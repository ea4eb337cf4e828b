"""Landing folders: which files are in one, opened so that nothing leads out of it and nothing but files is read.

Only regular files below the landing root count. Every link below the root is refused, to a day as to a file; the root
and whatever is above it may be links. A file is opened without following links, from the descriptor of its folder, and
its kind is looked at again on the descriptor: what was put in its place meanwhile is refused too.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from credit_default.core.files.companions import DATA_SUFFIXES, companion_reason, is_hidden
from credit_default.core.plurals import verb
from credit_default.core.printable import printable, shortlist
from credit_default.errors import NotThere, UnreadableFile

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A pipe that took the place of the file since it was looked at must not block.
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class Landed:
    """Content of a landing folder.

    ``files`` are to be read, by name. ``companions`` maps the printable name of each other file to why it is not.
    """

    files: tuple[Path, ...] = ()
    companions: Mapping[str, str] = field(default_factory=dict)


def list_landed(root: Path, *below: str) -> Landed:
    """List what landed in a folder; nothing when there is no such folder.

    Hidden files are left out: tools put their markers there. Those with the suffix of data and companions of data files
    are named and not read. All else counts, so that a file which cannot be read is reported and never overlooked.

    Parameters
    ----------
    root
        Folder below which no link is followed.
    below
        Names of the folders that lead from the root to the one to list.

    Raises
    ------
    UnreadableFile
        There is something else than a folder in its place, or a file has a name that is not UTF-8.
    """
    folder = root.joinpath(*below)
    try:
        with _opened_folder(root, below) as descriptor, os.scandir(descriptor) as entries:
            names = sorted(entry.name for entry in entries if not is_hidden(entry.name) or _looks_like_data(entry.name))
    except FileNotFoundError:
        if not os.path.lexists(folder):
            return Landed()
        raise UnreadableFile(f"{printable(str(folder))}: the link leads nowhere; expected a folder.") from None
    except OSError as error:
        got = f"{printable(str(folder))}: cannot be listed ({_reason(error)})"
        raise UnreadableFile(f"{got}; expected a folder with CSV or Parquet files.") from None
    companions = {printable(name): reason for name in names if (reason := companion_reason(name))}
    files = [name for name in names if not companion_reason(name)]
    undecodable = [printable(name) for name in files if not _is_utf8(name)]
    if undecodable:
        listed = shortlist(undecodable, len(undecodable))
        names_are = verb(len(undecodable), "name is", "names are")
        raise UnreadableFile(
            f"{listed}: the {names_are} not UTF-8; rename the {verb(len(undecodable), 'file', 'files')}."
        )
    return Landed(tuple(folder / name for name in files), companions)


@contextmanager
def open_regular(
    path: Path, *, root: Path | None = None, follow_links: bool = False
) -> Iterator[tuple[BufferedReader, int]]:
    """Open a regular file for reading; gives the stream and the size that the file had then.

    Parameters
    ----------
    root
        Folder below which no link is followed; the folder of the file unless given.
    follow_links
        Whether the file, and any folder above it, may be a link: for a file that a person names.

    Raises
    ------
    UnreadableFile
        It is no regular file, or cannot be read.
    NotThere
        There is no such file.
    """
    name = printable(path.name)
    root = root or path.parent
    try:
        if follow_links:
            _refuse_kind(name, path.stat())
            descriptor = os.open(path, _FILE)
        else:
            with _opened_folder(root, path.parent.relative_to(root).parts) as folder:
                _refuse_kind(name, os.stat(path.name, dir_fd=folder, follow_symlinks=False))
                descriptor = os.open(path.name, _FILE | os.O_NOFOLLOW, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            _refuse_kind(name, status)
            yield stream, status.st_size
    except FileNotFoundError:
        state = "is a link that leads nowhere" if path.is_symlink() else f"is not in {printable(str(path.parent))}"
        raise NotThere(f"{name} {state}; expected a CSV or Parquet file.") from None
    except OSError as error:
        raise UnreadableFile(f"{name}: cannot be read: {_reason(error)}.") from None


def sha256_of(path: Path, *, follow_links: bool = True) -> str:
    """Return the sha256 of a regular file, by which a file that was edited is found.

    Raises
    ------
    UnreadableFile
        It is no regular file, or cannot be read.
    """
    with open_regular(path, follow_links=follow_links) as (stream, _):
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _opened_folder(root: Path, below: Sequence[str]) -> Iterator[int]:
    descriptor = os.open(root, _FOLDER)
    try:
        for name in below:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                raise UnreadableFile(
                    f"{printable(str(root / name))}: is {_kind(status)}; expected a folder with CSV or Parquet files."
                )
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_kind(name: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        more = "; put the file itself here." if stat.S_ISLNK(status.st_mode) else "; expected a CSV or Parquet file."
        raise UnreadableFile(f"{name}: is {_kind(status)}{more}")


def _kind(status: os.stat_result) -> str:
    return next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), "a file")


def _looks_like_data(name: str) -> bool:
    return name.lower().endswith(DATA_SUFFIXES)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: OSError) -> str:
    """Return the system's words for an error, without the path that it is about."""
    return (error.strerror or type(error).__name__).lower()
