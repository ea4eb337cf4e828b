"""An online endpoint without a service of its own: `credit-default serve` answers with the default version."""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from credit_default.errors import JobFailed
from credit_default.ports import ModelVersion, OnlineEndpoint, Storage
from credit_default.resources.local.file_endpoint import KeptEndpoint
from credit_default.resources.model_versions import expectation_of, variables_of
from credit_default.settings import (
    COLLECTION_KEY_VARIABLE,
    COLLECTION_PUBLIC_KEY_VARIABLE,
    CONNECTION_STRING_VARIABLE,
    TELEMETRY_FOLDER_VARIABLE,
)

#: Where `credit-default serve` listens, unless it is told otherwise.
SERVE_PORT = 5001
_SERVER = "credit_default.resources.local.online_server"
_START_SECONDS, _STOP_SECONDS, _REQUEST_SECONDS = 120.0, 15.0, 60.0
_LAST_WORDS = 2_000


class LocalOnlineEndpoint(KeptEndpoint, OnlineEndpoint):
    """A version is tried in the very server that will serve it."""

    def deploy(self, context: dg.AssetExecutionContext, model: ModelVersion) -> Mapping[str, Any]:  # noqa: D102 - see the port
        from credit_default.core.model import golden_rows
        from credit_default.core.model.model_folder import open_folder

        expectation = expectation_of(model, self.storage, context.log.warning)
        with self.storage.on_disk(model.key) as folder:
            golden = golden_rows.read(open_folder(folder, expectation))
            with _serving(folder, model, self.storage) as address:
                answer = _post(f"{address}/score", golden_rows.as_request(golden))
            where = f"version {model.version} behind {self.name}"
            result = golden_rows.held_to_answer(answer, golden, version=model.version, where=where)
        self._add(model.version)
        return result

    def scoring_uri(self) -> str | None:  # noqa: D102 - see the port
        return None if self.state().default is None else f"http://127.0.0.1:{SERVE_PORT}/score"


@contextmanager
def _serving(folder: Path, model: ModelVersion, storage: Storage) -> Iterator[str]:
    """Serve a model on this machine meanwhile; yields the server's address."""
    with tempfile.TemporaryDirectory(prefix="credit-default-") as scratch, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own program
            # So that it does not outlive this process, even if that is killed.
            [sys.executable, "-m", _SERVER, "--model", str(folder), "--port", "0", "--until-stdin-ends"],
            env=_variables(model, storage, scratch),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
            line = process.stdout.readline() if ready else b""
            if not line:
                errors.seek(0)
                words = errors.read().decode("utf-8", "replace")[-_LAST_WORDS:].strip()
                raise JobFailed(f"The server of version {model.version} did not start: {words or 'it said nothing'}")
            yield json.loads(line)["address"]
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdin.close()
            process.stdout.close()


def _variables(model: ModelVersion, storage: Storage, folder: str) -> dict[str, str]:
    """Return the environment of a server that is only tried: nothing that it is asked is collected."""
    from credit_default.telemetry.encryption import PrivateKeys, new_key

    kept_back = (COLLECTION_KEY_VARIABLE, CONNECTION_STRING_VARIABLE)
    inherited = {name: value for name, value in os.environ.items() if name not in kept_back}
    return {
        **inherited,
        **variables_of(model, storage),
        # Nobody has the private part, and nobody needs it.
        COLLECTION_PUBLIC_KEY_VARIABLE: PrivateKeys.read(new_key(), "a new key").public(),
        TELEMETRY_FOLDER_VARIABLE: folder,
    }


def _post(address: str, body: bytes) -> bytes:
    """Ask the server, past any proxy of this machine."""
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request, build_opener

    request = Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 - our own address
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=_REQUEST_SECONDS) as answer:
            return bytes(answer.read())
    except HTTPError as error:
        told = json.loads(error.read()).get("message", "it gave no reason")
        raise JobFailed(f"The server refused golden rows with status {error.code}: {told}") from None
    except URLError as error:
        raise JobFailed(f"The server did not answer golden rows: {type(error.reason).__name__}") from error
