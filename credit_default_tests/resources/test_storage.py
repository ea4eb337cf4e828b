"""What storage promises wherever it is: whole or not at all, nothing lost, nothing that stops anybody."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from credit_default.errors import NotThere, StorageError
from credit_default_tests import CHECKOUT
from credit_default_tests.platforms import platforms, storage_of


@pytest.fixture(params=platforms())
def platform(request) -> str:
    return request.param


@pytest.fixture
def lake(platform, tmp_path, request) -> Path:
    """Where the local storage is; on Azure, this process's environment says so."""
    if platform == "azure":
        request.getfixturevalue("azure")
    return tmp_path / "lake"


@pytest.fixture
def storage(platform, lake):
    return storage_of(platform, lake)


@pytest.fixture
def root(platform, storage) -> str:
    """A folder of this test's own: a real lake has other things in it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    if platform == "workspace":
        for prefix in (f"{name}/", f".published/{name}/"):
            for blob in storage._list(prefix):
                storage.remove(blob.name)


@pytest.fixture
def staged(platform, storage, root, tmp_path):
    """The output of a job: a file, or a folder of files with one of them nested."""

    def make(content: bytes | dict[str, bytes]) -> str:
        name = f"jobs/{uuid.uuid4().hex[:8]}/output/made"
        files = content if isinstance(content, dict) else {"": content}
        for file, what in files.items():
            path = f"{name}/{file}".rstrip("/")
            if platform == "local":
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_bytes(what)
            else:
                storage.write(f"{root}/{path}", what)
        return str(tmp_path / name) if platform == "local" else f"{root}/{name}"

    return make


def names(storage, key: str) -> list[str]:
    return [entry.name for entry in storage.entries(key)]


def test_written_files_are_there_at_once(storage, root):
    storage.write(f"{root}/endpoints/e.json", b"{}")
    assert storage.exists(f"{root}/endpoints/e.json")
    assert storage.exists(f"{root}/endpoints")
    assert storage.read(f"{root}/endpoints/e.json") == b"{}"
    storage.write(f"{root}/endpoints/e.json", b"")
    assert storage.read(f"{root}/endpoints/e.json") == b""


def test_every_file_below_a_folder_is_told_with_its_size_and_when_it_was_written(storage, root):
    for name in ("a.csv", "deep/er/b.csv", ".hidden/c", "deep.csv"):
        storage.write(f"{root}/folder/{name}", b"12")
    storage.write(f"{root}/folder-2/d.csv", b"")
    found = {file.key.removeprefix(f"{root}/folder/"): file for file in storage.files(f"{root}/folder")}
    assert found.keys() == {"a.csv", "deep/er/b.csv", ".hidden/c", "deep.csv"}
    assert {file.size for file in found.values()} == {2}
    assert all(abs(datetime.now(UTC) - file.modified) < timedelta(minutes=5) for file in found.values())
    assert list(storage.files(f"{root}/nothing")) == []


@pytest.mark.parametrize("name", ["a b.csv", "ü.csv", "100%.csv", "a%20b.csv", "q?x=#y.csv", "it's.csv"])
def test_a_name_may_hold_what_file_names_hold(storage, root, staged, name):
    storage.write(f"{root}/in/{name}", b"content")
    assert storage.read(f"{root}/in/{name}") == b"content"
    assert names(storage, f"{root}/in") == [name]
    storage.publish(staged({name: b"of a folder"}), f"{root}/out")
    assert storage.read(f"{root}/out/{name}") == b"of a folder"


def test_reading_what_is_not_there_names_it_and_says_what_to_do(storage, root):
    with pytest.raises(NotThere, match=r"prepared/current\.json is not in storage.*materialise the asset"):
        storage.read(f"{root}/prepared/current.json")
    assert not storage.exists(f"{root}/prepared/current.json")
    assert not storage.exists(f"{root}/prepared")
    assert storage.entries(f"{root}/prepared") == []


def test_a_folder_lists_what_is_directly_in_it_by_name(storage, root):
    for name in ("b.csv", "a/deep/x.csv", "_SUCCESS", "a.csv"):
        storage.write(f"{root}/folder/{name}", name.encode())
    storage.write(f"{root}/folderish/other.csv", b"a neighbour whose name begins alike")
    found = {entry.name: entry for entry in storage.entries(f"{root}/folder")}
    assert list(found) == ["_SUCCESS", "a", "a.csv", "b.csv"]
    assert [name for name, entry in found.items() if entry.is_folder] == ["a"]
    assert found["a.csv"].size == len("a.csv")
    assert storage.entries(f"{root}/folder/b.csv") == []


def test_removing_a_file_twice_is_no_error(storage, root):
    storage.write(f"{root}/a", b"x")
    storage.remove(f"{root}/a")
    storage.remove(f"{root}/a")
    assert not storage.exists(f"{root}/a")


def test_a_published_file_replaces_what_was_there_and_leaves_the_jobs_output_whole(storage, root, staged):
    first, second = staged(b"first"), staged(b"second")
    for made in (first, second, second):
        storage.publish(made, f"{root}/predictions/2026-01-01/predictions.parquet")
    assert storage.read(f"{root}/predictions/2026-01-01/predictions.parquet") == b"second"
    assert names(storage, f"{root}/predictions/2026-01-01") == ["predictions.parquet"]
    # A run that crashed before it recorded the day publishes again from there.
    storage.publish(first, f"{root}/again")
    storage.publish(second, f"{root}/and-again")
    assert (storage.read(f"{root}/again"), storage.read(f"{root}/and-again")) == (b"first", b"second")


def test_publishing_what_no_job_made_is_refused_and_bars_nothing(storage, root, staged, tmp_path, platform):
    nothing = str(tmp_path / "nothing") if platform == "local" else f"{root}/nothing"
    with pytest.raises((NotThere, FileNotFoundError)):
        storage.publish(nothing, f"{root}/table")
    assert not storage.exists(f"{root}/table")
    storage.publish(staged({"model": b"made after all"}), f"{root}/table")
    assert storage.exists(f"{root}/table")
    assert storage.read(f"{root}/table/model") == b"made after all"


@pytest.mark.parametrize("way", ["publish", "write"])
def test_a_reader_never_misses_a_file_and_never_sees_half_of_one(storage, root, staged, platform, way):
    size = 300_000
    contents = [bytes([65 + number]) * size for number in range(4)]
    files = [staged(content) for content in contents]
    storage.publish(files[0], f"{root}/table")
    seen, problems, stop = set(), [], threading.Event()

    def look() -> None:
        while not stop.is_set():
            try:
                content = storage.read(f"{root}/table")
            except NotThere as error:
                problems.append(error)
                continue
            seen.add(content[:1])
            if len(content) != size or len(set(content)) != 1:
                problems.append(len(content))

    reader = threading.Thread(target=look)
    reader.start()
    rounds = {"publish": 400, "write": 80}[way] if platform == "local" else 20  # a write waits for the disk
    for number in range(rounds):
        if way == "publish":
            storage.publish(files[number % 4], f"{root}/table")
        else:
            storage.write(f"{root}/table", contents[number % 4])
    stop.set()
    reader.join()
    assert problems == []
    assert len(seen) > 1  # it did look while the file changed


def test_a_folder_is_published_whole_and_a_second_time_changes_nothing(storage, root, staged):
    storage.publish(staged({"nested/model": b"first", "manifest": b"{}"}), f"{root}/models/abc")
    before = storage.fingerprint(f"{root}/models/abc/nested")
    assert storage.exists(f"{root}/models/abc")
    storage.publish(staged({"nested/model": b"second", "nested/more": b"more"}), f"{root}/models/abc")
    assert storage.read(f"{root}/models/abc/nested/model") == b"first"
    assert names(storage, f"{root}/models/abc/nested") == ["model"]
    assert names(storage, f"{root}/models/abc") == ["manifest", "nested"]
    assert storage.fingerprint(f"{root}/models/abc/nested") == before


def test_a_folder_that_two_runs_publish_at_once_is_one_of_both(storage, root, staged):
    # Each has a file that the other has not.
    made = [{f"nested/{n}": bytes([run]) for n in range(12)} | {f"only-{run}": b"x"} for run in range(2)]
    folders = [staged(files) for files in made]
    barrier, errors = threading.Barrier(2), []

    def publish(folder: str) -> None:
        barrier.wait()
        try:
            storage.publish(folder, f"{root}/models/abc")
        except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
            errors.append(error)

    threads = [threading.Thread(target=publish, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    contents = {storage.read(f"{root}/models/abc/nested/{n}") for n in range(12)}
    assert len(contents) == 1
    assert names(storage, f"{root}/models/abc") == ["nested", f"only-{contents.pop()[0]}"]


PUBLISH = """
import sys
from pathlib import Path
from credit_default_tests.platforms import storage_of
storage_of(sys.argv[1], Path(sys.argv[2])).publish(sys.argv[3], sys.argv[4])
"""


@pytest.mark.slow
def test_a_publisher_that_is_killed_leaves_no_folder_that_passes_for_whole(storage, root, staged, platform, lake):
    files = {f"{n:04}": b"first" for n in range(3_000 if platform == "local" else 60)}
    first, key = staged(files), f"{root}/models/abc"
    underway = ".staging" if platform == "local" else key
    child = subprocess.Popen([sys.executable, "-c", PUBLISH, platform, str(lake), first, key], cwd=CHECKOUT)
    while child.poll() is None and not storage.entries(underway):
        time.sleep(0.01)
    child.kill()
    assert child.wait() == -signal.SIGKILL, "it was done before it could be killed"
    assert not storage.exists(key)
    storage.publish(staged(dict.fromkeys(files, b"second")), key)
    assert storage.exists(key)
    assert names(storage, key) == sorted(files)
    # One of both, and never a mixture.
    assert len({storage.read(f"{key}/{name}") for name in list(files)[:: len(files) // 60]}) == 1


def test_a_file_that_is_replaced_can_be_preserved_under_a_name_of_its_content(storage, root, staged):
    table, kept = f"{root}/p/table.parquet", f"{root}/superseded"
    storage.preserve(table, into=kept)  # nothing there yet
    assert storage.entries(kept) == []
    for content in (b"first", b"second", b"third"):
        storage.publish(staged(content), table)
        storage.preserve(table, into=kept)
        storage.preserve(table, into=kept)
    storage.publish(staged(b"fourth"), table)
    assert {storage.read(f"{kept}/{name}") for name in names(storage, kept)} == {b"first", b"second", b"third"}
    assert all(len(name) == len("0123456789abcdef.parquet") for name in names(storage, kept))


def test_what_is_preserved_again_is_kept_from_then_on(storage, root, staged):
    table, kept = f"{root}/p/table.parquet", f"{root}/superseded"

    def preserve() -> datetime:
        storage.publish(staged(b"first"), table)
        storage.preserve(table, into=kept)
        (file,) = storage.files(kept)
        return file.modified

    first = preserve()
    time.sleep(1.1)  # Azure names whole seconds
    assert preserve() > first


@pytest.mark.parametrize("nested", ["", "nested/"])
def test_a_folder_or_a_file_can_be_held_on_disk(storage, root, nested):
    storage.write(f"{root}/models/abc/{nested}model", b"content")
    with storage.on_disk(f"{root}/models/abc") as folder:
        assert (folder / f"{nested}model").read_bytes() == b"content"
    with storage.on_disk(f"{root}/models/abc/{nested}model") as file:
        assert file.read_bytes() == b"content"
    with pytest.raises(NotThere, match="models/none"), storage.on_disk(f"{root}/models/none"):
        pass


def test_a_fingerprint_stays_until_the_files_change(storage, root):
    def fingerprint() -> str:
        return storage.fingerprint(f"{root}/day")

    assert fingerprint() == ""
    storage.write(f"{root}/day/a.csv", b"a")
    prints = [fingerprint()]
    assert prints[0]
    assert fingerprint() == prints[0]

    def changed() -> bool:
        prints.append(fingerprint())
        return prints[-1] not in prints[:-1]

    storage.write(f"{root}/day/b.csv", b"b")
    assert changed()
    storage.write(f"{root}/day/b.csv", b"another size")
    assert changed()
    storage.write(f"{root}/day/b.csv", b"another text")
    assert changed()
    storage.write(f"{root}/day/c.csv", b"another text")
    storage.remove(f"{root}/day/b.csv")
    assert changed()
    storage.remove(f"{root}/day/a.csv")
    assert changed()
    storage.remove(f"{root}/day/c.csv")
    assert fingerprint() == ""


@pytest.mark.parametrize(
    "name", [".DS_Store", ".clients.csv.swp", "_SUCCESS", "desktop.ini", "Thumbs.db", "clients.csv.done", "a.csv.MD5"]
)
def test_what_is_no_data_changes_no_fingerprint(storage, root, name):
    storage.write(f"{root}/day/{name}", b"left by a program")
    assert storage.fingerprint(f"{root}/day") == ""
    # The folder is there and holds nothing.
    assert storage.changes(root, ["day", "none"]).keys() == {"day"}
    assert storage.changes(root, ["day"])["day"].fingerprint == ""
    storage.write(f"{root}/day/clients.csv", b"client_id\n")
    before = storage.fingerprint(f"{root}/day")
    storage.write(f"{root}/day/{name}", b"left again")
    assert storage.fingerprint(f"{root}/day") == before


@pytest.mark.parametrize("name", ["caf\udce9.csv", "two\nlines.csv", "tab\t.csv", "\u202egpj.csv", "\x1b[31m.csv"])
def test_an_odd_name_is_one_of_the_files_and_stops_nobody(storage, root, platform, name):
    if platform != "local":
        name = name.replace("\udce9", "\xe9").replace("\x1b", "\x7f")  # names of blobs are text that XML can hold
    for day in ("2026-01-01", "2026-01-02"):
        storage.write(f"{root}/landing/{day}/a.csv", b"a")
    before = storage.changes(f"{root}/landing", ["2026-01-01", "2026-01-02"])
    storage.write(f"{root}/landing/2026-01-01/{name}", b"b")
    after = storage.changes(f"{root}/landing", ["2026-01-01", "2026-01-02"])
    assert after["2026-01-01"].problem is None
    assert after["2026-01-01"].fingerprint not in {before["2026-01-01"].fingerprint, ""}
    assert after["2026-01-02"].fingerprint == before["2026-01-02"].fingerprint
    assert names(storage, f"{root}/landing/2026-01-01") == sorted(["a.csv", name])


def test_many_folders_are_looked_at_together_with_the_same_fingerprints(storage, root):
    days = ["2025-12-31", "2026-01-01", "2026-01-02", "2026-02-01"]
    for day in days:
        storage.write(f"{root}/landing/{day}/clients.csv", day.encode())
    storage.write(f"{root}/landing/2026-01-03", b"a file in place of a folder")
    storage.write(f"{root}/landing/2026-01-021/clients.csv", b"a neighbour whose name begins alike")
    found = storage.changes(f"{root}/landing", [*days[:3], "2026-01-04"])
    assert set(found) == set(days[:3])
    for day, change in found.items():
        assert change.fingerprint == storage.fingerprint(f"{root}/landing/{day}")
        assert change.seconds_ago < 60
    assert storage.changes(f"{root}/landing", []) == {}


def test_what_changed_last_counts(storage, root):
    storage.write(f"{root}/landing/day/a.csv", b"a")
    time.sleep(2.1)  # Azure tells whole seconds
    assert storage.changes(f"{root}/landing", ["day"])["day"].seconds_ago >= 1
    storage.write(f"{root}/landing/day/b.csv", b"b")
    assert storage.changes(f"{root}/landing", ["day"])["day"].seconds_ago < 2


def test_what_is_held_is_changed_by_turns(storage, root):
    key = f"{root}/count"
    storage.write(key, b"0")

    def count_up() -> None:
        for _ in range(3):
            with storage.held(key):
                number = int(storage.read(key))
                time.sleep(0.01)
                storage.write(key, str(number + 1).encode())

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.read(key) == b"12"


def test_what_is_held_is_let_go_of_when_the_work_fails(storage, root):
    with pytest.raises(ZeroDivisionError), storage.held(f"{root}/work"):
        _ = 1 / 0
    started = time.monotonic()
    with storage.held(f"{root}/work"):
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("key", ["../outside.json", "models/../../outside.json", "/etc/passwd", "models/a\0b", ".."])
def test_a_key_that_leads_out_of_the_lake_is_refused_whatever_is_asked(storage, staged, key):
    output = staged(b"content")
    for ask in (
        lambda: storage.read(key),
        lambda: storage.write(key, b"content"),
        lambda: storage.exists(key),
        lambda: storage.entries(key),
        lambda: storage.fingerprint(key),
        lambda: storage.publish(output, key),
        lambda: storage.preserve(key, "kept"),
        lambda: storage.remove(key),
        lambda: storage.on_disk(key).__enter__(),
    ):
        with pytest.raises(StorageError, match="leads out of the lake"):
            ask()
