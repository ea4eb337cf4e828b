"""Storage in Azure when things go wrong: how long it takes, what it says, and what it costs in requests."""

from __future__ import annotations

import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from azure.storage.blob import ContainerClient

from credit_default.defs.assets import scoring
from credit_default.defs.landing.scan import scan_landing
from credit_default.errors import StorageError
from credit_default.resources.azure.client import blobs as blobs_module
from credit_default.resources.azure.client.blobs import BlobContainer
from credit_default_tests.platforms import azure_storage


@pytest.fixture
def storage(azure):
    return azure_storage()


@pytest.fixture
def outsider(storage) -> ContainerClient:
    """Someone who puts blobs into the lake without asking us."""
    return storage.blobs._opened()


def told(operation) -> tuple[str, float]:
    """What an operation says when it fails, and after how many seconds."""
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        operation()
    return str(caught.value), time.monotonic() - started


@pytest.mark.parametrize(
    "operation",
    [
        lambda storage: storage.write("a", b"x"),
        lambda storage: storage.publish("jobs/a/output/table", "table"),
        lambda storage: storage.preserve("table", into="superseded"),
        lambda storage: storage.exists("a"),
        lambda storage: storage.entries("a"),
        lambda storage: storage.changes("landing", ["2026-01-01"]),
    ],
)
def test_a_missing_container_is_told_at_once_and_by_name(azure, operation):
    message, seconds = told(lambda: operation(azure_storage(container="not-there")))
    assert f"no container not-there of storage account {azure.account}" in message
    assert "AZURE_STORAGE_CONTAINER" in message
    assert seconds < 5


def test_an_identity_without_the_role_is_told_which_one(emulator, storage):
    storage.write("a", b"x")
    emulator.fault("PUT", "/a$", status=403, host="blob")
    message, _ = told(lambda: storage.write("a", b"y"))
    assert "Storage Blob Data Contributor" in message
    assert "403" in message


def test_a_token_that_is_refused_is_replaced_by_a_fresh_one(emulator, storage):
    storage.write("a", b"x")
    emulator.expire_tokens()
    storage.write("a", b"y")
    assert storage.read("a") == b"y"


def test_an_identity_that_is_refused_for_good_is_told_after_a_second_try(emulator, storage):
    storage.write("a", b"x")
    before = len(emulator.journal())
    emulator.fault("PUT", "/a$", status=401, times=10, host="blob")
    message, _ = told(lambda: storage.write("a", b"y"))
    assert "401" in message
    assert sum(request["status"] == 401 for request in emulator.journal()[before:]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 500}, {"drop": True}])
def test_a_passing_failure_is_not_noticed(emulator, storage, fault):
    storage.write("jobs/j/output/table", b"content")
    for method in ("GET", "PUT", "HEAD"):
        emulator.fault(method, "table", times=1, host="blob", **fault)
    storage.publish("jobs/j/output/table", "predictions/table")
    assert storage.read("predictions/table") == b"content"


@pytest.mark.slow
def test_a_lasting_failure_ends_in_bounded_time(emulator, storage):
    storage.write("a", b"x")
    emulator.fault("PUT", "/a$", status=503, times=1000, host="blob")
    message, seconds = told(lambda: storage.write("a", b"y"))
    assert "503" in message
    assert seconds < 60


def test_a_folder_whose_publishing_broke_off_does_not_count_as_there(emulator, storage):
    for number in range(5):
        storage.write(f"jobs/first/output/model/{number}", b"first")
        storage.write(f"jobs/second/output/model/{number}", b"second")
    storage.write("jobs/second/output/model/only", b"second")
    emulator.fault("PUT", "models/abc/3$", status=403, host="blob")
    told(lambda: storage.publish("jobs/first/output/model", "models/abc"))
    assert [entry.name for entry in storage.entries("models/abc")] == ["0", "1", "2"]
    assert not storage.exists("models/abc")
    # Another run, whose model has another content: the half that is there must not be mixed with it.
    storage.publish("jobs/second/output/model", "models/abc")
    assert storage.exists("models/abc")
    assert {storage.read(f"models/abc/{entry.name}") for entry in storage.entries("models/abc")} == {b"first"}


