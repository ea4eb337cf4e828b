"""Results of KQL as Kusto shows them: datetimes in UTC, timespans as ``1.02:03:04.5000000``."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

#: Set on a column of text that holds timespans.
TIMESPAN = {b"kusto": b"timespan"}
_TICKS_PER_SECOND = 10_000_000


def shown(table: pa.Table) -> pa.Table:
    """Return a result of DuckDB with Kusto's datetimes and timespans."""
    columns, fields = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_timestamp(field.type):
            kind = pa.timestamp("us", "UTC")
            columns.append(column.cast(kind))
            fields.append(field.with_type(kind))
        elif pa.types.is_interval(field.type):
            columns.append(pa.array([_timespan(value) for value in column.to_pylist()], pa.string()))
            fields.append(field.with_type(pa.string()).with_metadata(TIMESPAN))
        elif pa.types.is_list(field.type) and pa.types.is_interval(field.type.value_type):
            texts = [None if one is None else [_timespan(value) for value in one] for one in column.to_pylist()]
            columns.append(pa.array(texts, pa.list_(pa.string())))
            fields.append(field.with_type(pa.list_(pa.string())))
        else:
            columns.append(column)
            fields.append(field)
    return pa.table(columns, schema=pa.schema(fields))


def _timespan(value: Any) -> str | None:
    """Write an interval of DuckDB as Kusto does: ``[-][days.]hours:minutes:seconds[.seven digits]``."""
    if value is None:
        return None
    # DuckDB makes months only of its own dates, never of KQL's timespans.
    ticks = (value.months * 30 + value.days) * 86_400 * _TICKS_PER_SECOND + value.nanoseconds // 100
    seconds, fraction = divmod(abs(ticks), _TICKS_PER_SECOND)
    days, seconds = divmod(seconds, 86_400)
    sign, whole = "-" if ticks < 0 else "", f"{days}." if days else ""
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{sign}{whole}{clock}" + (f".{fraction:07}" if fraction else "")
