"""Azure Monitor's query endpoint: KQL over what Application Insights was sent.

A workspace's own resource has the classic tables, ``traces``, ``customMetrics`` and ``exceptions``. In its Log
Analytics workspace the same rows are in ``AppTraces``, ``AppMetrics`` and ``AppExceptions``, under other names, and a
resource can be told to know these only. The language is the project's own KQL over DuckDB: what it does not support is
refused here and would not be by Azure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
from isodate import parse_datetime, parse_duration

from credit_default.errors import QueryError
from credit_default.telemetry.kql import kql, results
from credit_default_tests.azure_emulator.azure_errors import AzureError, not_found
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import State, Workspace

HOST = "api.loganalytics.io"
_COMPONENT = "/providers/microsoft.insights/components/"
#: Classic table and its columns to those of Log Analytics.
_NAMES = {
    "traces": ("AppTraces", {"message": "Message", "severityLevel": "SeverityLevel"}),
    # Which has the count of a metric as that of the item, and no value beside the sum.
    "customMetrics": ("AppMetrics", {"name": "Name", "valueSum": "Sum"}),
    "exceptions": (
        "AppExceptions",
        {"type": "ExceptionType", "outerMessage": "OuterMessage", "severityLevel": "SeverityLevel"},
    ),
}
_SHARED = {
    "timestamp": "TimeGenerated",
    "customDimensions": "Properties",
    "operation_Id": "OperationId",
    "cloud_RoleName": "AppRoleName",
    "itemCount": "ItemCount",
}
LOG_ANALYTICS = {
    table: {
        {**_SHARED, **columns}[name]: kind
        for name, kind in kql.TABLES[classic].items()
        if name in _SHARED or name in columns
    }
    for classic, (table, columns) in _NAMES.items()
}


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    del state

    def route(path: str, handler: Any) -> Route:
        return Route("POST", path, handler, host=HOST, audiences=(f"https://{HOST}",))

    return [
        route("/v1/workspaces/{workspace}/query", _of_log_analytics),
        route("/v1/{resource:rest}/query", _of_component),
    ]


def _of_component(call: Call) -> Answer:
    resource = "/" + call.params["resource"].strip("/")
    workspaces = call.state.workspaces.values()
    found = next((one for one in workspaces if component_of(one).lower() == resource.lower()), None)
    if found is None:
        raise not_found("Resource", resource)
    if found.classic_tables:
        return _answered(call, _rows(call.state, found), kql.TABLES)
    return _answered(call, _of_workspace(call.state, found), LOG_ANALYTICS)


def _of_log_analytics(call: Call) -> Answer:
    wanted = call.params["workspace"]
    found = next((one for one in call.state.workspaces.values() if one.log_analytics == wanted), None)
    if found is None:
        raise not_found("Workspace", wanted)
    return _answered(call, _of_workspace(call.state, found), LOG_ANALYTICS)


def change(state: State, workspace: str, *, classic_tables: bool) -> None:
    """Let queries of a workspace's resource know the classic tables, or those of Log Analytics only."""
    state.workspaces[workspace.lower()].classic_tables = classic_tables


def _of_workspace(state: State, workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    """Return the same rows by the names of Log Analytics."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for classic, some in _rows(state, workspace).items():
        table, columns = _NAMES[classic]
        names = {**_SHARED, **columns}
        rows[table] = [{names[name]: value for name, value in row.items() if name in names} for row in some]
    return rows


def component_of(workspace: Workspace) -> str:
    """Return the id of the Application Insights resource of a workspace."""
    group = f"/subscriptions/{workspace.subscription}/resourceGroups/{workspace.resource_group}"
    return f"{group}{_COMPONENT}{workspace.name}"


def _rows(state: State, workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    """Return what was sent with a workspace's instrumentation key, table by table."""
    found: dict[str, list[dict[str, Any]]] = {table: [] for table in _NAMES}
    with state.lock:
        envelopes = [one for one in state.ingested if one["iKey"] == workspace.instrumentation_key]
    for envelope in envelopes:
        for table, row in _of_envelope(envelope["data"]["baseType"], envelope["data"]["baseData"]):
            dimensions = {name: str(value) for name, value in (row.pop("properties") or {}).items()}
            found[table].append({**_of_every_envelope(envelope), **row, "customDimensions": dimensions})
    return found


def _of_every_envelope(envelope: dict[str, Any]) -> dict[str, Any]:
    tags = envelope.get("tags") or {}
    return {
        "timestamp": envelope["time"],
        # Empty where nothing was sent, as in Azure.
        "operation_Id": tags.get("ai.operation.id") or "",
        "cloud_RoleName": tags.get("ai.cloud.role") or "",
        "itemCount": round(100 / (envelope.get("sampleRate") or 100)),
    }


def _of_envelope(kind: str, data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows that an envelope becomes."""
    properties = data.get("properties")
    if kind == "MessageData":
        row = {"message": data["message"], "severityLevel": data.get("severityLevel"), "properties": properties}
        yield "traces", row
    elif kind == "MetricData":
        for point in data["metrics"]:
            figures = {"value": point["value"], "valueCount": point.get("count") or 1, "valueSum": point["value"]}
            yield "customMetrics", {"name": point["name"], **figures, "properties": properties}
    elif kind == "ExceptionData":
        outer = data["exceptions"][0]
        severity = {"severityLevel": data.get("severityLevel"), "properties": properties}
        yield "exceptions", {"type": outer["typeName"], "outerMessage": outer["message"], **severity}


def _answered(call: Call, rows: dict[str, list[dict[str, Any]]], tables: Any) -> Answer:
    since, until = _span(call.body.get("timespan"))
    lines = {table: [json.dumps(row) for row in some] for table, some in rows.items()}
    try:
        result = kql.run_over(call.body["query"], lines, tables=tables, since=since, until=until)
    except QueryError as error:
        raise AzureError(400, "BadArgumentError", f"The request had some invalid properties: {error}") from error
    columns = [{"name": field.name, "type": _type(field)} for field in result.schema]
    table = [[_value(value) for value in row.values()] for row in result.to_pylist()]
    return Answer({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": table}]})


def _span(written: str | None) -> tuple[datetime | None, datetime | None]:
    """Return what an ISO 8601 interval spans."""
    if not written:
        return None, None
    first, _, second = written.partition("/")
    if first.startswith("P") and not second:
        until = datetime.now().astimezone()
        return until - _duration(first), until
    if first.startswith("P"):
        until = parse_datetime(second)
        return until - _duration(first), until
    since = parse_datetime(first)
    return since, since + _duration(second) if second.startswith("P") else parse_datetime(second)


def _duration(written: str) -> timedelta:
    return parse_duration(written)


def _type(field: pa.Field) -> str:
    """Return Kusto's name of a column's type."""
    kind = field.type
    if field.metadata == results.TIMESPAN:
        return "timespan"
    if pa.types.is_timestamp(kind):
        return "datetime"
    if pa.types.is_boolean(kind):
        return "bool"
    # A decimal number without decimals is a sum of whole numbers.
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return "long" if kind.bit_width > 32 else "int"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "real"
    return "string"


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, datetime) else value
