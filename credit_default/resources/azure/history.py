"""Run history: when a job started and ended, why it failed, and where its logs are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from credit_default.resources.azure.workspace import REQUEST_OPTIONS, AzureWorkspace, bound_pause

if TYPE_CHECKING:
    from azure.core import PipelineClient
    from azure.core.rest import HttpResponse

_SCOPE = "https://ml.azure.com/.default"
_OK, _PARTIAL, _NOTHING_NEW = 200, 206, 416
#: Nobody has written down how Azure names it; these are the words that its documentation uses.
_PREEMPTION = ("preempt", "pre-empt", "evict")
#: How much of a log, which may be larger than memory, is read at once.
CHUNK_BYTES = 4 * 1024 * 1024


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

    @property
    def preempted(self) -> bool:
        """Whether the job failed because its machine was taken away."""
        return _is_preemption(self.reasons)

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
        self._asking: PipelineClient[Any, Any] | None = None
        self._reading: PipelineClient[Any, Any] | None = None

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
        )

    def lost_a_child(self, name: str) -> bool:
        """Whether a job below this one failed because its machine was taken away."""
        return any(child.status == "Failed" and child.preempted for child in self.children(name))

    def children(self, name: str) -> list[Child]:
        """Return the runs directly below a job, such as the trials of a search, in the order of their numbers."""
        found = [
            Child(
                name=str(run["runId"]),
                status=str(run.get("status")),
                preempted=_is_preemption(json.dumps(_error(run))),
            )
            for run in self._ask(f"runs/{name}/children")["value"]
        ]
        return sorted(found, key=lambda child: (len(child.name), child.name))

    def read(self, address: str, start: int) -> bytes:
        """Return what a log holds from byte ``start`` on, ``CHUNK_BYTES`` at most.

        Its address is signed, so no token goes with it.
        """
        from azure.core.rest import HttpRequest

        request = HttpRequest("GET", address, headers={"Range": f"bytes={start}-{start + CHUNK_BYTES - 1}"})
        response = self._plain().send_request(request)
        if response.status_code == _NOTHING_NEW:
            return b""
        body = _body(response)
        return body if response.status_code == _PARTIAL else body[start : start + CHUNK_BYTES]

    def _ask(self, what: str) -> dict[str, Any]:
        from azure.core.rest import HttpRequest

        if not self._service:
            address = self._workspace.client().workspaces.get(self._workspace.name).discovery_url
            self._service = json.loads(_body(self._plain().send_request(HttpRequest("GET", address))))["api"]
        url = f"{self._service}/history/v1.0{self._workspace.arm_id}/{what}"
        answer: dict[str, Any] = json.loads(_body(self._authorised().send_request(HttpRequest("GET", url))))
        return answer

    def _authorised(self) -> PipelineClient[Any, Any]:
        if self._asking is None:
            from azure.core.pipeline.policies import BearerTokenCredentialPolicy

            self._asking = _client([BearerTokenCredentialPolicy(self._workspace.credential(), _SCOPE)])
        return self._asking

    def _plain(self) -> PipelineClient[Any, Any]:
        if self._reading is None:
            self._reading = _client([])
        return self._reading


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


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _error(run: Mapping[str, Any]) -> Mapping[str, Any]:
    error: Mapping[str, Any] = (run.get("error") or {}).get("error") or {}
    return error


def _is_preemption(told: str) -> bool:
    return any(word in told.lower() for word in _PREEMPTION)
