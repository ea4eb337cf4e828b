"""Long-running operations: a request that is accepted, and an address that says when it is done."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from credit_default_tests.azure_emulator.azure_errors import AzureError, not_found
from credit_default_tests.azure_emulator.routes import ARM_HOST, Answer, Call, Route
from credit_default_tests.azure_emulator.store import REGION, State

_PATH = (
    "/subscriptions/{subscription}/providers/Microsoft.MachineLearningServices/locations/{region}"
    "/mfeOperationsStatus/{operation}"
)


@dataclass
class Operation:
    """Work that goes on after its request was accepted, until somebody gives it another status."""

    status: str = "InProgress"
    error: AzureError | None = None

    def fail(self, error: AzureError) -> None:
        """Say that it came to nothing, and why."""
        self.error, self.status = error, "Failed"


def routes(state: State) -> list[Route]:
    """Return the routes of this module. Operations are asked for with the ``api-version`` of what began them."""
    del state
    return [Route("GET", _PATH, _status)]


def accepted(call: Call, resource: Any, operation: Operation | None = None, *, status: int = 201) -> Answer:
    """Answer a request whose work goes on, or one whose work is done already as if it did."""
    name = str(uuid.uuid4())
    with call.state.lock:
        call.state.operations[name] = operation or Operation("Succeeded")
    path = _PATH.format(subscription=call.params["subscription"], region=REGION, operation=name)
    address = f"https://{ARM_HOST}{path}?api-version={call.query['api-version']}"
    return Answer(resource, status, {"Azure-AsyncOperation": address, "Retry-After": "0"})


def _status(call: Call) -> Answer:
    operation = call.state.operations.get(call.params["operation"])
    if operation is None:
        raise not_found("Operation", call.params["operation"])
    told = {"status": operation.status, **(operation.error.body() if operation.error else {})}
    return Answer(told, headers={"Retry-After": "1"})
