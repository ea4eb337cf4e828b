"""Makes every SQLite database that SQLAlchemy opens in this process wait for other processes.

MLflow and Dagster open theirs in many places, and wait 5 and 30 seconds. Here is the one place that they all pass.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from credit_default.core.system_errors import LOCK_TIMEOUT_SECONDS


def install() -> None:
    """Set the timeout of connections that are made from now on, and let errors say which database they are of.

    Installing it twice changes nothing.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _wait):
        event.listen(Engine, "connect", _wait)
        event.listen(Engine, "handle_error", _note)


def _wait(connection: Any, _: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(f"PRAGMA busy_timeout = {LOCK_TIMEOUT_SECONDS * 1000:.0f}")


def _note(context: Any) -> None:
    if isinstance(context.original_exception, sqlite3.Error) and context.engine is not None:
        context.original_exception.database = context.engine.url.database  # type: ignore[attr-defined]
