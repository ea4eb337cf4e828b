"""What is special about storage in a folder: links, clocks, and odd entries that no program of ours left there."""

from __future__ import annotations

import os
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


def test_a_fingerprint_follows_a_link_to_the_file_that_changes(storage, day, tmp_path):
    (tmp_path / "elsewhere.csv").write_text("x")
    (day / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    before = storage.fingerprint("landing/day")
    (tmp_path / "elsewhere.csv").write_text("a longer content")
    assert storage.fingerprint("landing/day") != before


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
    assert storage.changes("landing", ["empty"]) == {}
    before = storage.fingerprint("landing/day")
    os.utime(day / "b.csv", (1_700_000_001, 1_700_000_001))
    assert storage.fingerprint("landing/day") != before
