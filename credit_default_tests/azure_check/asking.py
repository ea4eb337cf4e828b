"""Plain requests to Azure, without what the SDK checks and changes on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from credit_default.deploy.place import AzureTarget
from credit_default.resources.azure.client.request_options import REQUEST_OPTIONS, bound_pause

_ARM = "https://management.azure.com"


@dataclass(frozen=True)
class Reply:
    """An answer of Azure, good or not."""

    status: int
    body: Any

    @property
    def shown(self) -> str:
        """Its status, as findings compare it: all that is good is alike."""
        return "accepted" if self.status < 400 else str(self.status)

    @property
    def detail(self) -> str:
        """Code and first line of an error."""
        error = self.body.get("error") if isinstance(self.body, dict) and self.status >= 400 else None
        if not isinstance(error, dict):
            return ""
        return f"{error.get('code')}: {str(error.get('message')).strip().partition(chr(10))[0]}"


@dataclass(frozen=True)
class Azure:
    """Asks Resource Manager about one workspace."""

    place: AzureTarget

    @property
    def workspace(self) -> str:
        """Id of the workspace."""
        return self.place.registry.workspace.arm_id

    def ask(self, method: str, path: str, version: str, body: Any = None, **query: str) -> Reply:
        """Send one request about something below the workspace."""
        return self.get(f"{_ARM}{self.workspace}/{path}", method, body, **{"api-version": version}, **query)

    def get(self, url: str, method: str = "GET", body: Any = None, **query: str) -> Reply:
        """Send one request with a token for Resource Manager."""
        from azure.core.rest import HttpRequest

        response = self._client.send_request(HttpRequest(method, url, params=query, json=body))
        content = response.content
        try:
            return Reply(response.status_code, json.loads(content) if content else None)
        except ValueError:
            return Reply(response.status_code, None)

    @cached_property
    def _client(self) -> Any:
        from azure.core import PipelineClient
        from azure.core.pipeline.policies import BearerTokenCredentialPolicy, CustomHookPolicy, RetryPolicy
        from azure.core.pipeline.transport import RequestsTransport

        credential: Any = self.place.registry.workspace.credential()
        policies = [
            RetryPolicy(**REQUEST_OPTIONS),
            BearerTokenCredentialPolicy(credential, f"{_ARM}/.default"),
            CustomHookPolicy(raw_response_hook=bound_pause),
        ]
        return PipelineClient("", policies=policies, transport=RequestsTransport(**REQUEST_OPTIONS))


def status_of(question: Callable[[], Any]) -> Reply:
    """Return how the SDK was answered."""
    from azure.core.exceptions import HttpResponseError

    try:
        question()
    except HttpResponseError as error:
        code = getattr(error, "error_code", None) or (error.error.code if error.error else error.reason)
        message = str(error.message).strip().partition("\n")[0]
        told = {"code": getattr(code, "value", code), "message": message}
        return Reply(error.status_code or 0, {"error": told})
    return Reply(200, None)
