"""Keeps every HTTP exchange of the check and of the processes that it starts, as lines of JSON without secrets.

Azure's SDK, its sign-in, MLflow and the senders of telemetry all go through `requests`. Runs of Dagster are processes
of their own, which Python's `sitecustomize` (in `hook/`) lets record, too: their environment says where to.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from credit_default_tests import CHECKOUT
from credit_default_tests.azure_check.scrub import Scrubber, all_secret, form_of

VARIABLE = "AZURE_CHECK_RECORDING"
_HOOK, _ROOT = Path(__file__).parent / "hook", CHECKOUT
_SECRET_VARIABLES = ("SECRET", "KEY", "CONNECTION_STRING", "PASSWORD", "TOKEN")
#: Headers that say something about the exchange and nothing about who takes part; all others are left out.
_HEADERS = {
    "accept", "api-version", "azure-asyncoperation", "azureml-model-deployment", "content-length", "content-type",
    "etag", "if-match", "if-none-match", "location", "ms-azureml-model-error-reason",
    "ms-azureml-model-error-statuscode", "operation-location", "prefer", "range", "retry-after", "www-authenticate",
    "x-ms-blob-type", "x-ms-copy-source", "x-ms-copy-status", "x-ms-delete-snapshots", "x-ms-error-code",
    "x-ms-lease-action", "x-ms-lease-status", "x-ms-version",
}  # fmt: skip
_STORAGE = (".blob.", ".dfs.", ".file.", ".queue.", ".table.")
_ALL_SECRET = ("/listsecrets", "/listkeys", "/token", "/oauth2/v2.0/token", "/getlogs", "/listconnectionstrings")
_OF_SIGN_IN = ("grant_type", "scope", "resource")
_DROPPED = "<{0} bytes, not kept>"


@dataclass(frozen=True)
class Recorder:
    """Adds exchanges to a file, each by one write, so that several processes can share it."""

    file: Path
    scrubber: Scrubber

    def keep(self, request: Any, began: float, response: Any = None, error: BaseException | None = None) -> None:
        """Add one exchange. What cannot be read is named, and not kept."""
        told: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        try:
            told |= self._exchange(request, response, error)
        except Exception as unforeseen:  # noqa: BLE001 - keeping must not change what is kept
            told["not_kept"] = type(unforeseen).__name__
        told["seconds"] = round(time.monotonic() - began, 3)
        line = json.dumps(told, separators=(",", ":")) + "\n"
        with suppress(OSError):  # a disk that is full must not keep anything from being removed
            handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line.encode())
            finally:
                os.close(handle)

    def _exchange(self, request: Any, response: Any, error: BaseException | None) -> dict[str, Any]:
        url, text = urlsplit(request.url), self.scrubber.text
        told = {
            "method": request.method,
            "host": text(url.netloc),
            "path": text(url.path),
            "query": self.scrubber.query(url.query),
            "headers": self._headers(request.headers),
            "token_for": text(_audience(request.headers)),
            "body": self._body(url, request.headers, request.body),
        }
        if error is not None:
            return {**told, "error": type(error).__name__}
        readable = _is_readable(url, response.headers)
        size = response.headers.get("content-length", "?")
        return {
            **told,
            "status": response.status_code,
            "answer_headers": self._headers(response.headers),
            "answer": self._body(url, response.headers, response.content) if readable else _DROPPED.format(size),
        }

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        # Of bytes, in the requests of some clients.
        named = {_as_text(name).lower(): _as_text(value) for name, value in headers.items()}
        return {name: self.scrubber.text(value) for name, value in named.items() if name in _HEADERS}

    def _body(self, url: Any, headers: Mapping[str, str], body: Any) -> Any:
        if not body or not isinstance(body, bytes | str):
            return "<a stream, not kept>" if body else None
        if not _is_readable(url, headers):
            return _DROPPED.format(len(body))
        content, path = _as_text(body), url.path.lower()
        if "x-www-form-urlencoded" in headers.get("content-type", "").lower():
            return {name: self.scrubber.text(one) for name, one in parse_qsl(content) if name in _OF_SIGN_IN}
        try:
            told = json.loads(content)
        except ValueError:
            return _DROPPED.format(len(body))
        if path.endswith("/score"):
            return form_of(told)
        return all_secret(told) if path.endswith(_ALL_SECRET) else self.scrubber.body(told)


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_readable(url: Any, headers: Mapping[str, str]) -> bool:
    """Whether a body is one of Azure's own and no file: it is small, and read whole by whoever asked."""
    if any(part in url.netloc for part in _STORAGE):
        return False
    kind = headers.get("content-type", "").lower()
    return "json" in kind or "x-www-form-urlencoded" in kind


def _audience(headers: Mapping[str, str]) -> str:
    """Return whom the token of a request is made out to; empty without one."""
    kind, _, token = _as_text(headers.get("Authorization", "")).partition(" ")
    try:
        claims = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["aud"])
    except (IndexError, ValueError, KeyError):
        return "unknown" if kind.lower() == "bearer" else ""


def install(recorder: Recorder) -> Callable[[], None]:
    """Keep what this process asks by `requests` from now on; returns what ends that."""
    from requests.adapters import HTTPAdapter

    original = HTTPAdapter.send

    @functools.wraps(original)
    def send(self: Any, request: Any, *args: Any, **options: Any) -> Any:
        began = time.monotonic()
        try:
            response = original(self, request, *args, **options)
        except Exception as error:
            recorder.keep(request, began, error=error)
            raise
        recorder.keep(request, began, response)
        return response

    HTTPAdapter.send = send  # type: ignore[method-assign]
    return functools.partial(setattr, HTTPAdapter, "send", original)


@contextmanager
def recorded(recorder: Recorder) -> Iterator[None]:
    """Keep what this process asks meanwhile."""
    uninstall = install(recorder)
    try:
        yield
    finally:
        uninstall()


def secrets_of(environ: Mapping[str, str]) -> list[str]:
    """Return the values of variables that hold secrets."""
    return [value for name, value in environ.items() if name.upper().endswith(_SECRET_VARIABLES)]


def variables(file: Path, key: bytes, names: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that let a process record."""
    told = {"file": str(file), "key": key.hex(), "names": dict(names)}
    paths = [str(_HOOK), str(_ROOT), *filter(None, [environ.get("PYTHONPATH")])]
    return {VARIABLE: json.dumps(told), "PYTHONPATH": os.pathsep.join(paths)}


def recorder_of(environ: Mapping[str, str]) -> Recorder:
    """Return the recorder that the environment of this process asks for."""
    told = json.loads(environ[VARIABLE])
    scrubber = Scrubber(bytes.fromhex(told["key"]), told["names"], secrets_of(environ))
    return Recorder(Path(told["file"]), scrubber)


def exchanges(file: Path) -> list[dict[str, Any]]:
    """Return what was kept."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
