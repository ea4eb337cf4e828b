"""The local traces: each record once, whoever writes and whenever a writer dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from credit_default.telemetry.kql import kql
from credit_default.telemetry.records import TraceRecord
from credit_default.telemetry.traces import TraceLog

WRITER = """
import sys
from pathlib import Path
from credit_default.telemetry.records import TraceRecord
from credit_default.telemetry.traces import TraceLog

path, start, stop, batch, size = Path(sys.argv[1]), *map(int, sys.argv[2:])
log = TraceLog(path)
records = [TraceRecord("m" * size, 1, {"event_key": f"key-{n}"}) for n in range(start, stop)]
print("ready", flush=True)
sys.stdin.readline()
print(sum(log.append(records[i : i + batch]) for i in range(0, len(records), batch)), flush=True)
"""


def record(key: str, message: str = "hello", **dimensions) -> TraceRecord:
    return TraceRecord(message, 2, {"event_key": key, **dimensions})


def keys(path: Path) -> list[str]:
    return [json.loads(line)["customDimensions"]["event_key"] for line in path.read_text("utf-8").splitlines()]


def writer(path: Path, *numbers: int) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "telemetry" / "traces.jsonl"


def test_a_record_is_a_row_of_the_traces_table(path):
    before = datetime.now(UTC)
    assert TraceLog(path).append([record("k", 'a "quoted" line\nand another', partition="2026-01-01")]) == 1
    (row,) = kql.run("traces", path).to_pylist()
    assert before <= row["timestamp"] <= datetime.now(UTC)
    assert row["message"] == 'a "quoted" line\nand another'
    assert row["severityLevel"] == 2
    assert json.loads(row["customDimensions"]) == {"event_key": "k", "partition": "2026-01-01"}


def test_a_record_is_written_once_in_a_batch_in_a_process_and_by_the_next_process(path):
    log = TraceLog(path)
    assert log.append([record("a", "first"), record("a", "second"), record("b")]) == 2
    assert log.append([record("a"), record("c")]) == 1
    assert TraceLog(path).append([record("a"), record("b"), record("c"), record("d")]) == 1
    assert keys(path) == ["a", "b", "c", "d"]
    assert json.loads(path.read_text().splitlines()[0])["message"] == "first"


def test_missing_says_what_another_process_has_not_written(path):
    log = TraceLog(path)
    assert log.missing([record("a")]) == [record("a")]
    TraceLog(path).append([record("a")])
    assert log.missing([record("a"), record("b")]) == [record("b")]


def test_a_message_that_looks_like_a_line_does_not_pass_for_a_key(path):
    forged = json.dumps({"message": "x", "customDimensions": {"event_key": "forged"}})
    TraceLog(path).append([record("real", forged, note='"customDimensions": {"event_key": "forged"}')])
    assert TraceLog(path).append([record("forged")]) == 1
    assert TraceLog(path).append([record("real")]) == 0


@pytest.mark.parametrize("cut", [1, 2, 3, 40, 120])
def test_a_torn_last_line_is_ended_and_its_record_written_again(path, cut):
    log = TraceLog(path)
    log.append([record("a"), record("b")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    # Without its line end alone (1) the record is whole.
    assert TraceLog(path).append([record("b"), record("c")]) == (1 if cut == 1 else 2)
    assert kql.run("traces | project tostring(customDimensions.event_key)", path).column(0).to_pylist() == [
        "a",
        "b",
        "c",
    ]
    assert log.append([record("a"), record("b"), record("c")]) == 0


def test_a_file_that_was_replaced_is_read_again(path):
    log = TraceLog(path)
    log.append([record("a"), record("b")])
    path.unlink()
    assert log.append([record("a")]) == 1
    assert keys(path) == ["a"]


def test_two_processes_write_each_record_once_and_whole(path):
    writers = [writer(path, 0, 300, 3, 2000), writer(path, 100, 400, 7, 2000)]
    for process in writers:
        process.stdin.write("\n")
        process.stdin.flush()
    written = [int(process.communicate(timeout=60)[0]) for process in writers]
    assert sum(written) == 400
    assert sorted(keys(path)) == sorted(f"key-{number}" for number in range(400))


@pytest.mark.parametrize("after", [0.0, 0.02, 0.1])
def test_a_writer_that_is_killed_leaves_nothing_twice_and_nothing_broken(path, after):
    process = writer(path, 0, 4000, 200, 40_000)  # batches of 8 MB, so that a kill can fall into a write
    process.stdin.write("\n")
    process.stdin.flush()
    while not path.exists():
        time.sleep(0.001)
    time.sleep(after)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    log = TraceLog(path)
    everything = [record(f"key-{number}") for number in range(4000)]
    found = 4000 - len(log.missing(everything))
    assert log.append(everything) == 4000 - found
    lines = path.read_bytes().splitlines()
    assert len(lines) in {4000, 4001}  # one more where the kill tore a line
    whole = kql.run("traces | project tostring(customDimensions.event_key)", path).column(0).to_pylist()
    assert sorted(whole) == sorted(f"key-{number}" for number in range(4000))


def test_the_lines_of_ten_thousand_days_are_scanned_in_a_moment_and_never_again(path):
    records = [record(f"key-{number}", "m" * 3000) for number in range(20_000)]
    TraceLog(path).append(records)
    log = TraceLog(path)
    start = time.perf_counter()
    assert log.append([record("key-19999")]) == 0
    first = time.perf_counter() - start
    start = time.perf_counter()
    assert log.append([record("key-0")]) == 0
    assert time.perf_counter() - start < first / 5
    assert first < 5
