"""What storage promises: whole or not at all, nothing lost, and no entry so odd that it stops anybody."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from credit_default.errors import NotThere
from credit_default.resources.local.storage import LocalStorage


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    return LocalStorage(root=str(tmp_path / "lake"))


@pytest.fixture
def staged(tmp_path):
    """A job's output file."""

    def make(content: bytes, name: str = "staged") -> str:
        path = tmp_path / "jobs" / f"{name}-{len(list(tmp_path.glob('jobs/*')))}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return str(path)

    return make


@pytest.fixture
def staged_folder(tmp_path):
    def make(name: str, **files: bytes) -> str:
        folder = tmp_path / name
        (folder / "nested").mkdir(parents=True)
        for file, content in files.items():
            (folder / "nested" / file).write_bytes(content)
        return str(folder)

    return make


def nothing_is_left_over(storage) -> bool:
    return storage.entries(".staging") == []


def test_a_published_file_replaces_what_was_there_and_leaves_the_jobs_output_whole(storage, staged):
    first, second = staged(b"first"), staged(b"second")
    storage.publish(first, "predictions/2026-01-01/predictions.parquet")
    storage.publish(second, "predictions/2026-01-01/predictions.parquet")
    assert storage.read("predictions/2026-01-01/predictions.parquet") == b"second"
    # A run that crashed before it recorded the day publishes again from there.
    assert Path(second).read_bytes() == b"second"
    assert Path(first).read_bytes() == b"first"
    assert [entry.name for entry in storage.entries("predictions/2026-01-01")] == ["predictions.parquet"]
    assert nothing_is_left_over(storage)


def test_the_same_file_may_be_published_twice(storage, staged):
    file = staged(b"content")
    storage.publish(file, "a/b")
    storage.publish(file, "a/b")
    assert storage.read("a/b") == b"content"
    assert nothing_is_left_over(storage)


@pytest.mark.parametrize("way", ["publish", "write"])
def test_a_reader_never_misses_a_file_and_never_sees_half_of_one(storage, staged, way):
    size = 300_000
    contents = [bytes([65 + number]) * size for number in range(4)]
    files = [staged(content) for content in contents]
    storage.publish(files[0], "table")
    seen, problems, stop = set(), [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            try:
                content = storage.read("table")
            except NotThere as error:
                problems.append(error)
                continue
            seen.add(content[:1])
            if len(content) != size or len(set(content)) != 1:
                problems.append(len(content))

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(400 if way == "publish" else 80):  # a write waits for the disk
        if way == "publish":
            storage.publish(files[number % 4], "table")
        else:
            storage.write("table", contents[number % 4])
    stop.set()
    reader.join()
    assert problems == []
    assert len(seen) > 1  # it did look while the file changed


def test_a_folder_is_published_whole_and_a_second_time_changes_nothing(storage, staged_folder):
    storage.publish(staged_folder("one", model=b"first"), "models/abc")
    before = storage.path("models/abc/nested/model").stat().st_mtime_ns
    storage.publish(staged_folder("two", model=b"second", more=b"more"), "models/abc")
    assert storage.read("models/abc/nested/model") == b"first"
    assert [entry.name for entry in storage.entries("models/abc/nested")] == ["model"]
    assert storage.path("models/abc/nested/model").stat().st_mtime_ns == before
    assert nothing_is_left_over(storage)


def test_a_folder_that_two_runs_publish_at_once_is_one_of_both(storage, staged_folder):
    folders = [staged_folder(f"run{number}", **{f"file{n}": bytes([number]) for n in range(40)}) for number in range(2)]
    barrier, errors = threading.Barrier(2), []

    def publish(folder: str) -> None:
        barrier.wait()
        try:
            storage.publish(folder, "models/abc")
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=publish, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    contents = {storage.read(f"models/abc/nested/file{n}") for n in range(40)}
    assert len(contents) == 1
    assert nothing_is_left_over(storage)


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


def test_a_file_that_is_replaced_can_be_preserved_under_a_name_of_its_content(storage, staged):
    storage.preserve("p/table.parquet", into="superseded")  # nothing there yet
    assert storage.entries("superseded") == []
    for content in (b"first", b"second", b"third"):
        storage.publish(staged(content), "p/table.parquet")
        storage.preserve("p/table.parquet", into="superseded")
        storage.preserve("p/table.parquet", into="superseded")
    storage.publish(staged(b"fourth"), "p/table.parquet")
    kept = storage.entries("superseded")
    assert {storage.read(f"superseded/{entry.name}") for entry in kept} == {b"first", b"second", b"third"}
    assert all(entry.name.endswith(".parquet") for entry in kept)


def test_reading_what_is_not_there_names_it_and_says_what_to_do(storage):
    with pytest.raises(NotThere, match=r"prepared/current\.json is not in storage.*materialise the asset"):
        storage.read("prepared/current.json")
    assert not storage.exists("prepared/current.json")
    assert storage.entries("prepared") == []


def test_written_files_are_there_at_once(storage):
    storage.write("endpoints/e.json", b"{}")
    assert storage.exists("endpoints/e.json")
    assert storage.read("endpoints/e.json") == b"{}"


def test_an_address_is_a_file_uri(storage):
    assert storage.uri("a b/c.parquet").startswith("file:///")
    assert storage.uri("a b/c.parquet").endswith("/lake/a%20b/c.parquet")


@pytest.fixture
def day(storage):
    folder = storage.path("landing/day")
    folder.mkdir(parents=True)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(name)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    return folder


def test_a_fingerprint_stays_until_the_files_change(storage, day):
    before = storage.fingerprint("landing/day")
    assert before
    assert storage.fingerprint("landing/day") == before


def test_a_missing_or_empty_folder_has_no_fingerprint(storage, day):
    assert storage.fingerprint("landing/other") == ""
    (storage.path("landing/empty")).mkdir()
    assert storage.fingerprint("landing/empty") == ""


def test_a_fingerprint_changes_with_every_change_of_the_files(storage, day):
    prints = [storage.fingerprint("landing/day")]

    def changed() -> bool:
        prints.append(storage.fingerprint("landing/day"))
        return prints[-1] not in prints[:-1]

    (day / "c.csv").write_text("c")
    assert changed()
    (day / "c.csv").write_text("another size")
    assert changed()
    os.utime(day / "b.csv", (1_700_000_001, 1_700_000_001))
    assert changed()
    (day / "a.csv").rename(day / "d.csv")
    assert changed()
    (day / "d.csv").unlink()
    assert changed()


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


@pytest.mark.parametrize("name", [".DS_Store", ".clients.csv.swp", "_SUCCESS"])
def test_hidden_files_change_no_fingerprint(storage, name):
    day = storage.path("landing/2026-01-01")
    day.mkdir(parents=True)
    (day / name).write_text("left by a program")
    assert storage.fingerprint("landing/2026-01-01") == ""
    (day / "clients.csv").write_text("client_id\n")
    before = storage.fingerprint("landing/2026-01-01")
    (day / name).write_text("left again")
    assert storage.fingerprint("landing/2026-01-01") == before
