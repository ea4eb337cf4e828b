"""Long-running operations: a PUT that is accepted, and an address that says when it is done."""

from __future__ import annotations

import uuid
from typing import Any

from credit_default_tests.azure_emulator.azure_errors import not_found
from credit_default_tests.azure_emulator.routes import ARM_HOST, Answer, Call, Route
from credit_default_tests.azure_emulator.store import REGION, State

_PATH = (
    "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{region}"
    "/mfeOperationsStatus/{operation}"
)


def routes(state: State) -> list[Route]:
    """Return the routes of this module. Operations are asked for with the ``api-version`` of what began them."""
    del state
    return [Route("GET", _PATH, _status)]


def accepted(call: Call, resource: dict[str, Any]) -> Answer:
    """Answer a PUT whose work is done already as Azure answers one whose work goes on."""
    operation = str(uuid.uuid4())
    with call.state.lock:
        call.state.operations.add(operation)
    path = _PATH.format(subscription=call.params["subscription"], region=REGION, operation=operation)
    address = f"https://{ARM_HOST}{path}?api-version={call.query['api-version']}"
    return Answer(resource, 201, {"Azure-AsyncOperation": address, "Retry-After": "0"})


def _status(call: Call) -> Answer:
    if call.params["operation"] not in call.state.operations:
        raise not_found("Operation", call.params["operation"])
    return Answer({"status": "Succeeded"})
