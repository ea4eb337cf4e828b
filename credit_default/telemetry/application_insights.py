"""Records to Application Insights, through opencensus-ext-azure's log handler and its transport.

The handler is imported and started only when there is something to send and a connection string to send it
with; without one nothing leaves the machine. Microsoft ended opencensus's support in September 2024, so it is
kept behind this one class.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from credit_default.errors import SettingsError
from credit_default.telemetry.records import CLOUD_ROLE, NO_OPERATION, Failure, Measurement, Record, TraceRecord

#: Python's logging levels for Application Insights' severities 0 to 4; the handler maps them back.
_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


@dataclass(frozen=True)
class Delivery:
    """What became of the records.

    Attributes
    ----------
    sent
        Accepted by the endpoint; those that had waited are counted too.
    kept
        The endpoint could not be reached or was busy: on disk, sent after the next success, within 7 days.
    dropped
        Refused by the endpoint for good (400, 402, 439): wrong key, or over the quota. A request that was
        accepted in part counts whole; what can be tried again of it is kept all the same.
    """

    sent: int = 0
    kept: int = 0
    dropped: int = 0


@cache
def _handler_type() -> type[Any]:
    """Import the log handler and mend it."""
    with warnings.catch_warnings():
        # Our own tests turn warnings into errors, and importing opencensus warns that it is deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        from opencensus.ext.azure.common.protocol import Data, DataPoint, ExceptionData, MetricData
        from opencensus.ext.azure.common.transport import TransportStatusCode
        from opencensus.ext.azure.log_exporter import AzureLogHandler

    # This logger quotes whole envelopes, the instrumentation key among them; Delivery says what happened instead.
    # A filter, since whoever configures logging later enables loggers again.
    logging.getLogger("opencensus.ext.azure.common.transport").addFilter(lambda _: False)

    fates = {TransportStatusCode.SUCCESS: "sent", TransportStatusCode.RETRY: "kept"}

    class Handler(AzureLogHandler):  # type: ignore[misc] # no type information is published
        started = False

        def __init__(self, **options: Any) -> None:
            self.delivery = Delivery()
            super().__init__(**options)
            self.started = True

        def createLock(self) -> None:  # noqa: N802 - logging's name
            # The handler sets the lock to None, which Python 3.13 no longer accepts in `handle`.
            logging.Handler.createLock(self)

        def log_record_to_envelope(self, record: logging.LogRecord) -> Any:
            # Metrics and exceptions go the way of traces, so that one transport and one store on disk hold all.
            envelope = super().log_record_to_envelope(record)
            # Otherwise the name of the program file that happens to run.
            envelope.tags |= {"ai.cloud.role": CLOUD_ROLE, "ai.operation.id": NO_OPERATION}
            told, properties = record.told, record.custom_dimensions  # type: ignore[attr-defined] # ours
            if isinstance(told, Measurement):
                envelope.name = "Microsoft.ApplicationInsights.Metric"
                points = [DataPoint(ns="", name=told.name, value=told.value, kind=0, count=1)]
                envelope.data = Data(baseData=MetricData(metrics=points, properties=properties), baseType="MetricData")
            elif isinstance(told, Failure):
                envelope.name = "Microsoft.ApplicationInsights.Exception"
                exception = {"id": 1, "outerId": 0, "typeName": told.kind, "message": told.message}
                data = ExceptionData(
                    exceptions=[{**exception, "hasFullStack": False, "parsedStack": []}],
                    severityLevel=told.severity_level,
                    properties=properties,
                )
                envelope.data = Data(baseData=data, baseType="ExceptionData")
            return envelope

        def _check_stats_collection(self) -> bool:
            # False while the handler starts, so that it does not report on its users to Microsoft. The
            # documented switch for that (APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL) would also make it drop
            # records when the endpoint cannot be reached: the transport keeps them only where this is True.
            return self.started

        def _transmit(self, envelopes: Sequence[Any]) -> Any:
            outcome = super()._transmit(envelopes)
            fate = fates.get(outcome, "dropped")
            so_far = getattr(self.delivery, fate)
            self.delivery = replace(self.delivery, **{fate: so_far + len(envelopes)})
            return outcome

    return Handler


class ApplicationInsights:
    """Sends records; does nothing when there is no connection string.

    Parameters
    ----------
    connection_string
        ``InstrumentationKey=...;IngestionEndpoint=https://...``, from the Azure portal, or None.
    unsent
        Folder in which records wait while the endpoint cannot be reached.
    timeout
        Seconds to wait for the endpoint, for each request.
    retry_after
        Seconds before records that could not be sent are tried again.
    """

    def __init__(
        self, connection_string: str | None, unsent: Path, *, timeout: float = 10.0, retry_after: float = 60.0
    ) -> None:
        self._connection_string = (connection_string or "").strip()
        self._unsent = unsent
        self._timeout = timeout
        self._retry_after = retry_after

    def check(self) -> None:
        """Raise what `send` would, before there is anything to send; sends nothing."""
        self._start().close()

    def send(self, records: Sequence[Record]) -> Delivery:
        """Send the records, and after the first success those that wait; return when the endpoint has answered.

        Raises
        ------
        SettingsError
            The connection string is malformed. It is a secret and is not quoted.
        """
        if not self._connection_string or not records:
            return Delivery()
        handler = self._start()
        try:
            for record in records:
                handler.handle(_log_record(record))
            handler.flush()
        finally:
            handler.close()
        delivery: Delivery = handler.delivery
        return delivery

    def _start(self) -> Any:
        try:
            return _handler_type()(
                connection_string=self._connection_string,
                storage_path=str(self._unsent),
                timeout=self._timeout,
                minimum_retry_interval=self._retry_after,
                grace_period=self._timeout + 5,
            )
        except ValueError:
            raise SettingsError(
                "APPLICATIONINSIGHTS_CONNECTION_STRING is malformed; expected "
                "InstrumentationKey=<uuid>;IngestionEndpoint=https://..., as the Azure portal shows it"
            ) from None


def _log_record(record: Record) -> logging.LogRecord:
    message, severity = (record.message, record.severity_level) if isinstance(record, TraceRecord) else ("", 1)
    level = _LEVELS[min(max(severity, 0), len(_LEVELS) - 1)]
    # No arguments, so a per cent sign in the message is nothing special.
    log = logging.LogRecord("credit_default", level, __file__, 0, message, None, None)
    log.told = record
    log.pathname = log.filename  # otherwise the path of this checkout would be sent with every record
    log.custom_dimensions = {**record.custom_dimensions, "event_key": record.key}
    return log
