"""Telemetry in Application Insights, and asked of it again through Azure Monitor."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from credit_default.errors import NotThere, PartialAnswer, QueryError
from credit_default.resources.azure.patience import Patience
from credit_default.resources.azure.workspace import AzureWorkspace
from credit_default.resources.local.telemetry import LocalTelemetry

_PAUSE_SECONDS = 2.0
_BAD_REQUEST = 400
_FROM = datetime(2000, 1, 1, tzinfo=UTC)


class AzureTelemetry(LocalTelemetry):
    """Sends as the local telemetry does, and keeps its files; asks Azure Monitor.

    Queries go to the Application Insights resource of the workspace, where the tables have the names that the published
    queries use; in a Log Analytics workspace the same rows are called AppTraces, AppMetrics and AppExceptions.
    """

    workspace: dg.ResourceDependency[AzureWorkspace]
    unreachable_limit: float = Field(default=900.0, description="Seconds that Azure may fail to answer.")

    def query(  # noqa: D102 - see the port
        self, kql: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Mapping[str, Any]]:
        from azure.core.exceptions import HttpResponseError
        from azure.monitor.query import LogsQueryClient, LogsQueryResult

        credential: Any = self.workspace.credential()
        patience = Patience(self.workspace.credential(), self.unreachable_limit, _PAUSE_SECONDS)
        component = patience.ask("looking for Application Insights", self._component)
        span = (since or _FROM, until or datetime.now(UTC)) if since or until else None
        with LogsQueryClient(credential) as client:
            try:
                found = patience.ask(
                    "asking Azure Monitor", lambda: client.query_resource(component, kql, timespan=span)
                )
            except HttpResponseError as error:
                if error.status_code != _BAD_REQUEST:
                    raise
                raise QueryError(f"Azure Monitor does not run this query: {error.message}") from error
        if not isinstance(found, LogsQueryResult):
            raise PartialAnswer(f"Azure Monitor ran this query in part only: {found.partial_error}; ask for less")
        return [dict(zip(table.columns, row, strict=True)) for table in found.tables[:1] for row in table.rows]

    def _component(self) -> str:
        found = self.workspace.client().workspaces.get(self.workspace.name).application_insights
        if not found:
            raise NotThere(
                f"Workspace {self.workspace.name} has no Application Insights; give it one in the Azure portal"
            )
        return str(found)
