"""Records to Application Insights, through Microsoft's OpenTelemetry exporter.

The other choice beside `application_insights`, whose opencensus Microsoft no longer supports. Records are handed to the
exporter as what they are, a log record or a point of a gauge, without the pipeline of the OpenTelemetry SDK in between:
that sends in the background, and could not say what became of them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from credit_default.errors import SettingsError
from credit_default.telemetry.application_insights import Delivery
from credit_default.telemetry.records import (
    CLOUD_ROLE,
    EVENT_KEY,
    NO_OPERATION,
    Failure,
    Measurement,
    Record,
    TraceRecord,
)

#: Reports on its users to Microsoft, and a control plane that is asked: both off while it is used.
_SWITCHES = {
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
}
_KEPT_SECONDS = 7 * 24 * 3600
#: OpenTelemetry's severity numbers for those of Application Insights, 0 to 4.
_SEVERITIES = (5, 9, 13, 17, 21)


@cache
def _exporter_types() -> tuple[type[Any], type[Any]]:
    """Import the exporters of logs and of metrics, and let both count what became of what they sent."""
    from azure.monitor.opentelemetry.exporter import AzureMonitorLogExporter, AzureMonitorMetricExporter
    from azure.monitor.opentelemetry.exporter.export._base import ExportResult

    # They quote whole envelopes, the instrumentation key among them; Delivery says what happened instead.
    logging.getLogger("azure.monitor.opentelemetry.exporter.export._base").addFilter(lambda _: False)
    fates = {ExportResult.SUCCESS: "sent", ExportResult.FAILED_RETRYABLE: "kept"}

    class Counting:
        delivery = Delivery()

        def _transmit(self, envelopes: list[Any], _skip_rate_limit: bool = False) -> Any:  # noqa: FBT001, FBT002
            for envelope in envelopes:  # metrics would have neither
                ours = {"ai.cloud.role": CLOUD_ROLE, "ai.operation.id": NO_OPERATION}
                envelope.tags = {**(envelope.tags or {}), **ours}
            outcome = super()._transmit(envelopes, _skip_rate_limit)  # type: ignore[misc] # of the class mixed with
            if not _skip_rate_limit:  # otherwise it is the same request once more, at another address
                fate = fates.get(outcome, "dropped")
                so_far = getattr(self.delivery, fate)
                self.delivery = replace(self.delivery, **{fate: so_far + len(envelopes)})
            return outcome

    logs = type("LogExporter", (Counting, AzureMonitorLogExporter), {})
    metrics = type("MetricExporter", (Counting, AzureMonitorMetricExporter), {})
    return logs, metrics


class OpenTelemetrySender:
    """Sends records; does nothing when there is no connection string.

    The parameters are those of `application_insights.ApplicationInsights`.
    """

    def __init__(
        self, connection_string: str | None, unsent: Path, *, timeout: float = 10.0, retry_after: float = 60.0
    ) -> None:
        self._connection_string = (connection_string or "").strip()
        # Apart from what the other sender keeps, which is written in another way.
        self._unsent = unsent.with_name(f"{unsent.name}-opentelemetry")
        self._timeout = timeout
        self._retry_after = retry_after

    def check(self) -> None:
        """Raise what `send` would, before there is anything to send; sends nothing.

        Raises
        ------
        SettingsError
            The connection string is malformed. It is a secret and is not quoted.
        """
        with _switched_off():
            for kind in _exporter_types():
                self._open(kind).shutdown()

    def send(self, records: Sequence[Record]) -> Delivery:
        """Send the records, and after the first success those that wait; return when the endpoint has answered.

        Raises
        ------
        SettingsError
            The connection string is malformed. It is a secret and is not quoted.
        """
        if not self._connection_string or not records:
            return Delivery()
        with _switched_off():
            logs, metrics = (self._open(kind) for kind in _exporter_types())
            try:
                points = [record for record in records if isinstance(record, Measurement)]
                others = [record for record in records if not isinstance(record, Measurement)]
                if others:
                    logs.export([_log(record) for record in others])
                if points:
                    metrics.export(_gauges(points))
            finally:
                logs.shutdown()
                metrics.shutdown()
        told = (logs.delivery, metrics.delivery)
        return Delivery(*(sum(counts) for counts in zip(*((d.sent, d.kept, d.dropped) for d in told), strict=True)))

    def _open(self, kind: type[Any]) -> Any:
        try:
            return kind(
                connection_string=self._connection_string,
                storage_directory=str(self._unsent),
                storage_retention_period=_KEPT_SECONDS,
                storage_min_retry_interval=self._retry_after,
                timeout=self._timeout,
                read_timeout=self._timeout,  # otherwise five minutes
                retry_total=0,
            )
        except ValueError:
            raise SettingsError(
                "APPLICATIONINSIGHTS_CONNECTION_STRING is malformed; expected "
                "InstrumentationKey=<uuid>;IngestionEndpoint=https://..., as the Azure portal shows it"
            ) from None


@contextmanager
def _switched_off() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _SWITCHES}
    os.environ.update(_SWITCHES)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _log(record: TraceRecord | Failure) -> Any:
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.resources import Resource

    attributes = {**record.custom_dimensions, EVENT_KEY: record.key}
    if isinstance(record, Failure):
        attributes |= {"exception.type": record.kind, "exception.message": record.message}
    level = _SEVERITIES[min(max(record.severity_level, 0), len(_SEVERITIES) - 1)]
    log = LogRecord(
        timestamp=time.time_ns(),
        severity_number=SeverityNumber(level),
        body=record.message,
        attributes=attributes,
    )
    return ReadableLogRecord(log_record=log, resource=Resource.get_empty())


def _gauges(measurements: Sequence[Measurement]) -> Any:
    from opentelemetry.sdk.metrics.export import (
        Gauge,
        Metric,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    now = time.time_ns()
    metrics = [
        Metric(
            name=measurement.name,
            description="",
            unit="",
            data=Gauge(
                [
                    NumberDataPoint(
                        attributes={**measurement.custom_dimensions, EVENT_KEY: measurement.key},
                        start_time_unix_nano=now,
                        time_unix_nano=now,
                        value=measurement.value,
                    )
                ]
            ),
        )
        for measurement in measurements
    ]
    scope = ScopeMetrics(scope=InstrumentationScope("credit_default"), metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=Resource.get_empty(), scope_metrics=[scope], schema_url="")])
