"""Schedules of Azure ML, kept and never fired: those of the platform are Dagster's."""

from __future__ import annotations

import re
from typing import Any

from credit_default_tests.azure_emulator import operations
from credit_default_tests.azure_emulator.azure_errors import bad_request, not_found
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import State

_VERSIONS = ("2023-06-01-preview",)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}")


def routes(state: State) -> list[Route]:
    """Return the routes of this module."""
    del state
    schedule = "{ws}/schedules/{name}"
    return [
        Route("GET", "{ws}/schedules", _list, _VERSIONS, answer="Schedule[]"),
        Route("GET", schedule, _get, _VERSIONS, answer="Schedule"),
        Route("PUT", schedule, _put, _VERSIONS, request="Schedule", answer="Schedule"),
        Route("DELETE", schedule, _remove, _VERSIONS),
    ]


def _list(call: Call) -> Answer:
    return Answer({"value": list(call.workspace.tables["schedules"].values())})


def _get(call: Call) -> Answer:
    return Answer(_found(call))


def _found(call: Call) -> dict[str, Any]:
    name = call.params["name"]
    found = call.workspace.tables["schedules"].get(name)
    if found is None:
        raise not_found("Schedule", name)
    return found


def _put(call: Call) -> Answer:
    """Make or change a schedule; disabling one is changing it."""
    name, asked = call.params["name"], call.body["properties"]
    if not _NAME.fullmatch(name):
        raise bad_request(f"The name '{name}' does not fit {_NAME.pattern}.")
    if not asked.get("trigger") or not asked.get("action"):
        raise bad_request(f"Schedule '{name}' needs a trigger and an action.")
    stored = call.workspace.resource(
        f"schedules/{name}", {"isEnabled": True, **asked, "provisioningState": "Succeeded"}
    )
    with call.state.lock:
        call.workspace.tables["schedules"][name] = stored
    return operations.accepted(call, stored)


def _remove(call: Call) -> Answer:
    """Remove a schedule; one that is enabled cannot be."""
    found = _found(call)
    if found["properties"]["isEnabled"]:
        raise bad_request(f"Schedule '{call.params['name']}' is enabled; disable it before it is removed.")
    with call.state.lock:
        del call.workspace.tables["schedules"][call.params["name"]]
    return Answer(status=200)
