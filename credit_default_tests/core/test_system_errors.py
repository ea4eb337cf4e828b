"""Full disks and databases that are locked or damaged: what is said of them, whichever library met them."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy

from credit_default.core import patient_sqlite
from credit_default.core.system_errors import explain, explained, must_be_a_database, retried
from credit_default.errors import DamagedFile, DatabaseLocked, DiskFull, StorageError


@pytest.fixture
def database(tmp_path) -> Path:
    path = tmp_path / "some.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    return path


def engine_of(database: Path) -> sqlalchemy.Engine:
    patient_sqlite.install()
    patient_sqlite.install()
    return sqlalchemy.create_engine(f"sqlite:///{database}")


def refused_by_the_system(number: int, below: int = 0) -> None:
    """Raise what the system does, as the cause of so many errors of libraries."""
    if not below:
        raise OSError(number, os.strerror(number))
    try:
        refused_by_the_system(number, below - 1)
    except Exception as error:
        raise RuntimeError("something of a library") from error


@pytest.mark.parametrize("below", [0, 2])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_called_so_with_the_path_and_the_free_space(tmp_path, number, below):
    target = tmp_path / "not there yet" / "predictions.parquet"
    words = r"no space left to write .*predictions\.parquet.*: [\d,.]+ MB are free there"
    with pytest.raises(DiskFull, match=words), explained(target):
        refused_by_the_system(number, below)


def test_every_other_error_stays_what_it_is(tmp_path):
    assert explain(FileNotFoundError(errno.ENOENT, "no such file")) is None
    with pytest.raises(KeyError), explained(tmp_path):
        raise KeyError("x")
    with pytest.raises(sqlite3.OperationalError, match="no such table"), explained(tmp_path):
        sqlite3.connect(":memory:").execute("SELECT * FROM t")


def test_a_database_waits_a_minute_for_others_and_says_which_one_it_is(database):
    engine = engine_of(database)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 60_000
    database.write_bytes(b"garbage" * 1000)
    words = rf"{database.name} is damaged \(file is not a database\)"
    with pytest.raises(DamagedFile, match=words), explained(), engine.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM t")


def test_a_locked_database_is_tried_again_until_it_is_let_go(database):
    holder = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    timer = threading.Timer(1.0, lambda: holder.execute("COMMIT"))
    timer.start()
    tries = []

    def write() -> None:
        tries.append(1)
        with sqlite3.connect(database, timeout=0) as connection:
            connection.execute("INSERT INTO t VALUES (1)")

    retried(write)
    timer.join()
    assert len(tries) > 1
    assert sqlite3.connect(database).execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_database_that_stays_locked_is_called_so(database, monkeypatch):
    monkeypatch.setattr("credit_default.core.system_errors.LOCK_TIMEOUT_SECONDS", 0.2)
    holder = sqlite3.connect(database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DatabaseLocked, match=r"some\.db was locked by another process for 0\.2 s"):
        must_be_a_database(database)
    holder.execute("COMMIT")
    must_be_a_database(database)


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\0" * 50])
def test_what_is_no_database_is_called_so(database, content):
    database.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"some\.db is damaged"):
        must_be_a_database(database)


def test_a_database_that_is_not_there_yet_is_none_of_its_business(tmp_path):
    must_be_a_database(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free", "kind"), [(0, DiskFull), (10_000, StorageError)])
def test_a_file_beside_a_database_that_cannot_grow_is_a_full_disk_too(database, monkeypatch, free, kind):
    status = os.statvfs(database)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=status.f_frsize))
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    found = explain(error, database)
    assert type(found) is kind
    assert str(database) in str(found)


def test_a_database_that_cannot_grow_is_called_a_full_disk(database):
    words = r"no space left to write .*some\.db"
    with engine_of(database).connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 3")
        with pytest.raises(DiskFull, match=words), explained():
            connection.exec_driver_sql("INSERT INTO t VALUES (randomblob(100000))")


#: Writes 200 kB in each of the ways that this project has, and tells what came of it.
_WRITE = """
import json, secrets, sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from credit_default.core import tables
from credit_default.core.contract import contract
from credit_default.core.files.raw_file import RawFile
from credit_default.core.contract.rejected import Rejected
from credit_default.telemetry.records import TraceRecord
from credit_default.resources.local.storage import LocalStorage
from credit_default.telemetry.traces import TraceLog
from credit_default.steps._daily import write_result

