"""A stand-in for oauth2-proxy, which no package brings: it answers nginx as oauth2-proxy does, and knows one session.

To whatever else it is asked it says what it was sent, so that a test sees what a server behind nginx gets.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SESSION = "__Host-dagster=a-session"
EMAIL = "ann@example.com"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b""
        if self.path == "/oauth2/auth":
            known = self.headers.get("Cookie") == SESSION
            self.send_response(202 if known else 401)
            if known:
                self.send_header("X-Auth-Request-Email", EMAIL)
        else:
            body = json.dumps({"path": self.path, "headers": dict(self.headers.items())}).encode()
            self.send_response(200)
            if self.path.startswith("/oauth2/callback"):
                for number in range(2):
                    self.send_header("Set-Cookie", f"session_{number}={'x' * 4000}; Path=/; Secure")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def login_server() -> Iterator[int]:
    """Serve until the end; gives the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
