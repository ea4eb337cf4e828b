"""The tables that KQL is asked of: those of an Application Insights resource, loaded from rows of JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from credit_default.telemetry.records import CLOUD_ROLE, NO_OPERATION

_EVERYWHERE = {
    "customDimensions": "dynamic",
    "operation_Id": "string",
    "cloud_RoleName": "string",
    "itemCount": "int",
}
#: Tables of an Application Insights resource: column to type. The first one of each is when the row was made.
TABLES: Mapping[str, Mapping[str, str]] = {
    "traces": {"timestamp": "datetime", "message": "string", "severityLevel": "int", **_EVERYWHERE},
    "customMetrics": {
        "timestamp": "datetime",
        "name": "string",
        "value": "real",
        "valueCount": "int",
        "valueSum": "real",
        **_EVERYWHERE,
    },
    "exceptions": {
        "timestamp": "datetime",
        "type": "string",
        "outerMessage": "string",
        "severityLevel": "int",
        **_EVERYWHERE,
    },
}
#: How a column of each of Kusto's types is read from a row.
_CASTS = {
    "datetime": "TRY_CAST(row ->> '{0}' AS TIMESTAMPTZ) AT TIME ZONE 'UTC'",
    "string": "row ->> '{0}'",
    "int": "TRY_CAST(row ->> '{0}' AS INTEGER)",
    "real": "TRY_CAST(row ->> '{0}' AS DOUBLE)",
    "dynamic": "row -> '{0}'",
}
#: What Application Insights has where the files of this machine have nothing: our records are single ones, outside of
#: any distributed operation.
_DEFAULTS = {
    "operation_Id": f"'{NO_OPERATION}'",
    "cloud_RoleName": f"'{CLOUD_ROLE}'",
    "itemCount": "1",
    "valueCount": "1",
    "valueSum": _CASTS["real"].format("value"),
}


def load(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, str],
    lines: Sequence[str],
    *,
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Make one of the tables, of lines that hold a document of JSON each; what is none is left out."""
    connection.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
    connection.register("raw", pa.table({"line": pa.array(lines, pa.large_string())}))
    selected = ", ".join(f"{_read(name, kind)} AS {quoted(name)}" for name, kind in columns.items())
    moment = quoted(next(iter(columns)))
    connection.execute(
        f"""
        CREATE TABLE {quoted(table)} AS
        SELECT {selected} FROM (SELECT CAST(line AS JSON) AS row FROM raw WHERE json_valid(line))
        WHERE json_type(row) = 'OBJECT'
        """  # noqa: S608 - names are quoted
    )
    connection.unregister("raw")
    for limit, outside in ((since, "<"), (until, ">")):
        if limit is not None:
            naive = limit.astimezone(UTC).replace(tzinfo=None)
            connection.execute(f"DELETE FROM {quoted(table)} WHERE {moment} {outside} ?", [naive])  # noqa: S608


def quoted(name: str) -> str:
    """Write a name as DuckDB reads it, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def _read(name: str, kind: str) -> str:
    value = _CASTS[kind].format(name)
    return f"COALESCE({value}, {_DEFAULTS[name]})" if name in _DEFAULTS else value
