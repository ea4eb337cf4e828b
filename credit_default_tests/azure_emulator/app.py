"""The web application behind every emulated host.

In this order: a fault that a test asked for; the bearer token; the route, its method and its ``api-version``; names on
the wire; the handler; names on the wire of the answer. What is not known here is refused loudly and recorded.
"""

import asyncio
import json
import time
import traceback
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from credit_default_tests.azure_emulator import wire
from credit_default_tests.azure_emulator.azure_errors import AzureError
from credit_default_tests.azure_emulator.faults import Fault
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.storage import StorageFront
from credit_default_tests.azure_emulator.store import State, now

# Not among the statuses that Azure's clients try again: a test that meets something unknown fails at once.
LOUD = 501
#: Azure's word for a status that a test asks for.
_CODES = {412: "ConditionNotMet", 429: "TooManyRequests", 503: "ServiceUnavailable"}


class Application:
    """An ASGI application made of routes.

    Parameters
    ----------
    state
        What all parts share.
    routes
        Everything that is served, but blobs.
    storage
        Serves the hosts of the blob store.
    """

    def __init__(self, state: State, routes: list[Route], storage: StorageFront) -> None:
        self._state = state
        self._routes = routes
        self._storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and note it in the journal."""
        request = Request(scope, receive)
        host = request.headers.get("host", "").partition(":")[0].lower()
        began, response = time.monotonic(), None
        try:
            response = await self._response(request, host)
        finally:
            self._state.journal.append(
                {
                    "time": now(),
                    "method": request.method,
                    "host": host,
                    "path": request.url.path,
                    "query": shown_query(scope["query_string"].decode("latin-1")),
                    "status": response.status_code if response else None,
                    "seconds": round(time.monotonic() - began, 4),
                }
            )
        if response:
            await response(scope, receive, send)

    async def _response(self, request: Request, host: str) -> Response | None:
        """Answer, or return None when the connection was dropped on purpose."""
        signed = "sig" in request.query_params
        fault = self._state.faults.take(request.method, host, request.url.path, signed=signed)
        try:
            if fault and fault.delay:
                await asyncio.sleep(fault.delay)
            if fault and fault.status:
                raise self._injected(fault)
            response = None if fault and fault.drop else await self._carried_out(request, host)
        except AzureError as refusal:
            if self._storage.serves(host):
                response = self._storage.refused(refusal)
            else:
                response = _sent(Answer(refusal.body(), refusal.status, refusal.headers))
        if fault and (fault.drop or fault.lose):
            request.scope["extensions"]["emulator.abort"]()
            return None
        return response

    async def _carried_out(self, request: Request, host: str) -> Response:
        if self._storage.serves(host):
            return await self._storage.response(request, host)
        raw = await request.body()
        return _sent(await run_in_threadpool(self._answer, request, host, raw))

    def _injected(self, fault: Fault) -> AzureError:
        if fault.status == 401:
            return self._state.identity.challenge(
                "ExpiredAuthenticationToken", "Injected: the access token has expired."
            )
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        code = fault.code or _CODES.get(fault.status or 0, "InternalServerError")
        return AzureError(fault.status or 500, code, "Injected by a test.", headers)

    def _answer(self, request: Request, host: str, raw: bytes) -> Answer:
        route, params = self._route(request, host)
        claims = {}
        if route.audiences:
            claims = self._state.identity.check(request.headers.get("authorization"), route.audiences)
        version = request.query_params.get("api-version")
        if route.versions and version not in route.versions:
            self._loud("api-version", f"{request.method} {host}{route.path}", f"{version}, not {route.versions}")
        is_json = route.parsed and "json" in request.headers.get("content-type", "")
        body = json.loads(raw) if raw and is_json else None
        self._check_names("request", route, route.request, body)
        call = Call(
            state=self._state,
            method=request.method,
            host=host,
            path=request.url.path,
            params=params,
            query=dict(request.query_params),
            headers=request.headers,
            raw=raw,
            body=body,
            claims=claims,
        )
        try:
            answer = route.handler(call)
        except AzureError:
            raise
        except Exception:  # noqa: BLE001 - a defect of the emulator is shown to the test, wherever it is
            self._loud("defect", f"{request.method} {host}{route.path}", traceback.format_exc())
        if answer.status < 300:
            self._check_names("answer", route, route.answer, answer.body)
        return answer

    def _route(self, request: Request, host: str) -> tuple[Route, Mapping[str, str]]:
        path = request.url.path
        for route in self._routes:
            if route.method == request.method and route.serves(host) and (match := route.pattern.fullmatch(path)):
                return route, match.groupdict()
        self._loud("route", f"{request.method} {host}{path}", f"api-version {request.query_params.get('api-version')}")
        raise AssertionError

    def _check_names(self, what: str, route: Route, model: str | None, body: Any) -> None:
        if model and body is not None and (names := wire.unknown_names(model, body)):
            self._loud(what, f"{route.method} {route.path}", f"{model} has no {', '.join(names)}")

    def _loud(self, what: str, where: str, detail: str) -> None:
        with self._state.lock:
            self._state.unknown.append({"what": what, "where": where, "detail": detail})
        raise AzureError(LOUD, "UnknownToTheEmulator", f"Unknown {what}: {where}: {detail}")


def shown_query(query: str) -> str:
    """Return a query string without the value of a signature."""
    return urlencode([(name, "***" if name == "sig" else value) for name, value in parse_qsl(query)])


def _sent(answer: Answer) -> Response:
    if answer.body is None or isinstance(answer.body, str | bytes):
        return Response(answer.body, answer.status, {"Content-Type": "text/plain; charset=utf-8"} | answer.headers)
    return Response(json.dumps(answer.body), answer.status, {"Content-Type": "application/json"} | answer.headers)
