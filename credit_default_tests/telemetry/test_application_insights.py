"""Trace records over real HTTP, to a small server that stands in for Application Insights' ingestion endpoint."""

from __future__ import annotations

import json
import logging
import logging.config
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from credit_default.errors import SettingsError
from credit_default.telemetry.application_insights import ApplicationInsights, Delivery, _handler_type
from credit_default.telemetry.opentelemetry_sender import OpenTelemetrySender
from credit_default.telemetry.records import Failure, Measurement, TraceRecord

KEY = "3f6d1a52-7b0c-4c55-9d2f-0d6f3b8d1e77"
SENDER = """
import sys
from pathlib import Path
from credit_default.telemetry.records import TraceRecord
from credit_default.telemetry.application_insights import ApplicationInsights

connection_string, unsent, *keys = sys.argv[1:]
insights = ApplicationInsights(connection_string, Path(unsent), retry_after=0.5)
print(insights.send([TraceRecord(f"message {key}", 1, {"event_key": key}) for key in keys]))
"""


class Endpoint:
    """Answers `POST /v2.1/track` as Azure documents it, and keeps what it accepted."""

    def __init__(self) -> None:
        self.status = 200
        self.paths: list[str] = []
        self.envelopes: list[dict] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                envelopes = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.paths.append(self.path)
                if endpoint.status == 200:
                    endpoint.envelopes += envelopes
                accepted = len(envelopes) if endpoint.status == 200 else 0
                refused = range(len(envelopes)) if endpoint.status == 206 else ()
                errors = [{"index": index, "statusCode": 400, "message": "invalid"} for index in refused]
                answer = {"itemsReceived": len(envelopes), "itemsAccepted": accepted, "errors": errors}
                body = json.dumps(answer).encode()
                self.send_response(endpoint.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def connection_string(self) -> str:
        return f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:{self.server.server_port}"

    @property
    def messages(self) -> list[str]:
        return [envelope["data"]["baseData"]["message"] for envelope in self.envelopes]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


@pytest.fixture(params=[ApplicationInsights, OpenTelemetrySender])
def sender(request):
    return request.param


@pytest.fixture
def unsent(tmp_path) -> Path:
    return tmp_path / "unsent"


def record(key: str, message: str | None = None, severity_level: int = 1, **dimensions) -> TraceRecord:
    return TraceRecord(message or f"message {key}", severity_level, {"event_key": key, **dimensions})


def test_a_record_arrives_unchanged_as_message_data_with_its_dimensions(sender, endpoint, unsent):
    message = json.dumps({"model_name": "credit-card-default", "data": {"share": "100 %s %d", "name": "ünï"}})
    insights = sender(endpoint.connection_string, unsent)
    assert insights.send([record("k1", message, 2, partition="2026-01-01")]) == Delivery(sent=1)
    (envelope,) = endpoint.envelopes
    assert endpoint.paths == ["/v2.1/track"]
    assert envelope["iKey"] == KEY
    assert envelope["data"]["baseType"] == "MessageData"
    data = envelope["data"]["baseData"]
    assert data["message"] == message
    assert data["severityLevel"] == 2
    assert {"event_key": "k1", "partition": "2026-01-01"}.items() <= data["properties"].items()


@pytest.mark.parametrize("severity_level", range(5))
def test_severities_arrive_as_they_were(sender, endpoint, unsent, severity_level):
    sender(endpoint.connection_string, unsent).send([record("k", severity_level=severity_level)])
    assert endpoint.envelopes[0]["data"]["baseData"]["severityLevel"] == severity_level


def test_metrics_and_failures_arrive_as_what_they_are(sender, endpoint, unsent):
    told = [
        Measurement("credit_default/psi", 0.25, {"partition": "2026-01-01"}),
        Failure("JobFailed", "Job score-1 did not finish", {"run_id": "r", "job": "score_batch"}),
    ]
    assert sender(endpoint.connection_string, unsent).send(told) == Delivery(sent=2)
    for envelope in endpoint.envelopes:
        assert (envelope["tags"]["ai.cloud.role"], envelope["tags"]["ai.operation.id"]) == ("credit-default", "0" * 32)
    failure, metric = sorted((envelope["data"] for envelope in endpoint.envelopes), key=lambda data: data["baseType"])
    assert metric["baseType"] == "MetricData"
    (point,) = metric["baseData"]["metrics"]
    assert (point["name"], point["value"]) == ("credit_default/psi", 0.25)
    assert metric["baseData"]["properties"] == {"partition": "2026-01-01", "event_key": told[0].key}
    assert failure["baseType"] == "ExceptionData"
    (exception,) = failure["baseData"]["exceptions"]
    assert (exception["typeName"], exception["message"]) == ("JobFailed", "Job score-1 did not finish")
    assert failure["baseData"]["properties"]["run_id"] == "r"


def test_every_record_of_a_large_batch_has_arrived_when_send_returns(sender, endpoint, unsent):
    insights = sender(endpoint.connection_string, unsent)
    assert insights.send([record(f"k{number}") for number in range(750)]) == Delivery(sent=750)
    assert endpoint.messages == [f"message k{number}" for number in range(750)]


@pytest.mark.parametrize("connection_string", [None, "", "  "])
def test_without_a_connection_string_nothing_is_sent_and_nothing_imported(sender, unsent, connection_string, endpoint):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from credit_default.telemetry.records import TraceRecord\n"
        f"from {sender.__module__} import {sender.__name__} as sender\n"
        f"print(sender({connection_string!r}, Path(sys.argv[1])).send([TraceRecord('x')]))\n"
        "assert not [name for name in sys.modules if name.startswith(('opencensus', 'azure.monitor'))]\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(unsent)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Delivery(sent=0, kept=0, dropped=0)"
    assert not unsent.exists()
    assert endpoint.envelopes == []


@pytest.mark.parametrize("statsbeat", ["true", "false"])
def test_what_cannot_be_sent_is_kept_and_sent_by_a_later_process_after_its_first_success(
    endpoint, unsent, monkeypatch, statsbeat
):
    # The switch that others would set when offline makes the bare handler drop what it cannot send.
    monkeypatch.setenv("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", statsbeat)

    def send(connection_string: str, *keys: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", SENDER, connection_string, str(unsent), *keys],
            capture_output=True,
            text=True,
            check=True,
        )
        assert KEY not in done.stdout + done.stderr
        return done.stdout.strip()

    down = f"InstrumentationKey={KEY};IngestionEndpoint=http://127.0.0.1:9"
    assert send(down, "a", "b") == "Delivery(sent=0, kept=2, dropped=0)"
    time.sleep(0.6)
    assert send(endpoint.connection_string, "c") == "Delivery(sent=3, kept=0, dropped=0)"
    assert endpoint.messages == ["message c", "message a", "message b"]
    assert list(unsent.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, Delivery(kept=1)),
        (500, Delivery(kept=1)),
        (503, Delivery(kept=1)),
        (206, Delivery(dropped=1)),
        (400, Delivery(dropped=1)),
        (402, Delivery(dropped=1)),
        (439, Delivery(dropped=1)),
    ],
)
def test_a_busy_endpoint_is_tried_again_and_a_refusal_is_told(  # noqa: PLR0917 - pytest's fixtures
    sender, endpoint, unsent, status, expected, caplog
):
    endpoint.status = status
    send = sender(endpoint.connection_string, unsent).send
    # As libraries do that come later: it enables every logger that was there before.
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    with caplog.at_level(logging.DEBUG):
        delivery = send([record("k")])
    assert delivery == expected
    assert len(list(unsent.parent.glob("unsent*/*.blob*"))) == expected.kept
    assert KEY not in caplog.text


