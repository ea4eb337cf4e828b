"""Telemetry in Application Insights, and asked of it again through Azure Monitor."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field

from credit_default.errors import NotThere, PartialAnswer, QueryError
from credit_default.resources.azure.client.retries import RetryPolicy
from credit_default.resources.azure.client.workspace import AzureWorkspace
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default.telemetry.kql.classic_tables import over_log_analytics

_Answer = TypeVar("_Answer")

_PAUSE_SECONDS = 2.0
_BAD_REQUEST = 400
_FROM = datetime(2000, 1, 1, tzinfo=UTC)


class AzureTelemetry(LocalTelemetry):
    """Sends as the local telemetry does, and keeps its files; asks Azure Monitor.

    Queries go to the Application Insights resource of the workspace, where the tables have the names that the published
    queries use. One that knows only AppTraces, AppMetrics and AppExceptions, as its Log Analytics workspace does, gets
    the query again with the others defined in terms of these.
    """

    workspace: dg.ResourceDependency[AzureWorkspace]
    unreachable_limit: float = Field(default=900.0, description="Seconds that Azure may fail to answer.")

    def query(  # noqa: D102 - see the port
        self, kql: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Mapping[str, Any]]:
        from azure.monitor.query import LogsQueryClient, LogsQueryResult

        credential: Any = self.workspace.credential()
        component = self._patience.ask("looking for Application Insights", self._component)
        span = (since or _FROM, until or datetime.now(UTC)) if since or until else None
        with LogsQueryClient(credential) as client:
            found = self._asked(kql, lambda text: client.query_resource(component, text, timespan=span))
        if not isinstance(found, LogsQueryResult):
            raise PartialAnswer(f"Azure Monitor ran this query in part only: {found.partial_error}; ask for less")
        return [dict(zip(table.columns, row, strict=True)) for table in found.tables[:1] for row in table.rows]

    def _asked(self, kql: str, question: Callable[[str], _Answer]) -> _Answer:
        """Ask in the classic names, and when they are refused, in those of Log Analytics."""
        from azure.core.exceptions import HttpResponseError

        refusals = []
        for text in (kql, over_log_analytics(kql)):
            if text is None:
                continue
            try:
                return self._patience.ask("asking Azure Monitor", partial(question, text))
            except HttpResponseError as error:
                if error.status_code != _BAD_REQUEST:
                    raise
                refusals.append(error)
        told = "; nor over the tables of Log Analytics: ".join(error.message for error in refusals)
        raise QueryError(f"Azure Monitor does not run this query: {told}") from refusals[0]

    @property
    def _patience(self) -> RetryPolicy:
        return RetryPolicy(self.workspace.credential(), self.unreachable_limit, _PAUSE_SECONDS)

    def _component(self) -> str:
        found = self.workspace.client().workspaces.get(self.workspace.name).application_insights
        if not found:
            raise NotThere(
                f"Workspace {self.workspace.name} has no Application Insights; give it one in the Azure portal"
            )
        return str(found)
