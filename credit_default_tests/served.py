"""A model behind HTTP on this machine, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Variables of whoever runs the tests that the server would obey.
_OURS = ("CREDIT_DEFAULT_", "APPLICATIONINSIGHTS_", "AML_", "AZUREML_")


@dataclass
class Served:
    """A server that answers; what it prints is in a file."""

    process: subprocess.Popen[bytes]
    address: str
    printed: Path

    def post(self, body: Any, *, content_type: str = "application/json") -> tuple[int, dict[str, Any]]:
        """Ask, and return status and answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/score", content, {"Content-Type": content_type})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it, and return its exit status."""
        self.process.send_signal(how)
        return self.process.wait(60)


@contextmanager
def served(command: list[str], environment: Mapping[str, str], folder: Path) -> Iterator[Served]:
    """Start a server and wait until it says where it is; it is killed at the end if it still lives."""
    folder.mkdir(parents=True, exist_ok=True)
    printed = folder / "server.log"
    with printed.open("ab") as log:
        process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=log)
    try:
        line = process.stdout.readline()
        assert line, printed.read_text()
        yield Served(process, json.loads(line)["address"], printed)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def script_of(model: Path, sha256: str, public_key: str, **more: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the local server for a model directory."""
    command = [sys.executable, "-m", "credit_default.resources.local.online_server", "--model", str(model)]
    environment = {
        "CREDIT_DEFAULT_MODEL_NAME": "credit-card-default",
        "CREDIT_DEFAULT_MODEL_VERSION": "3",
        "CREDIT_DEFAULT_MODEL_SHA256": sha256,
        "CREDIT_DEFAULT_MANIFEST_SHA256": hashlib.sha256((model / "manifest.json").read_bytes()).hexdigest(),
        "CREDIT_DEFAULT_COLLECTION_PUBLIC_KEY": public_key,
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return command, {**kept, **environment, **more}
