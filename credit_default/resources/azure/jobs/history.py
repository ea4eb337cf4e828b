"""Run history: when a job started and ended, why it failed, and where its logs are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from credit_default.resources.azure.client.request_options import REQUEST_OPTIONS, bound_pause
from credit_default.resources.azure.client.workspace import AzureWorkspace

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.rest import HttpResponse

_SCOPE = "https://ml.azure.com/.default"
_STORAGE_SCOPE, _STORAGE_VERSION = "https://storage.azure.com/.default", "2023-11-03"
#: The only hosts that a token for storage is shown to.
_STORAGE_HOSTS = ".blob.core.windows.net"
_OK, _PARTIAL, _NOTHING_NEW = 200, 206, 416
#: How an account whose keys are off refuses a signed address, depending on who signed it.
_NOT_BY_SIGNATURE = (403, 404, 409)
#: Words of Azure's error, a UserError: "PreemptionError: Nodes of this job got pre-empted.", and of its documentation.
#: Source: https://github.com/microsoft/MLOpsPython/issues/346
_PREEMPTION = ("preempt", "pre-empt", "evict")
#: Codes of run history's errors for which no program of a user is to blame.
_OF_AZURE = ("ServiceError", "TransientError")
#: How much of a log, which may be larger than memory, is read at once.
CHUNK_BYTES = 4 * 1024 * 1024
#: Statuses of a job that has ended.
ENDED = frozenset({"Completed", "Failed", "Canceled"})


@dataclass(frozen=True)
class RunDetails:
    """What run history tells about a job."""

    started: datetime | None
    ended: datetime | None
    error: str | None
    #: Name to signed address, which is a secret: it is never shown.
    logs: Mapping[str, str] = field(repr=False)
    #: Every code and message of the error, for whoever looks for a word in it.
    reasons: str = ""
    #: Whether the job failed because its machine was taken away, given that it was one that may be.
    preempted: bool = False

    @property
    def run_seconds(self) -> float | None:
        """How long the job ran."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None


@dataclass(frozen=True)
class Child:
    """What run history tells about a run below another."""

    name: str
    status: str
    preempted: bool


