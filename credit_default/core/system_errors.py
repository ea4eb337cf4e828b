"""Names what the system refused: a full disk, and a database that is locked, damaged or read-only."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from credit_default.errors import DamagedFile, DatabaseLocked, DiskFull, StorageError

#: How long a database that another process holds is waited for.
LOCK_TIMEOUT_SECONDS = 60.0
_PAUSE_SECONDS = 0.5
#: The last of them is a limit that one process or file system sets for the size of files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: The file that SQLite keeps beside a database of several readers grows by so many.
_LEAST_FREE_BYTES = 32 * 1024
#: The last byte of an extended result code is the primary one.
_PRIMARY = 0xFF
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)

_Result = TypeVar("_Result")


def explain(error: BaseException, path: str | Path | None = None) -> StorageError | None:
    """Return what the system refused, by an error or what caused it; None when it is something else.

    Parameters
    ----------
    path
        What was written or opened; by default what the error says.
    """
    for one in _chain(error):
        if isinstance(one, StorageError):
            return one
        if isinstance(one, sqlite3.Error):
            found = _of_database(one, path)
            if found is not None:
                return found
        elif isinstance(one, OSError) and one.errno in _FULL:
            # A copy that has no room names the file that is copied.
            return _disk_full(path or one.filename)
    return None


@contextmanager
def explained(path: str | Path | None = None) -> Iterator[None]:
    """Raise what the system refused in our own words, and everything else as it is."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        found = explain(error, path)
        if found is None:
            raise
        raise found from error


def retried(work: Callable[[], _Result]) -> _Result:
    """Do something with a database, and again for a bounded time while another process holds it.

    SQLite waits by itself, but not where two transactions that have read want to write: it breaks off one of them.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            return work()
        except Exception as error:
            found = explain(error)
            if not isinstance(found, DatabaseLocked):
                raise
            if time.monotonic() > deadline:
                raise found from error
        time.sleep(_PAUSE_SECONDS)


def must_be_a_database(path: Path) -> None:
    """Look at the beginning of a SQLite database, if there is one.

    Raises
    ------
    DamagedFile
        It is none.
    DatabaseLocked
        Another process does not let go of it.
    """
    if not path.exists():
        return
    with explained(path):
        # "rw" makes no file, and rolls back what a killed process left, which "ro" refuses to do.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_SECONDS)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        finally:
            connection.close()


def _of_database(error: sqlite3.Error, path: str | Path | None) -> StorageError | None:
    # `patient_sqlite` notes of which database an error is.
    name = getattr(error, "database", None) or path or "A database of this home"
    code = getattr(error, "sqlite_errorcode", -1) & _PRIMARY
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseLocked(
            f"{name} was locked by another process for {LOCK_TIMEOUT_SECONDS:g} s; wait until that has ended, or end "
            "it, and run this again"
        )
    where = getattr(error, "database", None) or path
    # SQLite calls it an input/output error where it is the file beside a database that has no room to grow.
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(where)):
        return _disk_full(where)
    if code in _DAMAGED:
        return DamagedFile(f"{name} is damaged ({error}); put back a copy of it, or move it away to begin a new one")
    if code in _REFUSED:
        return StorageError(f"{name} cannot be used ({error}); look at its permissions and at the disk")
    return None


def _disk_full(path: object) -> DiskFull:
    """Return the error for a disk without space, with what is left of it."""
    free = _free_bytes(path)
    if free is None:
        return DiskFull("There is no space left on the disk, or the quota is used up; make room and run this again")
    return DiskFull(
        f"There is no space left to write {os.fsdecode(path)}, or the quota is used up: {free / 1024**2:,.1f} MB are "  # type: ignore[arg-type]
        "free there; make room and run this again"
    )


def _is_full(path: object) -> bool:
    free = _free_bytes(path)
    return free is not None and free < _LEAST_FREE_BYTES


def _free_bytes(path: object) -> int | None:
    """Return how much is free where a path is, or would be; None for what is no path."""
    where = Path(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else None
    there = next((one for one in (where, *where.parents) if one.exists()), None) if where is not None else None
    if there is None:
        return None
    status = os.statvfs(there)
    return status.f_bavail * status.f_frsize


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it; SQLAlchemy keeps the database's own as `orig`."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [getattr(one, "orig", None), one.__cause__, one.__context__]
