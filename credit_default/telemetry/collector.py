"""Records of requests that are under way: kept before the answer, sent after it.

A request never waits for whoever is sent the records. It does wait for the file of this machine, where there is one,
which takes about a millisecond: what was answered is then there, whenever the process dies.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from credit_default.core.plurals import plural, verb
from credit_default.telemetry.application_insights import Delivery
from credit_default.telemetry.records import Record

_log = logging.getLogger("credit_default")


class Sender(Protocol):
    """Sends records somewhere, and says what became of them."""

    def send(self, records: Sequence[Record]) -> Delivery:
        """Return when they were taken, refused, or kept to be sent later."""


class Log(Protocol):
    """Keeps records on this machine."""

    def append(self, records: Sequence[Record]) -> int:
        """Return when they are on the disk."""


class Collector:
    """Takes records from any thread.

    Parameters
    ----------
    log
        Where they are kept first, or None.
    sender
        Who is sent them in the background, or None.
    """

    def __init__(self, log: Log | None, sender: Sender | None) -> None:
        self._log = log
        self._sender = sender
        # Threads that wait for each other in turn; the lock of the file would let them look again and again.
        self._turn = threading.Lock()
        self._waiting: deque[Record] = deque()
        # Starts its thread with the first record, so in the process that serves and not in one that forks it. The
        # interpreter waits for it when it ends normally, and it then ends with nothing left to send.
        self._background = ThreadPoolExecutor(1, thread_name_prefix="collector")

    def collect(self, records: Sequence[Record]) -> None:
        """Keep the records, and have them sent."""
        if self._log is not None:
            with self._turn:
                self._log.append(records)
        if self._sender is not None and records:
            self._waiting.extend(records)
            self._background.submit(self._send_waiting, self._sender)

    def close(self) -> None:
        """Return when everything was sent, or kept by the sender to be sent later."""
        self._background.shutdown()

    def _send_waiting(self, sender: Sender) -> None:
        """Send all that has come since the last time: the slower the endpoint, the fewer and larger its requests."""
        records = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not records:
            return
        try:
            delivery = sender.send(records)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next records are to be sent
            # Its text may quote a record.
            were = verb(len(records), "was", "were")
            _log.error(f"{plural(len(records), 'record')} of collected inputs {were} not sent: {type(error).__name__}")
            return
        if delivery.dropped:
            _log.error(
                f"Application Insights refused {plural(delivery.dropped, 'record')} of collected inputs for good: the "
                "key may be wrong or the quota used up"
            )
        if delivery.kept:
            _log.warning(
                f"Application Insights could not be reached; {plural(delivery.kept, 'record')} of collected inputs "
                "kept on the disk, to be sent after the next success"
            )