def test_sending_leaves_no_thread_behind_and_calls_nobody_else(sender, endpoint, unsent, monkeypatch):
    import requests

    addresses: list[str] = []
    request = requests.Session.request

    def noted(self, method, url, *arguments, **options):
        addresses.append(url)
        return request(self, method, url, *arguments, **options)

    monkeypatch.setattr(requests.Session, "request", noted)
    monkeypatch.delenv("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", raising=False)
    before = set(threading.enumerate())
    sender(endpoint.connection_string, unsent).send([record("k")])
    left = [thread.name for thread in set(threading.enumerate()) - before if "process_request" not in thread.name]
    assert left == []
    assert addresses == [f"http://127.0.0.1:{endpoint.server.server_port}/v2.1/track"]


def test_the_handler_has_the_lock_that_python_3_13_needs(endpoint, unsent):
    handler = _handler_type()(connection_string=endpoint.connection_string, storage_path=str(unsent))
    with handler.lock:
        pass
    handler.close()


@pytest.mark.parametrize("secret", ["InstrumentationKey=hunter2-is-no-uuid", "hunter2", "a=b=hunter2;c"])
def test_a_malformed_connection_string_is_told_without_quoting_it(sender, unsent, secret):
    with pytest.raises(SettingsError, match="APPLICATIONINSIGHTS_CONNECTION_STRING") as caught:
        sender(secret, unsent).send([record("k")])
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
