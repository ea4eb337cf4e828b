"""The telemetry port on this machine: each record once, whoever emits it."""

from __future__ import annotations

from credit_default.core import kql
from credit_default.core.telemetry import TraceRecord
from credit_default.resources.local.telemetry import LocalTelemetry


def record(key: str) -> TraceRecord:
    return TraceRecord(f"message {key}", 1, {"event_key": key})


def messages(folder) -> list[str]:
    rows = kql.run("traces | project message", folder / "traces.jsonl").to_pylist()
    return sorted(row["message"] for row in rows)


def test_records_are_kept_and_counted_once(tmp_path):
    telemetry = LocalTelemetry(folder=str(tmp_path / "telemetry"))
    assert telemetry.emit([record("a"), record("b")]) == 2
    assert telemetry.emit([record("b"), record("c")]) == 1
    assert messages(tmp_path / "telemetry") == ["message a", "message b", "message c"]


def test_a_run_that_is_repeated_in_another_process_emits_nothing_twice(tmp_path):
    LocalTelemetry(folder=str(tmp_path)).emit([record("a")])
    assert LocalTelemetry(folder=str(tmp_path)).emit([record("a"), record("b")]) == 1
    assert messages(tmp_path) == ["message a", "message b"]


def test_nothing_is_made_of_nothing(tmp_path):
    assert LocalTelemetry(folder=str(tmp_path / "telemetry")).emit([]) == 0


def test_the_connection_string_does_not_show(tmp_path):
    telemetry = LocalTelemetry(folder=str(tmp_path))
    assert telemetry.connection_string == ""
