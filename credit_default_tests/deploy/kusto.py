"""Microsoft's own judge of KQL, asked by a program of Node.js, and the tables that Application Insights has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("kusto_judge.js")
_EVERYWHERE = (
    "itemType: string, customDimensions: dynamic, customMeasurements: dynamic, operation_Name: string, "
    "operation_Id: string, operation_ParentId: string, operation_SyntheticSource: string, session_Id: string, "
    "user_Id: string, user_AuthenticatedId: string, user_AccountId: string, application_Version: string, "
    "client_Type: string, client_Model: string, client_OS: string, client_IP: string, client_City: string, "
    "client_StateOrProvince: string, client_CountryOrRegion: string, client_Browser: string, cloud_RoleName: string, "
    "cloud_RoleInstance: string, appId: string, appName: string, iKey: string, sdkVersion: string, itemId: string, "
    "itemCount: int, _ResourceId: string"
)
#: Columns of the tables of a resource, as its own queries name them. Source: Azure Monitor's reference of the classic
#: tables ("Application Insights telemetry data model" and "Workspace-based resource changes").
TABLES = {
    "traces": f"(timestamp: datetime, message: string, severityLevel: int, {_EVERYWHERE})",
    "customMetrics": (
        "(timestamp: datetime, name: string, value: real, valueCount: int, valueSum: real, valueMin: real, "
        f"valueMax: real, valueStdDev: real, {_EVERYWHERE})"
    ),
    "exceptions": (
        "(timestamp: datetime, problemId: string, handledAt: string, type: string, message: string, assembly: string, "
        "method: string, outerType: string, outerMessage: string, outerAssembly: string, outerMethod: string, "
        "innermostType: string, innermostMessage: string, innermostAssembly: string, innermostMethod: string, "
        f"severityLevel: int, details: dynamic, {_EVERYWHERE})"
    ),
}


def columns(table: str) -> dict[str, str]:
    """Return the columns of a table and their types."""
    return dict(column.split(": ") for column in TABLES[table].strip("()").split(", "))


def judge(queries: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Return what the language service says against each query: ``code``, ``severity``, ``message``, ``line``."""
    given = json.dumps({"tables": TABLES, "queries": dict(queries)})
    done = subprocess.run(["node", str(PROGRAM)], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    judged: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    assert judged.keys() == queries.keys()
    return judged
