"""What a route module is made of.

A route module has a function ``routes(state) -> list[Route]``; ``process.py`` lists the modules.
A handler is a plain function that runs in a thread, gets a `Call` and returns an `Answer` or raises an `AzureError`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from credit_default_tests.azure_emulator.azure_errors import AzureError
from credit_default_tests.azure_emulator.store import API_HOST, State, Workspace

ARM_HOST = "management.azure.com"
ARM_AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")
# Azure ML's own services take a token for Azure Resource Manager as well as one for Azure ML.
ML_AUDIENCES = (*ARM_AUDIENCES, "https://ml.azure.com")

_WORKSPACE = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices"
    "/workspaces/{workspace}"
)


@dataclass
class Answer:
    """What the client gets: `body` is sent as JSON, unless it is text or bytes."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """One request, read and authorised.

    Attributes
    ----------
    params
        What the path held at the route's ``{names}``, as the client wrote it.
    body
        The JSON body, or None.
    claims
        Those of the bearer token; empty where a route asks for none.
    """

    state: State
    method: str
    host: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    body: Any
    claims: Mapping[str, Any]

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace that the path names; Azure's 404 when there is none."""
        name, group = self.params["workspace"], self.params["group"]
        found = self.state.workspaces.get(name.lower())
        if not found or (found.subscription, found.resource_group.lower()) != (
            self.params["subscription"],
            group.lower(),
        ):
            raise AzureError(
                404,
                "ResourceNotFound",
                f"The Resource 'Microsoft.MachineLearningServices/workspaces/{name}' under resource group '{group}' "
                "was not found.",
            )
        return found


@dataclass(frozen=True)
class Route:
    """One thing that a client may ask for.

    Parameters
    ----------
    method, path
        ``{ws}`` in the path stands for the ARM id of a workspace, ``{name}`` for one part, ``{name:rest}`` for all
        that is left.
    handler
        Called in a thread.
    versions
        The ``api-version`` values that are known; empty where a service has none.
    host
        The host's name, or one with ``*`` for its first part.
    audiences
        Whom a bearer token must be made out to, one of them; empty where none is asked for.
    parsed
        Whether a body of JSON is read; not where it goes on to somebody else as it came.
    request, answer
        Names of the SDK's generated models that the bodies must fit, ``JobBase``, ``JobBase[]`` for a page of
        them, or ``runhistory.RunDetails``; None leaves a body unchecked.
    """

    method: str
    path: str
    handler: Callable[[Call], Answer]
    versions: tuple[str, ...] = ()
    host: str = ARM_HOST
    audiences: tuple[str, ...] = ARM_AUDIENCES
    parsed: bool = True
    request: str | None = None
    answer: str | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The path as a regular expression; Azure's paths do not care about case."""
        path = re.escape(self.path.replace("{ws}", _WORKSPACE)).replace(r"\{", "{").replace(r"\}", "}")
        path = re.sub(r"\{(\w+):rest\}", r"(?P<\1>.+)", path)
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path), re.IGNORECASE)

    def serves(self, host: str) -> bool:
        """Whether the route belongs to this host."""
        return host == self.host or (self.host.startswith("*.") and host.endswith(self.host[1:]))


def ml_route(method: str, path: str, handler: Callable[[Call], Answer], **options: Any) -> Route:
    """Return a route on the workspace's own API host, run history among them."""
    return Route(method, path, handler, host=API_HOST, audiences=ML_AUDIENCES, **options)
