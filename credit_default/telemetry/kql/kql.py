"""KQL over local telemetry, with the rows that Application Insights would return.

duckdb-kql translates KQL to DuckDB's SQL and knows everything that the drift queries use but
``evaluate bag_unpack(column)``, which is done here: the pipeline is cut there, what stands before it is stored
as a table, the bags are unpacked, and what stands behind it goes on from the unpacked table.

Source: https://learn.microsoft.com/kusto/query/bag-unpack-plugin
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import duckdb_kql
import pyarrow as pa

from credit_default.errors import QueryError
from credit_default.telemetry.kql.limits import MAX_THREADS, Limits, fetch, limited, refuse_oversized, translated
from credit_default.telemetry.kql.results import shown
from credit_default.telemetry.kql.tables import TABLES, load, quoted

_DATABASE = "memory"  # what DuckDB calls a database that is in no file
_SUPPORTED = (
    "supported are where, project, extend, summarize, order by, top, take, count, distinct, join, union, "
    "mv-expand, parse, let and `evaluate bag_unpack(column [, 'prefix'])`, over `traces`, `customMetrics`, `exceptions`"
)
_BAG_UNPACK = re.compile(
    r"""evaluate \s+ bag_unpack \s* \( \s* (?P<column>[A-Za-z_]\w*) \s*
        (?: , \s* (?: '(?P<single>\w*)' | "(?P<double>\w*)" ) \s* )? \)""",
    re.VERBOSE,
)
#: The types of a slot's values, as DuckDB calls them in JSON, and the type of the column that holds them.
_TYPES = (
    (frozenset({"BOOLEAN"}), "BOOLEAN"),
    (frozenset({"BIGINT", "UBIGINT"}), "BIGINT"),
    # Kusto gives `dynamic` to long and real together; a number that is sometimes whole stays a number here.
    (frozenset({"BIGINT", "UBIGINT", "DOUBLE"}), "DOUBLE"),
    (frozenset({"VARCHAR"}), "VARCHAR"),
)


def run(query: str, traces: Path, *, since: datetime | None = None, until: datetime | None = None) -> pa.Table:
    """Run a KQL query over the files of this machine.

    Parameters
    ----------
    query
        KQL over `TABLES`.
    traces
        The file of the table ``traces``, with a line of JSON per row; those of the other tables lie beside it and are
        called after them. Any may be missing or empty; a torn line is left out.
    since, until
        Leave out rows from before and from after.

    Returns and raises what `run_over` does.
    """
    files = {name: traces.with_name(f"{name}.jsonl") for name in TABLES} | {"traces": traces}
    # Not `splitlines`, which also splits at characters that a message may hold.
    lines = {
        name: file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else []
        for name, file in files.items()
    }
    return run_over(query, lines, since=since, until=until)


def run_over(
    query: str,
    lines: Mapping[str, Sequence[str]],
    *,
    tables: Mapping[str, Mapping[str, str]] = TABLES,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pa.Table:
    """Run a KQL query.

    Parameters
    ----------
    query
        KQL over the tables.
    lines
        Table to its rows, each a document of JSON; what is none is left out.
    tables
        Table to its columns and their types; a table without lines is empty.
    since, until
        Leave out rows from before and from after.

    Returns
    -------
    pyarrow.Table
        ``datetime`` is a UTC timestamp, ``timespan`` is text as Kusto writes it, ``dynamic`` is JSON text, the others
        are what they are called.

    Raises
    ------
    QueryError
        The query is malformed, asks for what is not supported here, or reads anything but the tables.
    """
    if not query.strip() or query.lstrip().startswith("."):
        raise QueryError(f"expected a KQL query such as `traces | take 10`, not a command; {_SUPPORTED}")
    refuse_oversized(query)
    config: dict[str, Any] = {"autoinstall_known_extensions": False, "threads": min(MAX_THREADS, os.cpu_count() or 1)}
    with duckdb.connect(config=config) as connection, limited(connection) as limits:
        for name, columns in tables.items():
            load(connection, name, columns, lines.get(name, ()), since=since, until=until)
        # Every other door is shut: no file, no extension, no Python variable.
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        try:
            result = _pipeline(connection, query, limits)
            return shown(fetch(connection, result, limits))
        except duckdb_kql.KqlSyntaxError as error:
            raise QueryError(f"malformed KQL: {error}") from None
        except duckdb_kql.KqlError as error:
            raise QueryError(f"{error}; {_SUPPORTED}") from None
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            first = str(error).splitlines()[0]
            raise QueryError(f"{first} Columns and their types: `traces | getschema`") from None
        except (duckdb.InterruptException, duckdb.OutOfMemoryException):
            raise
        except duckdb.Error as error:  # its text may hold a value
            raise QueryError(f"the query fails while it runs ({type(error).__name__}); check its types") from None


def _pipeline(connection: duckdb.DuckDBPyConnection, query: str, limits: Limits) -> str:
    """Return the SQL of a query, after every ``bag_unpack`` in its pipeline was carried out."""
    step = 0
    while (cut := next(_evaluations(duckdb_kql.parse(query).tree), None)) is not None:
        statement, pipe, end = cut
        operator = query[pipe + 1 : end].strip()
        match = _BAG_UNPACK.fullmatch(operator)
        if match is None:
            raise QueryError(f"not supported: `{operator}`; {_SUPPORTED}")
        step += 1
        connection.execute(f"CREATE TABLE bags_{step} AS {_sql(connection, query[:pipe], limits)}")
        _unpack(connection, step, match["column"], match["single"] or match["double"] or "")
        query = f"{query[:statement]}unpacked_{step}{query[end:]}"
    return _sql(connection, query, limits)


def _evaluations(tree: Any) -> Iterator[tuple[int, int, int]]:
    """Yield where in the text the main statement begins, and each ``| evaluate ...`` of it begins and ends."""
    node = tree
    while type(node).__name__ != "PipeExpressionContext":  # the last statement is the query; `let`s precede it
        below = [child for child in node.children or () if hasattr(child, "children")]
        if not below:
            return
        node = below[-1]
    for child in node.children:
        if type(child).__name__ == "PipedOperatorContext":
            operator = child.children[1].children[0]
            if type(operator).__name__ == "EvaluateOperatorContext":
                yield node.start.start, child.start.start, child.stop.stop + 1


def _tokens(node: Any) -> Iterator[str]:
    """Yield the words, signs and literals of a parsed query, in order."""
    if not hasattr(node, "children"):
        yield node.getText()
    for child in getattr(node, "children", None) or ():
        yield from _tokens(child)


def _sql(connection: duckdb.DuckDBPyConnection, query: str, limits: Limits) -> str:
    """Translate a query without `bag_unpack` and hold it to our own tables."""
    words = list(_tokens(duckdb_kql.parse(query).tree))
    for word, sign in pairwise(words):
        if sign == "(" and word in {"database", "cluster"}:
            raise QueryError(f"not supported: `{word}(...)`; {_SUPPORTED}")

    schema: dict[str, list[str]] = {}
    columns = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
    for table, column in connection.sql(f"{columns} ORDER BY table_name, column_index").fetchall():
        schema.setdefault(table, []).append(column)
        schema.setdefault(f"{_DATABASE}.{table}", []).append(column)
    # With the database named, DuckDB's own tables and views cannot be meant by accident or by design.
    sql = translated(lambda: duckdb_kql.to_sql(query, schema=schema, database=_DATABASE, allow_write=False), limits)
    if sql.parameters or sql.unbound:
        raise QueryError(f"not supported: `declare query_parameters`; {_SUPPORTED}")
    for name in sorted(connection.get_table_names(str(sql), qualified=True)):
        if name not in schema:
            asked = name.removeprefix(f"{_DATABASE}.").strip('"')
            raise QueryError(f"there is no table {asked}; {_SUPPORTED}")
    return str(sql)


def _unpack(connection: duckdb.DuckDBPyConnection, step: int, column: str, prefix: str) -> None:
    """Make ``unpacked_<step>``: the columns of ``bags_<step>`` without the bags, then the slots by name.

    A slot that a bag lacks is null there, and so is every slot of something that is no bag. A slot has its
    values' type, or is ``dynamic`` when they differ.
    """
    source = f"bags_{step}"
    columns = dict(connection.sql(f"SELECT column_name, column_type FROM (DESCRIBE {source})").fetchall())  # noqa: S608
    if columns.get(column) != "JSON":
        got = f"is {columns[column]}: try parse_json" if column in columns else f"is none of {', '.join(columns)}"
        raise QueryError(f"bag_unpack: expected a dynamic column, and {column} {got}")
    bag = quoted(column)
    slots = connection.sql(
        f"""
        SELECT slot.key, list(DISTINCT slot.type) FILTER (slot.type != 'NULL')
        FROM (SELECT {bag} AS bag FROM {source} WHERE json_type({bag}) = 'OBJECT'), json_each(bag) AS slot
        GROUP BY slot.key ORDER BY slot.key COLLATE "C"
        """  # noqa: S608 - names are quoted
    ).fetchall()

    kept = [name for name in columns if name != column]
    taken = {name.casefold() for name in kept}
    selected = [quoted(name) for name in kept]
    for name, types in slots:
        output = prefix + name
        if output.casefold() in taken:
            raise QueryError(
                f"bag_unpack makes a second column {output}; expected other names: "
                f"give them a prefix, bag_unpack({column}, 'data_')"
            )
        taken.add(output.casefold())
        selected.append(f"{_slot(bag, name, frozenset(types or ()))} AS {quoted(output)}")
    connection.execute(f"CREATE TABLE unpacked_{step} AS SELECT {', '.join(selected)} FROM {source}")  # noqa: S608


def _slot(bag: str, name: str, types: frozenset[str]) -> str:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    path = "'" + pointer.replace("'", "''") + "'"
    for known, column_type in _TYPES:
        if types and types <= known:
            return f"TRY_CAST({bag} ->> {path} AS {column_type})"
    return f"NULLIF({bag} -> {path}, 'null'::JSON)"
