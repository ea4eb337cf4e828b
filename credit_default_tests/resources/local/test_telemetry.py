"""Telemetry does not hold up a run: an endpoint that does not answer is waited for once, and then hardly."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from credit_default.resources.local import telemetry as module
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default.telemetry.records import TraceRecord


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield f"InstrumentationKey=3f6d1a52-7b0c-4c55-9d2f-0d6f3b8d1e77;IngestionEndpoint={address}"


@pytest.mark.slow
@pytest.mark.parametrize("exporter", ["opencensus", "opentelemetry"])
def test_an_endpoint_that_does_not_answer_is_waited_for_once(tmp_path, monkeypatch, silent, exporter):
    monkeypatch.setattr(module, "_PATIENT_SECONDS", 4.0)
    monkeypatch.setattr(module, "_HURRIED_SECONDS", 0.1)
    telemetry = LocalTelemetry(folder=str(tmp_path), connection_string=silent, exporter=exporter)
    took = []
    for number in range(6):
        began = time.monotonic()
        assert telemetry.emit([TraceRecord("m", 1, {"event_key": str(number)})]) == 1
        took.append(time.monotonic() - began)
    assert took[0] >= 4
    assert sum(took[1:]) < 4 * 5
    assert max(took[1:]) < 4
    assert len(list(tmp_path.glob("unsent*/*.blob*"))) == 6  # kept, all of them
