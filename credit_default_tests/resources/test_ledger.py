"""The ledger in storage: written by turns, by threads and processes, and never left half written."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading

import pytest

from credit_default.core.lake import LEDGER
from credit_default.errors import LedgerError
from credit_default.resources import ledger as ledgers
from credit_default.resources.local.storage import LocalStorage
from credit_default_tests.platforms import storage_of

#: Not a real workspace, whose ledger is no test's to write.
PLATFORMS = ("local", "azure")


@pytest.fixture(params=PLATFORMS)
def storage(request, tmp_path):
    if request.param == "azure":
        request.getfixturevalue("azure")
    return storage_of(request.param, tmp_path / "lake")


def promote(storage, version: str, who: str = "run 1") -> None:
    with ledgers.held(storage) as writer:
        writer.enter("promote", version, who=who, reason="better", run_id="1")


def test_a_lake_without_a_ledger_has_an_empty_one(storage):
    assert ledgers.read(storage).entries == ()
    assert not storage.exists(LEDGER)


def test_an_entry_holds_the_hash_of_the_verdict_as_it_is_stored_then(storage):
    promote(storage, "1")
    storage.write("verdicts/2.json", b'{"decision": "promote"}')
    promote(storage, "2")
    storage.write("verdicts/2.json", b"another")
    first, second = ledgers.read(storage).entries
    assert first.verdict_sha256 is None
    assert second.verdict_sha256 == hashlib.sha256(b'{"decision": "promote"}').hexdigest()
    assert (second.from_version, second.to_version) == ("1", "2")


def test_a_torn_line_is_kept_aside_and_the_ledger_goes_on(storage):
    promote(storage, "1")
    torn = b'{"action": "promote", "at": "20'
    storage.write(LEDGER, storage.read(LEDGER) + torn)
    assert ledgers.read(storage).torn == torn
    promote(storage, "2")
    assert storage.read(f"models/ledger.torn-{hashlib.sha256(torn).hexdigest()[:8]}") == torn
    ledger = ledgers.read(storage)
    assert (ledger.torn, ledger.problems) == (b"", ())
    assert [entry.to_version for entry in ledger.entries] == ["1", "2"]


def test_a_ledger_that_was_changed_is_not_written_to(storage):
    for version in ("1", "2"):
        promote(storage, version)
    changed = storage.read(LEDGER).replace(b"better", b"because", 1)
    storage.write(LEDGER, changed)
    with pytest.raises(LedgerError, match="line 1 is not the one that line 2 follows"):
        promote(storage, "3")
    assert storage.read(LEDGER) == changed


def test_threads_write_by_turns_and_no_line_is_lost(storage):
    def work(name: str) -> None:
        for number in range(3):
            promote(storage, str(number), who=name)

    threads = [threading.Thread(target=work, args=(f"thread {n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told_by_all(ledgers.read(storage), "thread", 3)


PROCESS = """
import sys
from credit_default.resources import ledger
from credit_default.resources.local.storage import LocalStorage
storage = LocalStorage(root=sys.argv[1])
sys.stdin.readline()
for number in range(20):
    with ledger.held(storage) as writer:
        writer.enter("promote", str(number), who=sys.argv[2], reason="better")
"""


@pytest.mark.slow
def test_processes_write_by_turns_and_no_line_is_lost(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), f"process {n}"], stdin=subprocess.PIPE, text=True
        )
        for n in range(3)
    ]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.close()  # every one of them has been told before any is waited for
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    told_by_all(ledgers.read(LocalStorage(root=str(tmp_path))), "process", 20)


def told_by_all(ledger, name: str, times: int) -> None:
    """Whether each of three wrote so many lines, in its own order, into a chain that is whole."""
    assert ledger.problems == ()
    assert ledger.torn == b""
    assert len(ledger.entries) == 3 * times
    for n in range(3):
        told = [entry.to_version for entry in ledger.entries if entry.who == f"{name} {n}"]
        assert told == [str(number) for number in range(times)]
