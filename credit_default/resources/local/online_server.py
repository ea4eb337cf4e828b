"""A small server for the scoring script of online deployments, on this machine.

``python -m credit_default.resources.local.online_server --model DIR --port PORT``

The rest it is told by the environment, as on Azure (`credit_default.steps.online_scoring`). Once it serves it prints
one line, ``{"address": "http://127.0.0.1:PORT"}``: ``GET /`` says that it lives, ``POST /score`` scores. SIGTERM and
SIGINT end it when the requests under way are answered and what they held is on its way.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest, HTTPException, UnsupportedMediaType
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

#: Ten times what a thousand clients take.
_LARGEST_BODY = 8 * 1024 * 1024
_HOST = "127.0.0.1"


class _Handler(WSGIRequestHandler):
    """One request a connection, and none is waited for long, so that nobody keeps the server from ending."""

    protocol_version = "HTTP/1.0"
    timeout = 10

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Say nothing: what is asked for may be in the address."""


def app() -> Flask:
    """Return the application; the scoring script is ready by then."""
    from credit_default.steps import online_scoring

    made = Flask("credit_default")
    made.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY

    @made.get("/")
    def alive() -> str:
        return "Healthy"

    @made.post("/score")
    def score() -> Response:
        if not request.is_json:  # nor does a page of another site get here without asking first
            raise UnsupportedMediaType("expected content type application/json")
        try:
            body = request.get_data().decode()
        except UnicodeDecodeError:
            raise BadRequest("the body is not UTF-8") from None
        return online_scoring.run(body)

    @made.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        content = json.dumps({"message": error.description, "problems": []})
        return Response(content, error.code, mimetype="application/json")

    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal ends it."""
    from credit_default.steps import online_scoring
    from credit_default.steps._deployed import MODEL_DIR

    parser = argparse.ArgumentParser(description="Serve the scoring script of online deployments on this machine.")
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--port", type=int, default=0, help=f"port on {_HOST}; a free one by default")
    options = parser.parse_args(arguments)

    os.environ[MODEL_DIR] = str(options.model)
    online_scoring.init()
    server = make_server(_HOST, options.port, app(), threaded=True, request_handler=_Handler)
    _serve(server)
    online_scoring.close()


def _serve(server: BaseWSGIServer) -> None:
    """Answer requests until a signal comes, and those that are under way then."""
    ends = {signal.SIGTERM, signal.SIGINT}
    # Before any thread is started, so that the signal comes to nobody but this one.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server.daemon_threads = False  # type: ignore[attr-defined] # so that `server_close` waits for them
    serving = threading.Thread(target=server.serve_forever, name="server")
    serving.start()
    sys.stdout.write(json.dumps({"address": f"http://{_HOST}:{server.server_port}"}) + "\n")
    sys.stdout.flush()
    signal.sigwait(ends)
    server.shutdown()
    serving.join()
    server.server_close()


if __name__ == "__main__":
    main()
