"""Where a deployment keeps and sends what it collects, read from its environment and validated before it serves."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from credit_default.errors import SettingsError
from credit_default.settings import (
    CONNECTION_STRING_VARIABLE,
    TELEMETRY_FOLDER_VARIABLE,
    TELEMETRY_VARIABLE,
    Exporter,
)
from credit_default.telemetry.application_insights import ApplicationInsights
from credit_default.telemetry.collector import Collector
from credit_default.telemetry.opentelemetry_sender import OpenTelemetrySender


def collector_of(environ: Mapping[str, str]) -> Collector:
    """Return what collects, into a folder, to Application Insights, or both.

    Raises
    ------
    SettingsError
        There is nowhere to collect to, or a variable is malformed.
    """
    folder = environ.get(TELEMETRY_FOLDER_VARIABLE, "").strip()
    connection_string = environ.get(CONNECTION_STRING_VARIABLE, "").strip()
    if not folder and not connection_string:
        raise SettingsError(
            f"neither {CONNECTION_STRING_VARIABLE} nor {TELEMETRY_FOLDER_VARIABLE} is set; expected at least one of "
            "them (where collected inputs go)"
        )
    log = None
    if folder:
        from credit_default.telemetry.traces import TraceLog

        log = TraceLog(Path(folder) / "traces.jsonl")
    return Collector(log, _sender(environ, folder, connection_string) if connection_string else None)


def _sender(
    environ: Mapping[str, str], folder: str, connection_string: str
) -> ApplicationInsights | OpenTelemetrySender:
    name = environ.get(TELEMETRY_VARIABLE, "").strip() or Exporter.OPENCENSUS
    try:
        exporter = Exporter(name)
    except ValueError:
        raise SettingsError(f"{TELEMETRY_VARIABLE} is {name!r}; set it to {' or '.join(Exporter)}") from None
    kind = OpenTelemetrySender if exporter is Exporter.OPENTELEMETRY else ApplicationInsights
    sender = kind(connection_string, Path(folder or Path(tempfile.gettempdir(), "credit-default")) / "unsent")
    sender.check()
    return sender
