"""Telemetry in a file of this machine, and to Application Insights where a connection string is set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from pydantic import Field, PrivateAttr

from credit_default.core.telemetry import TraceRecord
from credit_default.resources.application_insights import ApplicationInsights
from credit_default.resources.local.traces import TraceLog
from credit_default.resources.ports import Telemetry


class LocalTelemetry(Telemetry):
    """Always writes ``traces.jsonl``; sends what is new there to Application Insights as well."""

    folder: str = Field(description="Folder of traces.jsonl.")
    connection_string: str = Field(
        default="", description="Application Insights connection string; empty sends nothing anywhere."
    )
    _log: TraceLog | None = PrivateAttr(default=None)

    def emit(self, records: Sequence[TraceRecord]) -> int:  # noqa: D102 - see the port
        if self._log is None:
            self._log = TraceLog(Path(self.folder) / "traces.jsonl")
        new = self._log.missing(records)
        # Sent before it is noted: a crash in between sends it again under the same key, which loses nothing.
        delivery = ApplicationInsights(self.connection_string, Path(self.folder) / "unsent").send(new)
        if delivery.dropped:
            dg.get_dagster_logger().error(
                f"Application Insights refused {delivery.dropped} record(s) for good: the key may be wrong or the "
                "quota used up. They are in traces.jsonl and nowhere else."
            )
        if delivery.kept:
            dg.get_dagster_logger().warning(
                f"Application Insights could not be reached; {delivery.kept} record(s) wait and are sent later."
            )
        return self._log.append(new)
