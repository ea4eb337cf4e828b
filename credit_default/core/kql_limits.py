"""Bounds what one KQL query may take: length, nesting, time and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from credit_default.errors import QueryError

TIMEOUT_SECONDS = 60.0
MAX_MEMORY_BYTES = 1024**3
#: The longest query of ours has 600 characters. The parser is Python and takes its time, which nothing can interrupt.
MAX_CHARACTERS = 10_000
MAX_OPERATORS = 100
#: Brackets in brackets. The parser takes twice as long for every few of them.
MAX_DEPTH = 25
_OPENING, _CLOSING, _QUOTES = "([{", ")]}", "'\""


@dataclass
class Limits:
    """What is left of the time of one query."""

    deadline: float
    exceeded: bool = False

    def must_go_on(self) -> None:
        """Raise `QueryError` when the time is up."""
        if self.exceeded or time.monotonic() > self.deadline:
            raise QueryError(
                f"the query was stopped after {TIMEOUT_SECONDS:g} s; ask for less: a shorter time span, fewer columns, "
                "or `take` before `join` and `mv-expand`"
            )

    def out_of_memory(self) -> QueryError:
        """Return the error for a query that needs too much."""
        return QueryError(
            f"the query needs more than {MAX_MEMORY_BYTES / 1024**3:g} GB of memory; ask for less: a shorter time "
            "span, fewer columns, or `take` before `join` and `mv-expand`"
        )


def refuse_oversized(query: str) -> None:
    """Raise `QueryError` for a query that is too long, has too many operators, or is nested too deeply to be parsed."""
    if len(query) > MAX_CHARACTERS:
        raise QueryError(f"the query has {len(query):,} characters; expected {MAX_CHARACTERS:,} at most")
    depth = deepest = operators = 0
    quote = ""
    for sign in query:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        elif sign in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif sign in _CLOSING:
            depth -= 1
        elif sign == "|":
            operators += 1
    if deepest > MAX_DEPTH:
        raise QueryError(f"the query has brackets {deepest:,} deep; expected {MAX_DEPTH} at most")
    if operators > MAX_OPERATORS:
        raise QueryError(f"the query has {operators:,} operators; expected {MAX_OPERATORS} at most")


@contextmanager
def limited(connection: duckdb.DuckDBPyConnection) -> Iterator[Limits]:
    """Run a query within the limits: whatever the database is doing is interrupted when the time is up.

    Raises
    ------
    QueryError
        Time or memory was not enough, or the query is nested too deeply.
    """
    # No file to spill to: what does not fit into memory is refused.
    connection.execute(f"SET memory_limit = '{MAX_MEMORY_BYTES // 1024**2}MiB'; SET temp_directory = ''")
    limits = Limits(time.monotonic() + TIMEOUT_SECONDS)

    def stop() -> None:
        limits.exceeded = True
        connection.interrupt()

    timer = threading.Timer(TIMEOUT_SECONDS, stop)
    timer.daemon = True
    timer.start()
    try:
        yield limits
    except duckdb.InterruptException:
        limits.exceeded = True
        limits.must_go_on()
    except (duckdb.OutOfMemoryException, MemoryError):
        raise limits.out_of_memory() from None
    except RecursionError:
        raise QueryError("the query is nested too deeply to be read; split it") from None
    finally:
        timer.cancel()


def fetch(connection: duckdb.DuckDBPyConnection, sql: str, limits: Limits) -> pa.Table:
    """Return the rows of a query, a batch at a time, as long as they are within the limits."""
    reader = connection.sql(sql).to_arrow_reader(10_000)
    batches, size = [], 0
    try:
        for batch in reader:
            limits.must_go_on()
            size += batch.nbytes
            if size > MAX_MEMORY_BYTES:
                raise limits.out_of_memory()
            batches.append(batch)
    except (
        pa.ArrowException,
        OSError,
    ) as error:  # what DuckDB raises comes through Arrow as that; its text holds values
        limits.must_go_on()
        if "Out of Memory" in str(error):
            raise limits.out_of_memory() from None
        raise QueryError("the query fails while it runs; check its types") from None
    return pa.Table.from_batches(batches, reader.schema)
