"""The node of an online deployment: its code, its model, and Microsoft's inference server over them as a process."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from credit_default_tests.azure_emulator import online_driver
from credit_default_tests.azure_emulator.azurite import CHECKOUT, free_port
from credit_default_tests.azure_emulator.blobs import Blobs
from credit_default_tests.azure_emulator.locations import Location
from credit_default_tests.azure_emulator.program import Program

PACKAGES = CHECKOUT / ".venv" / "inference-server"
START_SECONDS = 180.0
#: How long requests that are being answered may go on when the deployment is removed.
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1


class NotReady(Exception):
    """The server ended, or did not answer in time."""


@dataclass
class OnlineServer:
    """One server.

    Parameters
    ----------
    folder
        A new folder for what is on the node.
    script
        The scoring script's path in the code.
    environment
        What the deployment's program gets besides what every node has.
    """

    folder: Path
    script: str
    environment: Mapping[str, str]
    _program: Program | None = None
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self._log.touch()
        # No proxy of the surroundings: the server is on loopback. It closes each connection after its answer.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._port = free_port()
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{self._port}", trust_env=False, limits=limits, timeout=httpx.Timeout(5.0)
        )

    def start(self, blobs: Blobs, code: Location, model: Location, mounted: str) -> None:
        """Bring code and model, start the server, and come back when it answers.

        Parameters
        ----------
        mounted
            Where the model is found below the folder of models: its name and version, as on Azure.

        Raises
        ------
        NotReady
            It ended, or did not answer in time; its log says why.
        """
        if not PACKAGES.is_dir():
            raise NotReady(f"{PACKAGES.name} is missing: make .venv/inference-server/.installed")
        root, models, home = (self.folder / name for name in ("code", "azureml-models", "home"))
        home.mkdir()
        blobs.bring_code(code.container, code.path, root)
        # The registered folder keeps its name, and is not itself what the variable names.
        blobs.download(model.container, model.path, models / mounted / Path(model.path).name)
        driver = shlex.quote(str(Path(online_driver.__file__)))
        self._program = Program(
            f"exec python {driver} --entry_script {shlex.quote(self.script)} --port {self._port}",
            folder=root,
            log=self._log,
            environment={
                "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": str(PACKAGES),
                "HOME": str(home),
                "TMPDIR": str(home),
                "LANG": "C.UTF-8",
                "AML_APP_ROOT": str(root),
                "AZUREML_MODEL_DIR": str(models / mounted),
                **self.environment,
            },
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._is_healthy():
            if self._program.wait(_POLL_SECONDS) is not None:
                raise NotReady(f"its program ended with status {self._program.status}")
            if time.monotonic() > deadline:
                self.kill()
                raise NotReady(f"it did not answer its probe in {START_SECONDS:.0f} s")

    def post(self, body: bytes, headers: Mapping[str, str], seconds: float) -> httpx.Response:
        """Hand on a request; raises what httpx raises."""
        return self._client.post("/score", content=body, headers=dict(headers), timeout=seconds)

    def log(self, lines: int) -> str:
        """Return the last lines of what it printed."""
        return "".join(self._log.read_text("utf-8", "replace").splitlines(keepends=True)[-lines:])

    def stop(self) -> None:
        """Let it answer what it is asked already, end it, and keep nothing."""
        if self._program:
            self._program.stop(STOP_SECONDS)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """End it at once, with everything that it started."""
        if self._program:
            self._program.kill()
        self._client.close()

    @property
    def _log(self) -> Path:
        return self.folder / "log.txt"

    def _is_healthy(self) -> Any:
        try:
            return self._client.get("/").is_success
        except httpx.TransportError:
            return False