root = Path(sys.argv[1])
storage, text = LocalStorage(root=str(root)), secrets.token_hex(100_000)
table = pa.table({"a": pa.array([text[n : n + 50] for n in range(0, 200_000, 50)])})
rejected = Rejected()
rejected.add(RawFile("a.csv", table, np.arange(len(table)), None), [("rule", np.ones(len(table), bool))])
tries = {
    "storage": lambda: storage.write("a/b.json", text.encode()),
    "published": lambda: storage.publish(sys.argv[2], "a/published.bin"),
    "table": lambda: tables.write(table, root / "t/table.parquet"),
    "rejected": lambda: contract.write_rejected(rejected, root / "r/rejected.csv"),
    "result": lambda: write_result(root / "d/drift.json", {"a": text}),
    "telemetry": lambda: TraceLog(root / "telemetry/traces.jsonl").append(
        [TraceRecord(message=text, severity_level=1, custom_dimensions={})]
    ),
}
told = {}
for name, write in tries.items():
    try:
        write()
    except Exception as error:
        told[name] = [type(error).__name__, str(error)]
    for path in sorted(root.rglob("*"), reverse=True):  # make room for the next
        path.rmdir() if path.is_dir() else path.unlink()
print(json.dumps(told))
"""


def _on_a_full_disk(command: list[str], disk: Path) -> tuple[subprocess.CompletedProcess[str], bool]:
    """Run a program that has 64 kB to write to below a folder.

    It gets a small file system of its own where that may be mounted, and else files of 64 kB at most; says which.
    """
    refused = 99
    mount = 'mount -t tmpfs -o size=64k tmpfs "$0" 2>/dev/null || exit 99; exec "$@"'

    def run(*words: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, capture_output=True, text=True, check=False, **more)

    if shutil.which("unshare"):
        done = run("unshare", "-m", "sh", "-c", mount, str(disk), *command)
        if done.returncode not in (refused, 1) or done.stdout:
            return done, True
    limit = (64 * 1024, 64 * 1024)
    return run(*command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)), False


def test_whatever_writes_to_a_full_disk_says_so_with_path_and_free_space(tmp_path):
    disk, staged = tmp_path / "disk", tmp_path / "staged.bin"
    disk.mkdir()
    staged.write_bytes(b"x" * 200_000)
    done, own_disk = _on_a_full_disk([sys.executable, "-c", _WRITE, str(disk), str(staged)], disk)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    # On one and the same file system what is published is a link and takes no room.
    published = {"published"} if own_disk else set()
    assert set(told) == {"storage", "table", "rejected", "result", "telemetry", *published}
    for name, (kind, words) in told.items():
        assert kind == "DiskFull", (name, words)
        assert words.startswith(f"There is no space left to write {disk}/"), name
        assert "MB are free there" in words


def test_a_database_whose_writer_was_killed_is_rolled_back_and_read(tmp_path):
    writer = sqlite3.connect(tmp_path / "writing.db", isolation_level=None)
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("CREATE TABLE figures (value TEXT)")
    writer.executemany("INSERT INTO figures VALUES (?)", [("before" * 500,)] * 50)
    writer.execute("BEGIN")
    writer.execute("UPDATE figures SET value = replace(value, 'before', 'unfinished')")
    # Pages that did not fit into the cache are in the file already, and what they replaced is in the journal.
    for suffix in ("", "-journal"):
        shutil.copyfile(tmp_path / f"writing.db{suffix}", tmp_path / f"killed.db{suffix}")
    writer.close()
    must_be_a_database(tmp_path / "killed.db")
    assert not (tmp_path / "killed.db-journal").exists()
    found = sqlite3.connect(tmp_path / "killed.db").execute("SELECT DISTINCT value FROM figures").fetchall()
    assert found == [("before" * 500,)]
