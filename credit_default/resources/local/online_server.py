"""A small server for the scoring script of online deployments, on this machine.

``python -m credit_default.resources.local.online_server --model DIR --port PORT``

The rest comes from the environment, as on Azure (`credit_default.steps.online_scoring`). Once it serves it prints one
line, ``{"address": "http://127.0.0.1:PORT"}``: ``GET /`` says that it lives, ``POST /score`` scores. SIGTERM and SIGINT
end it when the requests under way are answered and what they held is on its way, but no client keeps it from ending.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from credit_default.pipes.process_variables import MODEL_DIR_VARIABLE

#: Ten times what a thousand clients take.
MAX_BODY_BYTES = 8 * 1024 * 1024
#: Connections beyond these are answered with 503, and closed without an answer when there are twice as many.
MAX_CONNECTIONS = 256
#: Seconds from the connection to the last byte of the answer, whatever the client does meanwhile.
REQUEST_TIMEOUT = 30.0
#: Seconds for the requests under way when the server is to end.
STOP_TIMEOUT = 8
_HOST = "127.0.0.1"
#: DNS can be made to point any other name here, and a page of that name would read the answers.
_OUR_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?", re.IGNORECASE)


def app() -> Starlette:
    """Return the application; the scoring script is ready by then."""
    routes = [Route("/", _alive), Route("/score", _score, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(_OurHost)], exception_handlers={HTTPException: _refused})


async def _alive(_: Request) -> Response:
    return PlainTextResponse("Healthy")


async def _score(request: Request) -> Response:
    from credit_default.steps import online_scoring

    body = await _read(request)
    kind, _, _ = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json":  # nor does a page of another site get here without asking first
        raise HTTPException(415, "expected content type application/json")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise HTTPException(400, "the body is not UTF-8") from None
    answer = await run_in_threadpool(online_scoring.run, text)
    return Response(answer.get_data(), answer.status_code, media_type=answer.mimetype)


async def _read(request: Request) -> bytes:
    """Return the body. One that is too long is read to its end, so that its client hears of it, and not kept."""
    body, length = bytearray(), 0
    async for part in request.stream():
        length += len(part)
        if length <= MAX_BODY_BYTES:
            body += part
    if length > MAX_BODY_BYTES:
        raise HTTPException(413, f"the body is longer than {MAX_BODY_BYTES:,} bytes; ask several times")
    return bytes(body)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"message": error.detail, "problems": []}, error.status_code)


class _OurHost:
    """Refuses requests that are for another name than this machine's own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _OUR_HOST.fullmatch(Headers(scope=scope).get("host", "")):
            message = f"the request is for another host; expected {_HOST} or localhost in the address"
            await JSONResponse({"message": message, "problems": []}, 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _Connection(H11Protocol):
    """A connection for one request, which is closed when that takes too long: at the head, the body or the answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_TIMEOUT, transport.abort)
        if len(self.connections) > 2 * MAX_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """Says where it is once it serves; a signal ends it, and nothing else of this process."""

    def __init__(self, config: uvicorn.Config, *, until_stdin_ends: bool) -> None:
        super().__init__(config)
        self._until_stdin_ends = until_stdin_ends

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        if self._until_stdin_ends:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._stop)
        sys.stdout.write(json.dumps({"address": f"http://{_HOST}:{sockets[0].getsockname()[1]}"}) + "\n")
        sys.stdout.flush()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's names
        self._stop()

    def _stop(self) -> None:
        self.should_exit = True


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal ends it."""
    # A shell that starts this in the background has it ignored, also while the model is loaded.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from credit_default.steps import online_scoring

    parser = argparse.ArgumentParser(description="Serve the scoring script of online deployments on this machine.")
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--port", type=int, default=0, help=f"port on {_HOST}; a free one by default")
    parser.add_argument("--until-stdin-ends", action="store_true", help="end with the process that holds the other end")
    options = parser.parse_args(arguments)

    os.environ[MODEL_DIR_VARIABLE] = str(options.model)
    online_scoring.init()
    try:
        listener = socket.create_server((_HOST, options.port))
    except OSError as error:
        raise SystemExit(f"Port {options.port} of {_HOST} cannot be used ({error.strerror}); choose another.") from None
    config = uvicorn.Config(
        app(),
        http=_Connection,
        ws="none",
        loop="asyncio",
        lifespan="off",
        # An error that is logged may quote what was asked, and an address may hold it.
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=[("Connection", "close")],
        limit_concurrency=MAX_CONNECTIONS + 1,  # it counts the one that is asking
        timeout_graceful_shutdown=STOP_TIMEOUT,
    )
    _Server(config, until_stdin_ends=options.until_stdin_ends).run(sockets=[listener])
    online_scoring.close()
    # Python would wait for a thread that still scores for a client whose time is over.
    os._exit(0)


if __name__ == "__main__":
    main()