def say_of_copies(patch, status) -> None:
    """Let Azure say something else of how a copy went; the rest of what it says is true."""
    original = BlobContainer._properties

    def properties(self, key):
        found = original(self, key)
        found.copy.status = status()
        return found

    patch.setattr(BlobContainer, "_properties", properties)


def test_a_copy_that_azure_has_not_finished_is_waited_for(storage, monkeypatch):
    # Azurite copies at once, so the answers are ours.
    storage.write("a", b"x")
    answers = iter(["pending", "pending", "success"])
    say_of_copies(monkeypatch, lambda: next(answers))
    storage.blobs.copy("a", "b")
    assert next(answers, None) is None


def test_a_copy_that_never_ends_is_told_with_the_setting(azure, monkeypatch):
    storage = azure_storage(time_limit=0.1)
    storage.write("a", b"x")
    say_of_copies(monkeypatch, lambda: "pending")
    message, seconds = told(lambda: storage.blobs.copy("a", "b"))
    assert "b in container" in message
    assert "CREDIT_DEFAULT_UPLOAD_LIMIT" in message
    assert seconds < 5


def test_a_copy_that_failed_leaves_nothing(storage, monkeypatch):
    storage.write("a", b"x")
    with monkeypatch.context() as patch:
        say_of_copies(patch, lambda: "failed")
        message, _ = told(lambda: storage.blobs.copy("a", "b"))
    assert "failed the copy of a to b" in message
    assert not storage.exists("b")


def test_a_copy_that_failed_takes_no_whole_one_with_it(storage, outsider, monkeypatch):
    storage.write("a", b"x")

    def failed() -> str:
        outsider.upload_blob("b", b"whole", overwrite=True)
        return "failed"

    with monkeypatch.context() as patch:
        say_of_copies(patch, failed)
        told(lambda: storage.blobs.copy("a", "b"))
    assert storage.read("b") == b"whole"


@pytest.mark.parametrize("status", [409, 412])
def test_a_copy_to_a_blob_that_is_there_leaves_it_however_azure_says_so(emulator, storage, status):
    storage.write("a", b"x")
    storage.write("b", b"there")
    if status != 409:  # which is what Azurite says
        emulator.fault("PUT", "/b$", status=status, host="blob")
    storage.blobs.copy("a", "b")
    assert storage.read("b") == b"there"


def test_what_is_held_on_disk_need_not_fit_into_memory(storage, monkeypatch):
    part, parts = 100_000, 100
    storage.write("models/abc/model", b"m" * part * parts)
    small = {"max_single_get_size": part, "max_chunk_get_size": part}
    monkeypatch.setattr(blobs_module, "_OPTIONS", {**blobs_module._OPTIONS, **small})
    storage = azure_storage()
    storage.exists("models/abc")  # imports what it needs
    tracemalloc.start()
    try:
        with storage.on_disk("models/abc") as folder:
            assert (folder / "model").stat().st_size == part * parts
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < part * parts / 4


@pytest.mark.slow
def test_a_large_file_goes_up_in_blocks_and_is_seen_all_at_once(storage, monkeypatch):
    monkeypatch.setattr(blobs_module, "_BLOCK_BYTES", 100_000)
    monkeypatch.setattr(
        blobs_module, "_OPTIONS", {**blobs_module._OPTIONS, "max_single_put_size": 100_000, "max_block_size": 100_000}
    )
    storage = azure_storage()
    size = 2_000_000
    storage.write("jobs/j/output/a", b"A" * size)
    storage.write("jobs/j/output/b", b"B" * size)
    storage.publish("jobs/j/output/a", "table")
    seen, stop = set(), threading.Event()

    def look() -> None:
        reader = azure_storage()
        while not stop.is_set():
            content = reader.read("table")
            seen.add((content[:1], len(content), len(set(content))))

    thread = threading.Thread(target=scan_landing)
    thread.start()
    for _ in range(2):
        storage.publish("jobs/j/output/b", "table")
        storage.publish("jobs/j/output/a", "table")
    stop.set()
    thread.join()
    assert seen <= {(b"A", size, 1), (b"B", size, 1)}
    committed, _ = storage.blobs._opened().get_blob_client("table").get_block_list()
    assert len(committed) == size // 100_000


