"""Telemetry on Azure: an outage loses nothing and doubles nothing; each workspace sees its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from credit_default.errors import QueryError
from credit_default.telemetry.kql.tables import TABLES
from credit_default.telemetry.records import Failure, Measurement, TraceRecord
from credit_default_tests.platforms import telemetry_of

pytestmark = pytest.mark.slow

COUNTS = {
    table: f"{table} | summarize n = count() by k = tostring(customDimensions.event_key)"
    for table in ("traces", "customMetrics", "exceptions")
}
SENDER = """
import sys
from pathlib import Path
from credit_default.telemetry.application_insights import ApplicationInsights
from credit_default.telemetry.opentelemetry_sender import OpenTelemetrySender
from credit_default_tests.platforms import telemetry_of
from credit_default_tests.resources.azure.test_telemetry import records

for sender in (ApplicationInsights, OpenTelemetrySender):
    sender.__init__.__kwdefaults__["retry_after"] = 0.2  # an outage of an hour, in a fifth of a second
telemetry_of("azure", Path(sys.argv[1]), sys.argv[2]).emit(records(*sys.argv[3:]))
"""


def records(*names: str) -> list:
    """One of each kind, for each name."""
    return [
        record
        for name in names
        for record in (
            TraceRecord(f"message {name}", 1, {"event_key": f"trace {name}"}),
            Measurement("credit_default/psi", 0.1, {"event_key": f"metric {name}"}),
            Failure("JobFailed", f"failure {name}", {"event_key": f"failure {name}"}),
        )
    ]


def arrived(telemetry) -> dict[str, int]:
    """How often each record arrived."""
    return {row["k"]: row["n"] for query in COUNTS.values() for row in telemetry.query(query)}


@pytest.fixture(params=["opencensus", "opentelemetry"])
def telemetry(azure, tmp_path, request):
    return telemetry_of("azure", tmp_path / "telemetry", request.param)


def send(telemetry, *names: str) -> None:
    """Send from a process of its own, as each run does."""
    done = subprocess.run(
        [sys.executable, "-c", SENDER, telemetry.folder, telemetry.exporter, *names],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert os.environ["APPLICATIONINSIGHTS_CONNECTION_STRING"].split(";")[0] not in done.stdout + done.stderr


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429, "retry_after": 1}, {"drop": True}])
def test_an_outage_over_several_runs_loses_no_record_and_doubles_none(telemetry, emulator, fault):
    emulator.fault("POST", "/v2.1/track", times=99, **fault)
    send(telemetry, "a", "b")
    send(telemetry, "b", "c")  # a run that was tried again tells the same once more
    assert arrived(telemetry) == {}
    emulator.clear_faults()
    time.sleep(0.5)
    send(telemetry, "d")
    told = {record.key: 1 for record in records("a", "b", "c", "d")}
    assert arrived(telemetry) == told
    time.sleep(0.5)
    send(telemetry, "a", "d", "e")
    assert arrived(telemetry) == told | {record.key: 1 for record in records("e")}


def test_each_workspace_sees_its_own_rows(telemetry, emulator, monkeypatch, tmp_path):
    telemetry.emit(records("here"))
    for name, value in emulator.workspace().settings.items():
        monkeypatch.setenv(name, value)
    assert arrived(telemetry_of("azure", tmp_path / "elsewhere", telemetry.exporter)) == {}


def test_the_log_analytics_workspace_has_the_same_rows_under_its_own_names(telemetry, azure):
    from azure.identity import DefaultAzureCredential
    from azure.monitor.query import LogsQueryClient

    telemetry.emit(records("a"))
    with DefaultAzureCredential() as credential, LogsQueryClient(credential) as client:
        for query, expected in (
            ("AppTraces | project Message", "message a"),
            ("AppMetrics | project Name", "credit_default/psi"),
            ("AppExceptions | project OuterMessage", "failure a"),
        ):
            (table,) = client.query_workspace(azure.log_analytics, query, timespan=None).tables
            assert [row[0] for row in table.rows] == [expected]


def test_queries_give_the_same_rows_where_only_the_tables_of_log_analytics_are_known(telemetry, azure, emulator):
    telemetry.emit(records("a", "b"))
    queries = [
        *COUNTS.values(),
        *(f"{table} | project {', '.join(columns)} | order by timestamp asc" for table, columns in TABLES.items()),
        "union traces, exceptions | summarize n = sum(itemCount) by severityLevel | order by severityLevel asc",
    ]
    classic = [telemetry.query(query) for query in queries]
    emulator.log_analytics(azure.name, classic_tables=False)
    assert [telemetry.query(query) for query in queries] == classic
    assert all(classic)


def test_what_azure_monitor_refuses_is_told_in_its_words(telemetry, azure, emulator):
    with pytest.raises(QueryError, match=r"Azure Monitor does not run this query: .*there is no table AppTraces"):
        telemetry.query("AppTraces | take 1")
    emulator.log_analytics(azure.name, classic_tables=False)
    both = r"(?s)there is no table traces.*; nor over the tables of Log Analytics: .*nowhere"
    with pytest.raises(QueryError, match=both):
        telemetry.query("traces | project nowhere")


def test_an_outage_of_azure_monitor_is_borne_with(telemetry, emulator):
    telemetry.emit(records("a"))
    emulator.fault("POST", "/query", status=503, times=6)
    assert len(arrived(telemetry)) == 3
