"""What tests ask of the emulator, and the managed identity of jobs: plain HTTP on loopback."""

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from credit_default_tests.azure_emulator import log_analytics, registries, workspaces
from credit_default_tests.azure_emulator.identity import managed_identity
from credit_default_tests.azure_emulator.jobs import summaries
from credit_default_tests.azure_emulator.store import State, Workspace


def control(state: State) -> Starlette:
    """Return the application that `emulator.Emulator` talks to."""

    def command(path: str, action: Callable[[dict[str, Any]], Any]) -> Route:
        async def handle(request: Request) -> Response:
            raw = await request.body()
            return JSONResponse(action(json.loads(raw) if raw else {}))

        return Route(path, handle, methods=["POST"])

    def identity(request: Request) -> Response:
        answer = managed_identity(state.identity, request.query_params, request.headers)
        return JSONResponse(answer.body, answer.status)

    def make_workspace(body: dict[str, Any]) -> dict[str, str]:
        return shown(workspaces.create(state, **body))

    def jobs(body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = body.get("workspace")
        with state.lock:
            held = [one for one in state.workspaces.values() if wanted in (None, one.name)]
            return [job for workspace in held for job in summaries(workspace)]

    def forget(body: dict[str, Any]) -> None:
        del body
        state.unknown.clear()
        state.refused_hosts.clear()

    return Starlette(
        routes=[
            Route("/identity", identity),
            command("/workspaces", make_workspace),
            command("/faults", state.faults.add),
            command("/job-faults", state.faults.add_job),
            command("/clear-faults", lambda _: state.faults.clear()),
            command("/expire-tokens", lambda _: state.identity.expire()),
            command("/trust", lambda body: state.identity.trust(**body)),
            command("/registries", lambda body: registries.change(state, **body)),
            command("/log-analytics", lambda body: log_analytics.change(state, **body)),
            command("/jobs", jobs),
            command("/journal", lambda _: state.journal),
            command("/refused-hosts", lambda _: state.refused_hosts),
            command("/unknown", lambda _: state.unknown),
            command("/ingested", lambda _: state.ingested),
            command("/forget", forget),
        ]
    )


def shown(workspace: Workspace) -> dict[str, str]:
    """Return what a client needs to know of a workspace."""
    return {
        "name": workspace.name,
        "account": workspace.account,
        "container": workspace.container,
        "subscription": workspace.subscription,
        "resource_group": workspace.resource_group,
        "artifacts": workspace.artifacts,
        "instrumentation_key": workspace.instrumentation_key,
        "log_analytics": workspace.log_analytics,
        "online_identity": workspace.online_identity,
    }