def test_an_upload_that_takes_too_long_is_told_and_leaves_the_old_file(azure, monkeypatch):
    monkeypatch.setattr(blobs_module, "_BLOCK_BYTES", 1_000)
    monkeypatch.setattr(
        blobs_module, "_OPTIONS", {**blobs_module._OPTIONS, "max_single_put_size": 1_000, "max_block_size": 1_000}
    )
    storage = azure_storage(time_limit=1e-9)
    storage.write("table", b"old")
    storage.write("jobs/j/output/a", b"A" * 10_000)
    message, _ = told(lambda: storage.publish("jobs/j/output/a", "table"))
    assert "CREDIT_DEFAULT_UPLOAD_LIMIT" in message
    assert storage.read("table") == b"old"


def test_no_address_holds_a_signature_and_jobs_find_the_same_blob(storage, azure):
    assert storage.uri("a b/c.parquet") == (
        f"https://{azure.account}.blob.core.windows.net/{azure.container}/a%20b/c.parquet"
    )
    assert storage.datastore_uri("a b/c") == "azureml://datastores/credit_default/paths/a b/c"


def landed(storage):
    with dg.DagsterInstance.ephemeral() as instance:
        return scan_landing(
            instance,
            storage,
            folder=scoring.LANDING,
            asset="inference_data",
            chain=scoring.CHAIN,
            start=date(1990, 1, 1),
            seen={},
            busy=set(),
            quiet_period=0,
        )


@pytest.mark.parametrize("name", ["/x.csv", "2026-01-02//x.csv", "2026-01-02/", "2026-01-02", "2026-01-02/a/", "//"])
def test_an_odd_name_hides_no_other_day(storage, outsider, name):
    storage.write(f"{scoring.LANDING}/2026-01-01/clients.csv", b"client_id\n")
    storage.write(f"{scoring.LANDING}/2026-01-03/clients.csv", b"client_id\n")
    outsider.upload_blob(f"{scoring.LANDING}/{name}", b"")
    found = landed(storage)
    assert {"2026-01-01", "2026-01-03"} <= set(found.pending)
    assert storage.fingerprint(f"{scoring.LANDING}/2026-01-01") == found.pending["2026-01-01"]


def test_the_marker_that_some_tools_put_beside_a_folder_is_not_taken_for_a_file(storage, outsider):
    storage.write(f"{scoring.LANDING}/2026-01-01/clients.csv", b"client_id\n")
    outsider.upload_blob(f"{scoring.LANDING}/2026-01-01", b"", metadata={"hdi_isfolder": "true"})
    outsider.upload_blob(f"{scoring.LANDING}/", b"")
    found = landed(storage)
    assert set(found.pending) == {"2026-01-01"}
    assert found.unusable == {}


@pytest.mark.slow
def test_a_look_at_a_long_history_costs_a_handful_of_requests(emulator, storage, outsider):
    today = datetime.now(UTC).date()
    # Fourteen years, two pages: more would only take longer to put there.
    days = [(today - timedelta(days=ago)).isoformat() for ago in range(5_100)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda day: outsider.upload_blob(f"{scoring.LANDING}/{day}/clients.csv", b""), days))
    before = len(emulator.journal())
    assert len(storage.entries(scoring.LANDING)) == len(days)
    listed = len(emulator.journal()) - before
    assert listed == 2  # pages of 5,000
    started = time.monotonic()
    found = landed(storage)
    seconds = time.monotonic() - started
    assert len(found.pending) == 200
    assert len(emulator.journal()) - before - listed <= 20
    assert seconds < 10
