"""Bounds what one KQL query may take: length, nesting, SQL, time and memory."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

import duckdb
import pyarrow as pa
from duckdb_kql.parser import InputStream, KqlLexer  # type: ignore[attr-defined]

from credit_default.core.memory import at_most
from credit_default.errors import QueryError

TIMEOUT_SECONDS = 60.0
MAX_MEMORY_BYTES = 1024**3
#: Each reserves tens of MB, and a machine may have a hundred cores.
MAX_THREADS = 4
#: The longest query of ours has 600 characters. The parser is Python and takes its time.
MAX_CHARACTERS = 10_000
MAX_OPERATORS = 100
#: Brackets in brackets. The parser takes twice as long for every few of them.
MAX_DEPTH = 25
#: The longest of ours has 6,300. DuckDB plans 75,000 in 5 s, which nothing can interrupt.
MAX_SQL_CHARACTERS = 100_000
_OPENING, _CLOSING = "([{", ")]}"

_Translation = TypeVar("_Translation")


@dataclass
class Limits:
    """What is left of the time of one query."""

    deadline: float
    exceeded: bool = False

    def are_exceeded(self) -> bool:
        """Whether the time is up."""
        return self.exceeded or time.monotonic() > self.deadline

    def must_go_on(self) -> None:
        """Raise `QueryError` when the time is up."""
        if self.are_exceeded():
            raise _too_slow()

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
    lexer = KqlLexer(InputStream(query))
    lexer.removeErrorListeners()  # what is malformed is the parser's to report
    for token in lexer.getAllTokens():
        if token.type in {KqlLexer.STRINGLITERAL, KqlLexer.COMMENT}:
            continue
        depth += sum(sign in _OPENING for sign in token.text)
        deepest = max(deepest, depth)
        depth -= sum(sign in _CLOSING for sign in token.text)
        operators += token.text == "|"
    if deepest > MAX_DEPTH:
        raise QueryError(f"the query has brackets {deepest:,} deep; expected {MAX_DEPTH} at most")
    if operators > MAX_OPERATORS:
        raise QueryError(f"the query has {operators:,} operators; expected {MAX_OPERATORS} at most")


class _Stopped(BaseException):
    """Takes an error past a translator that catches `Exception` and tries another way."""

    def __init__(self, error: QueryError) -> None:
        super().__init__(str(error))
        self.error = error


def _too_slow() -> QueryError:
    return QueryError(
        f"the query was stopped after {TIMEOUT_SECONDS:g} s; ask for less: a shorter time span, fewer columns, or "
        "`take` before `join` and `mv-expand`"
    )


def _too_long() -> QueryError:
    return QueryError(
        f"the query becomes more than {MAX_SQL_CHARACTERS:,} characters of SQL; nest fewer functions such as "
        "`tostring` in each other, and give what one returns a name by `extend` before the next takes it"
    )


@contextmanager
def limited_process() -> Iterator[None]:
    """Hold this process, whose one work is a query that a person wrote, to the limits that `limited` cannot hold.

    DuckDB does not count a list while it makes it (`range x from 1 to 1000000000 step 1` took 15 GB), and nothing
    interrupts that, nor the parser, which took 93 s for 10,000 characters. Only for the main thread of a command: in a
    process with other work, that would be limited, too.

    Raises
    ------
    QueryError
        The time is up.
    """

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise _Stopped(_too_slow())

    before = signal.signal(signal.SIGALRM, stop)
    # And again each second: what is raised while an object is being removed is lost.
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT_SECONDS, 1.0)
    try:
        # What a query makes, and its result.
        with at_most(2 * MAX_MEMORY_BYTES):
            yield
    except _Stopped as stopped:
        raise stopped.error from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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


def translated(translate: Callable[[], _Translation], limits: Limits) -> _Translation:
    """Translate to SQL, and stop the translator, which is Python, when the time is up or a text of it is too long.

    It repeats the argument of a conversion up to 33 times, in a conversion of a conversion 33 times 33. So the text is
    measured each time that a function returns one, and not when all of it is there.

    Raises
    ------
    QueryError
        Saying so.
    """

    def measure(_: FrameType, event: str, value: object) -> None:
        if event == "return":
            if limits.are_exceeded():
                raise _Stopped(_too_slow())
            if isinstance(value, str) and len(value) > MAX_SQL_CHARACTERS:
                raise _Stopped(_too_long())

    before = sys.getprofile()
    sys.setprofile(measure)
    try:
        return translate()
    except _Stopped as stopped:
        raise stopped.error from None
    finally:
        sys.setprofile(before)


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
