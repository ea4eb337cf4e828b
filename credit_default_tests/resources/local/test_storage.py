"""What is special about storage in a folder: links, clocks, and odd entries that no program of ours left there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from credit_default.resources.local.storage import LocalStorage


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    return LocalStorage(root=str(tmp_path / "lake"))


@pytest.fixture
def staged(tmp_path):
    """A job's output file."""

    def make(content: bytes) -> str:
        path = tmp_path / "jobs" / f"staged-{len(list(tmp_path.glob('jobs/*')))}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return str(path)

    return make


@pytest.fixture
def day(storage):
    folder = storage.path("landing/day")
    folder.mkdir(parents=True)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(name)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    return folder


def test_a_published_file_is_a_link_and_nothing_is_left_in_staging(storage, staged, tmp_path):
    file = staged(b"content")
    storage.publish(file, "a/b")
    storage.publish(file, "a/b")
    assert storage.path("a/b").stat().st_ino == Path(file).stat().st_ino
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "model").write_bytes(b"model")
    storage.publish(str(folder), "models/abc")
    storage.publish(str(folder), "models/abc")
    assert storage.path("models/abc/model").stat().st_ino == (folder / "model").stat().st_ino
    assert storage.entries(".staging") == []


def test_what_is_on_disk_is_the_file_itself(storage):
    storage.write("a/b", b"x")
    with storage.on_disk("a") as folder:
        assert folder == storage.path("a")


def test_a_folder_of_this_machine_is_no_catalogue(storage):
    storage.write("a/b", b"x")
    assert storage.catalogue("name", "a/b", version="1") is None


def test_what_a_crash_left_in_staging_is_no_table(storage, staged, monkeypatch):
    storage.publish(staged(b"old"), "predictions/day/table")

    def power_cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(storage.path("x")), "replace", power_cut)
        with pytest.raises(KeyboardInterrupt):
            storage.publish(staged(b"new"), "predictions/day/table")
    assert storage.read("predictions/day/table") == b"old"
    assert [entry.name for entry in storage.entries("predictions/day")] == ["table"]
    storage.publish(staged(b"new"), "predictions/day/table")
    assert storage.read("predictions/day/table") == b"new"


def test_an_address_is_a_file_uri(storage):
    assert storage.uri("a b/c.parquet").startswith("file:///")
    assert storage.uri("a b/c.parquet").endswith("/lake/a%20b/c.parquet")


def test_a_link_counts_by_itself_and_not_by_what_it_leads_to(storage, day, tmp_path):
    (tmp_path / "elsewhere.csv").write_text("x")
    before = storage.fingerprint("landing/day")
    (day / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    linked = storage.fingerprint("landing/day")
    assert linked != before
    (tmp_path / "elsewhere.csv").write_text("a longer content")
    assert storage.fingerprint("landing/day") == linked


def test_content_that_changed_is_seen_though_size_and_time_were_put_back(storage, day):
    before = storage.fingerprint("landing/day")
    status = (day / "a.csv").stat()
    (day / "a.csv").write_text("A.CSV")
    os.utime(day / "a.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert storage.fingerprint("landing/day") != before
    # What earlier versions recorded is the beginning, so days that they scored are not scored again.
    assert storage.fingerprint("landing/day")[:16] == before[:16]


def test_the_landing_folder_may_be_a_link_and_a_day_may_not(storage, day, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (storage.path("landing").rename(tmp_path / "elsewhere" / "landing"))
    storage.path("landing").symlink_to(tmp_path / "elsewhere" / "landing")
    storage.path("landing/linked").symlink_to(tmp_path / "elsewhere" / "landing" / "day")
    found = storage.changes("landing", ["day", "linked"])
    assert found["day"].problem is None
    assert found["linked"].problem.startswith("a link, and links are not followed")
    assert [(entry.name, entry.is_folder, entry.is_link) for entry in storage.entries("landing")] == [
        ("day", True, False),
        ("linked", False, True),
    ]


LOOK = """
import os, sys
from pathlib import Path
from credit_default.errors import StorageError
from credit_default.resources.local.storage import LocalStorage

if os.getuid() == 0:  # whom modes do not stop
    os.setuid(65534)
storage = LocalStorage(root=sys.argv[1])
for name, change in storage.changes("landing", ["day", "unreadable", "closed"]).items():
    print(name, change.problem)
try:
    storage.entries("landing/unreadable")
except StorageError as error:
    print(error)
files = []
try:
    files.extend(storage.files("landing"))
except StorageError as error:
    print(error)
print([file.key for file in files])
try:
    print(list(storage.files("landing/unreadable")))
except StorageError as error:
    print(error)
"""


def test_a_day_that_may_not_be_read_is_a_problem_of_its_own(storage, day):
    closed = {storage.path("landing/unreadable"): 0o000, storage.path("landing/closed"): 0o444}
    for folder, mode in closed.items():  # the second may be listed and not looked into
        folder.mkdir()
        (folder / "clients.csv").write_text("client_id")
        folder.chmod(mode)
    for folder in (day, *day.parents):
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & stat.S_ISVTX:
            folder.chmod(folder.stat().st_mode | 0o755)
    looked = subprocess.run([sys.executable, "-c", LOOK, storage.root], capture_output=True, text=True, check=False)
    for folder in closed:
        folder.chmod(0o755)
    assert looked.returncode == 0, looked.stderr
    told = "this user may not read it; give the user that runs the platform the right to read the folder"
    *printed, not_listed, files, unreadable = looked.stdout.splitlines()
    assert not_listed.endswith(told)
    assert unreadable == f"{storage.path('landing/unreadable')}: {told}"
    assert files == "['landing/day/a.csv', 'landing/day/b.csv']"  # the others, all the same
    assert printed == [
        "day None",
        f"unreadable {told}",
        f"closed {told}",
        f"{storage.path('landing/unreadable')}: {told}",
    ]


@pytest.mark.parametrize("odd", ["a dangling link", "a link to itself", "a folder"])
def test_odd_entries_are_listed_and_part_of_the_fingerprint(storage, day, odd):
    before = storage.fingerprint("landing/day")
    path = day / "x.csv"
    if odd == "a dangling link":
        path.symlink_to(day / "nowhere")
    elif odd == "a link to itself":
        path.symlink_to(path)
    else:
        path.mkdir()
    entries = {entry.name: entry for entry in storage.entries("landing/day")}
    assert entries["x.csv"].is_folder == (odd == "a folder")
    assert not entries["a.csv"].is_folder
    assert entries["a.csv"].size == len("a.csv")
    assert storage.fingerprint("landing/day") != before
    assert storage.changes("landing", ["day"])["day"].seconds_ago < 60


def test_seconds_since_change_is_that_of_the_youngest(storage, day):
    os.utime(day, (1_700_000_000, 1_700_000_000))
    assert storage.changes("landing", ["day"])["day"].seconds_ago > 1_000_000
    (day / "a.csv").write_text("now")
    assert storage.changes("landing", ["day"])["day"].seconds_ago < 60


def test_an_empty_folder_has_no_fingerprint_and_a_touched_file_another(storage, day):
    storage.path("landing/empty").mkdir()
    assert storage.fingerprint("landing/empty") == ""
    assert storage.changes("landing", ["empty"])["empty"].fingerprint == ""
    assert storage.changes("landing", ["missing"]) == {}
    before = storage.fingerprint("landing/day")
    os.utime(day / "b.csv", (1_700_000_001, 1_700_000_001))
    assert storage.fingerprint("landing/day") != before
