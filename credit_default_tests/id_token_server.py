"""A stand-in for where GitHub gives a job the tokens that say which repository and environment it belongs to."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

REPOSITORY = "bank/credit-default"
#: What GitHub numbers its owner and itself by.
OWNER_ID, REPOSITORY_ID = "5544123", "821093847"


def subject_of(environment: str, *, immutable: bool = True) -> str:
    """What a token says of a job in a GitHub environment: of a newer repository, or of an older one."""
    owner, _, name = REPOSITORY.partition("/")
    repository = f"{owner}@{OWNER_ID}/{name}@{REPOSITORY_ID}" if immutable else REPOSITORY
    return f"repo:{repository}:environment:{environment}"


class IdTokenServer:
    """What GitHub knows of the jobs that may ask, and how it answers.

    Attributes
    ----------
    immutable
        Whether the repository's subjects have numbers in them, as those of new repositories do.
    subject
        What to say of every job instead of its own subject.
    lifetime
        Seconds that a token lives; GitHub's live some minutes.
    answer
        Status and body to answer with instead of a token.
    given
        Every token that was handed out.
    """

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.immutable = True
        self.subject: str | None = None
        self.lifetime = 300
        self.answer: tuple[int, bytes] | None = None
        self.given: list[str] = []
        self._jobs: dict[str, str] = {}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def proofs(self) -> list[str]:
        """What jobs were given to ask with."""
        return list(self._jobs)

    @property
    def public_key(self) -> str:
        """What tokens are checked with."""
        encoded = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return encoded.decode()

    def job(self, environment: str) -> dict[str, str]:
        """Return the environment variables of a new job that may ask who it is."""
        proof = secrets.token_urlsafe(24)
        self._jobs[proof] = environment
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.issuer}/token?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": proof,
        }

    def answered(self, authorization: str, audience: str) -> tuple[int, bytes]:
        """Return status and body for a request."""
        if self.answer is not None:
            return self.answer
        environment = self._jobs.get(authorization.removeprefix("Bearer "))
        if environment is None:
            return 401, b'{"message": "no job of ours"}'
        subject = self.subject or subject_of(environment, immutable=self.immutable)
        moment = int(time.time())
        claims = {"iss": self.issuer, "sub": subject, "aud": audience, "iat": moment, "nbf": moment}
        claims |= {"exp": moment + self.lifetime, "jti": secrets.token_hex(8)}
        token = jwt.encode(claims, self._key, algorithm="RS256")
        self.given.append(token)
        return 200, json.dumps({"count": 1, "value": token}).encode()


@contextlib.contextmanager
def id_token_server() -> Iterator[IdTokenServer]:
    """Serve on a free port of 127.0.0.1 until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            status, body = known.answered(self.headers.get("Authorization", ""), asked.get("audience", [""])[0])
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known = IdTokenServer(server.server_port)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
