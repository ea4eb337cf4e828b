"""Application Insights' classic tables as views over the tables of Log Analytics, where the same rows are stored.

Our queries use the classic names (`traces`, `customMetrics`, `exceptions`). A resource whose queries know only the
tables of Log Analytics answers them all the same once the classic ones are defined in front of the query.

Source: "Workspace-based resource changes" in Azure Monitor's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_EVERYWHERE = {
    "customDimensions": "Properties",
    "operation_Id": "OperationId",
    "cloud_RoleName": "AppRoleName",
    "itemCount": "ItemCount",
}
#: Classic table to the one of Log Analytics, and classic column to the one there.
TABLES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "traces": (
        "AppTraces",
        {"timestamp": "TimeGenerated", "message": "Message", "severityLevel": "SeverityLevel", **_EVERYWHERE},
    ),
    # A metric is summed where it is stored, with the number of its measurements as that of the item.
    "customMetrics": (
        "AppMetrics",
        {
            "timestamp": "TimeGenerated",
            "name": "Name",
            "value": "Sum",
            "valueCount": "ItemCount",
            "valueSum": "Sum",
            **_EVERYWHERE,
        },
    ),
    "exceptions": (
        "AppExceptions",
        {
            "timestamp": "TimeGenerated",
            "type": "ExceptionType",
            "outerMessage": "OuterMessage",
            "severityLevel": "SeverityLevel",
            **_EVERYWHERE,
        },
    ),
}


def over_log_analytics(query: str) -> str | None:
    """Return a query with the classic tables that it names defined in front of it; None when it names none."""
    views = [
        f"let {classic} = {table} | project {', '.join(f'{name} = {column}' for name, column in columns.items())};\n"
        for classic, (table, columns) in TABLES.items()
        if re.search(rf"\b{classic}\b", query)
    ]
    return "".join(views) + query if views else None
