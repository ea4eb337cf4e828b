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
_IN_LOG_ANALYTICS = (
    "TenantId: string, TimeGenerated: datetime, Properties: dynamic, Measurements: dynamic, OperationName: string, "
    "OperationId: string, ParentId: string, SyntheticSource: string, SessionId: string, UserId: string, "
    "UserAuthenticatedId: string, UserAccountId: string, AppVersion: string, AppRoleName: string, "
    "AppRoleInstance: string, ClientType: string, ClientModel: string, ClientOS: string, ClientIP: string, "
    "ClientCity: string, ClientStateOrProvince: string, ClientCountryOrRegion: string, ClientBrowser: string, "
    "ResourceGUID: string, IKey: string, SDKVersion: string, ItemCount: int, SourceSystem: string, Type: string, "
    "_ResourceId: string"
)
#: The same in Log Analytics. Source: Azure Monitor's reference of the tables AppTraces, AppMetrics and AppExceptions.
LOG_ANALYTICS = {
    "AppTraces": f"(Message: string, SeverityLevel: int, ReferencedItemId: string, {_IN_LOG_ANALYTICS})",
    "AppMetrics": f"(Name: string, Sum: real, Min: real, Max: real, {_IN_LOG_ANALYTICS})",
    "AppExceptions": (
        "(ProblemId: string, HandledAt: string, ExceptionType: string, Message: string, Assembly: string, "
        "Method: string, OuterType: string, OuterMessage: string, OuterAssembly: string, OuterMethod: string, "
        "InnermostType: string, InnermostMessage: string, InnermostAssembly: string, InnermostMethod: string, "
        f"SeverityLevel: int, Details: dynamic, {_IN_LOG_ANALYTICS})"
    ),
}


def columns(table: str) -> dict[str, str]:
    """Return the columns of a table and their types."""
    return dict(column.split(": ") for column in TABLES[table].strip("()").split(", "))


def judge(queries: Mapping[str, str], tables: Mapping[str, str] = TABLES) -> dict[str, list[dict[str, Any]]]:
    """Return what the language service says against each query: ``code``, ``severity``, ``message``, ``line``."""
    given = json.dumps({"tables": dict(tables), "queries": dict(queries)})
    done = subprocess.run(["node", str(PROGRAM)], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    judged: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    assert judged.keys() == queries.keys()
    return judged