class RunHistory:
    """Asks a workspace's run history service, which the workspace itself says where to find."""

    def __init__(self, workspace: AzureWorkspace) -> None:
        self._workspace = workspace
        self._service = ""
        self._clients: dict[str, PipelineClient[Any, Any]] = {}
        self._signatures_refused = False

    def details(self, name: str) -> RunDetails:
        """Return what is known about a job now."""
        told = self._ask(f"runs/{name}/details")
        error = _error(told)
        return RunDetails(
            started=_moment(told.get("startTimeUtc")),
            ended=_moment(told.get("endTimeUtc")),
            error=str(error.get("message") or error.get("code")) if error else None,
            logs=told.get("logFiles") or {},
            reasons=json.dumps(error),
            preempted=is_preemption(error),
        )

    def details_of_steps(self, name: str) -> RunDetails:
        """Return the same for a job whose work is done by jobs below it, with the error of the first that failed."""
        found = self.details(name)
        if found.error is None:
            return found
        failed = next((child.name for child in self.children(name) if child.status == "Failed"), None)
        step = self.details(failed) if failed else found
        if step.error is None:
            return found
        return replace(found, error=step.error, reasons=f"{step.reasons} {found.reasons}", preempted=step.preempted)

    def lost_a_child(self, name: str) -> bool:
        """Whether a job below this one failed because its machine was taken away."""
        return any(child.status == "Failed" and child.preempted for child in self.children(name))

    def children(self, name: str) -> list[Child]:
        """Return the runs directly below a job, such as the trials of a search, in the order of their numbers."""
        found: list[Child] = []
        token: str | None = ""
        while token is not None:
            page = self._ask(f"runs/{name}/children", {"$continuationtoken": token} if token else {})
            found += [
                Child(str(run["runId"]), str(run.get("status")), is_preemption(_error(run))) for run in page["value"]
            ]
            token = page.get("continuationToken") or None
        return sorted(found, key=lambda child: (len(child.name), child.name))

    def read(self, address: str, start: int) -> bytes:
        """Return what a log holds from byte ``start`` on, ``CHUNK_BYTES`` at most.

        Its address is signed, so no token goes with it, unless the account takes tokens only.
        """
        headers = {"Range": f"bytes={start}-{start + CHUNK_BYTES - 1}"}
        unsigned = urlsplit(address)._replace(query="")
        takes_tokens = (unsigned.hostname or "").endswith(_STORAGE_HOSTS)
        if not (takes_tokens and self._signatures_refused):
            response = self._get(address, headers=headers)
            if not (takes_tokens and response.status_code in _NOT_BY_SIGNATURE):
                return _part(response, start)
        headers["x-ms-version"] = _STORAGE_VERSION
        response = self._get(unsigned.geturl(), _STORAGE_SCOPE, headers=headers)
        self._signatures_refused = response.status_code in (_OK, _PARTIAL, _NOTHING_NEW)
        return _part(response, start)

    def _ask(self, what: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        if not self._service:
            address = self._workspace.client().workspaces.get(self._workspace.name).discovery_url
            self._service = json.loads(_body(self._get(address)))["api"]
        url = f"{self._service}/history/v1.0{self._workspace.arm_id}/{what}"
        answer: dict[str, Any] = json.loads(_body(self._get(url, _SCOPE, params=query)))
        return answer

    def _get(self, url: str, scope: str = "", **options: Any) -> HttpResponse:
        """Ask with a token of a scope, or without any."""
        from azure.core.pipeline.policies import BearerTokenCredentialPolicy
        from azure.core.rest import HttpRequest

        if scope not in self._clients:
            policies = [BearerTokenCredentialPolicy(self._workspace.credential(), scope)] if scope else []
            self._clients[scope] = _client(policies)
        response: HttpResponse = self._clients[scope].send_request(HttpRequest("GET", url, **options))
        return response


def _client(policies: list[Any]) -> PipelineClient[Any, Any]:
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import CustomHookPolicy, RetryPolicy
    from azure.core.pipeline.transport import RequestsTransport

    return PipelineClient(
        "",
        # Repeated once: it is asked at every look, and a look at the job itself must not wait for it.
        policies=[
            RetryPolicy(**{**REQUEST_OPTIONS, "retry_total": 1}),
            *policies,
            CustomHookPolicy(raw_response_hook=bound_pause),
        ],
        transport=RequestsTransport(**REQUEST_OPTIONS),
    )


def _body(response: HttpResponse) -> bytes:
    """Return the body of a good answer; an error says nothing of the address, which may be signed."""
    from azure.core.exceptions import HttpResponseError

    if response.status_code not in (_OK, _PARTIAL):
        told = HttpResponseError(f"run history answered with status {response.status_code}")
        told.status_code = response.status_code
        raise told
    return bytes(response.content)


def _part(response: HttpResponse, start: int) -> bytes:
    """Return what a log holds from byte ``start`` on, of a server that may have sent all of it."""
    if response.status_code == _NOTHING_NEW:
        return b""
    body = _body(response)
    return body if response.status_code == _PARTIAL else body[start : start + CHUNK_BYTES]


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _error(run: Mapping[str, Any]) -> Mapping[str, Any]:
    error: Mapping[str, Any] = (run.get("error") or {}).get("error") or {}
    return error


def is_preemption(error: Mapping[str, Any]) -> bool:
    """Whether a job on a machine that may be taken away lost it: whatever no program is to blame for counts.

    At worst the job is tried once more, on a machine that stays.
    """
    told = json.dumps(error).lower()
    return error.get("code") in _OF_AZURE or any(word in told for word in _PREEMPTION)
