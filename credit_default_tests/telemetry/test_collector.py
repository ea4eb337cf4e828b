"""Records of requests: none waits for whoever is sent them, none is lost, none is sent twice."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from credit_default.telemetry.application_insights import ApplicationInsights, Delivery
from credit_default.telemetry.collector import Collector
from credit_default.telemetry.opentelemetry_sender import OpenTelemetrySender
from credit_default.telemetry.records import TraceRecord
from credit_default.telemetry.traces import TraceLog
from credit_default_tests.telemetry.test_application_insights import KEY, Endpoint


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


def record(number: int) -> TraceRecord:
    return TraceRecord(f"message {number}", 1, {"event_key": str(number)})


@pytest.mark.parametrize("kind", [ApplicationInsights, OpenTelemetrySender])
def test_what_many_threads_collect_is_kept_once_and_sent_once(endpoint, tmp_path, kind):
    log = TraceLog(tmp_path / "traces.jsonl")
    collector = Collector(log, kind(endpoint.connection_string, tmp_path / "unsent"))
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda number: collector.collect([record(2 * number), record(2 * number + 1)]), range(200)))
    assert len(log.path.read_text().splitlines()) == 400, "kept before anybody is answered"
    collector.close()
    assert sorted(endpoint.messages) == sorted(f"message {number}" for number in range(400))


class Slow:
    """Sends when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()
        self.sent: list[list[str]] = []

    def send(self, records):
        self.let.wait(30)
        self.sent.append([record.key for record in records])
        return Delivery(sent=len(records))


def test_nobody_waits_for_an_endpoint_that_is_slow_and_what_has_come_meanwhile_is_sent_together():
    sender = Slow()
    collector = Collector(None, sender)
    started = time.monotonic()
    for number in range(100):
        collector.collect([record(number)])
    assert time.monotonic() - started < 5
    sender.let.set()
    collector.close()
    assert [key for batch in sender.sent for key in batch] == [str(number) for number in range(100)]
    assert len(sender.sent) < 10


def test_what_cannot_be_sent_waits_on_the_disk_and_is_told(tmp_path, caplog):
    down = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:9"
    collector = Collector(None, ApplicationInsights(down, tmp_path / "unsent"))
    with caplog.at_level(logging.WARNING):
        collector.collect([record(1), record(2)])
        collector.close()
    assert len(list((tmp_path / "unsent").iterdir())) == 1
    assert "2 records of collected inputs kept on the disk" in caplog.text
    assert KEY not in caplog.text


def test_what_is_refused_for_good_is_told(endpoint, tmp_path, caplog):
    endpoint.status = 400
    collector = Collector(None, ApplicationInsights(endpoint.connection_string, tmp_path / "unsent"))
    collector.collect([record(1)])
    collector.close()
    assert "refused 1 record of collected inputs for good" in caplog.text


def test_an_error_of_the_sender_is_told_by_its_kind_and_the_next_records_are_sent(caplog):
    class Breaks(Slow):
        def send(self, records):
            if records[0].key == "0":
                raise ValueError("hunter2")
            return super().send(records)

    sender = Breaks()
    sender.let.set()
    collector = Collector(None, sender)
    collector.collect([record(0)])
    while "was not sent" not in caplog.text:
        time.sleep(0.01)
    collector.collect([record(1)])
    collector.close()
    assert sender.sent == [["1"]]
    assert "1 record of collected inputs was not sent: ValueError" in caplog.text
    assert "hunter2" not in caplog.text


ENDS = """
import signal, sys
from pathlib import Path
from credit_default.telemetry.records import TraceRecord
from credit_default.telemetry.application_insights import ApplicationInsights
from credit_default.telemetry.collector import Collector

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as a worker of gunicorn ends
collector = Collector(None, ApplicationInsights(sys.argv[1], Path(sys.argv[2])))
for number in range(50):
    collector.collect([TraceRecord(f"message {number}", 1, {"event_key": str(number)})])
if sys.argv[3] == "signal":
    signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["end", "signal"])
def test_a_process_that_ends_normally_has_sent_everything_by_then(endpoint, tmp_path, way):
    command = [sys.executable, "-c", ENDS, endpoint.connection_string, str(tmp_path / "unsent"), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(endpoint.messages) == sorted(f"message {number}" for number in range(50))


def test_no_thread_is_started_before_there_is_something_to_send(tmp_path):
    # gunicorn may load the script in one process and serve in others that it forks: threads do not come along.
    before = threading.active_count()
    collector = Collector(None, ApplicationInsights(f"InstrumentationKey={KEY}", tmp_path))
    collector.collect([])
    assert threading.active_count() == before
