"""Telemetry in files of this machine, and to Application Insights where a connection string is set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field, PrivateAttr

from credit_default.core.plurals import plural
from credit_default.core.system_errors import explained
from credit_default.ports import Telemetry
from credit_default.telemetry.application_insights import ApplicationInsights, Delivery
from credit_default.telemetry.opentelemetry_sender import OpenTelemetrySender
from credit_default.telemetry.records import Record
from credit_default.telemetry.traces import TraceLog

#: How long the endpoint may take to answer, and how long after it did not, for a while.
_PATIENT_SECONDS, _HURRIED_SECONDS, _HURRY_FOR_SECONDS = 10.0, 0.5, 60.0


class LocalTelemetry(Telemetry):
    """Always writes a file for each table, ``traces.jsonl`` among them; sends what is new to Application Insights."""

    folder: str = Field(description="Folder of traces.jsonl, customMetrics.jsonl and exceptions.jsonl.")
    connection_string: str = Field(
        default="", description="Application Insights connection string; empty sends nothing anywhere."
    )
    exporter: str = Field(default="opencensus", description="What sends: opencensus or opentelemetry.")
    _logs: dict[str, TraceLog] = PrivateAttr(default_factory=dict)
    _hurry_until: float = PrivateAttr(default=0.0)

    def emit(self, records: Sequence[Record]) -> int:  # noqa: D102 - see the port
        with explained(self.folder):
            return self._emit(records)

    def _emit(self, records: Sequence[Record]) -> int:
        tables = dict.fromkeys(record.table for record in records)
        sorted_out = {table: [record for record in records if record.table == table] for table in tables}
        new = [record for table, some in sorted_out.items() for record in self._log(table).missing(some)]
        # Sent before it is noted: a crash in between sends it again under the same key, which loses nothing.
        delivery = self._send(new)
        if delivery.dropped:
            dg.get_dagster_logger().error(
                f"Application Insights refused {plural(delivery.dropped, 'record')} for good: the key may be wrong or "
                f"the quota used up. They are in the files of {Path(self.folder).name}/ and nowhere else."
            )
        if delivery.kept:
            dg.get_dagster_logger().warning(
                f"Application Insights could not be reached; {plural(delivery.kept, 'record')} kept, to be sent later."
            )
        return sum(self._log(table).append([record for record in new if record.table == table]) for table in tables)

    def query(  # noqa: D102 - see the port
        self, kql: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Mapping[str, Any]]:
        # DuckDB takes a second to import: only who asks pays for it.
        from credit_default.telemetry.kql.kql import run

        rows: list[Mapping[str, Any]] = run(
            kql, Path(self.folder) / "traces.jsonl", since=since, until=until
        ).to_pylist()
        return rows

    def _send(self, records: Sequence[Record]) -> Delivery:
        """Send records; where the endpoint did not answer a moment ago, do not wait for it long again.

        A run over many days tells something many times, and is not to be held up by whoever does not listen.
        """
        sender = OpenTelemetrySender if self.exporter == "opentelemetry" else ApplicationInsights
        hurried = time.monotonic() < self._hurry_until
        timeout = _HURRIED_SECONDS if hurried else _PATIENT_SECONDS
        delivery = sender(self.connection_string, Path(self.folder) / "unsent", timeout=timeout).send(records)
        if delivery.kept and not hurried:
            self._hurry_until = time.monotonic() + _HURRY_FOR_SECONDS
        return delivery

    def _log(self, table: str) -> TraceLog:
        return self._logs.setdefault(table, TraceLog(Path(self.folder) / f"{table}.jsonl"))
