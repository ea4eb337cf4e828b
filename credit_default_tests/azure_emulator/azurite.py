"""Azurite, Microsoft's own blob store for tests, as a child process."""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
from pathlib import Path

from credit_default_tests import CHECKOUT
from credit_default_tests.azure_emulator.certificates import Certificates

PROGRAM = CHECKOUT / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
START_SECONDS = 60


class Azurite:
    """A running Azurite that holds its blobs in memory.

    Attributes
    ----------
    url
        Where it listens on loopback.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.url = f"https://127.0.0.1:{port}"
        self._process = process

    @classmethod
    async def started(cls, home: Path, certificates: Certificates, account: str, key: str) -> "Azurite":
        """Start Azurite with one account, and wait until it answers.

        Raises
        ------
        RuntimeError
            It is not installed, or does not start; the message says what to do.
        """
        node = shutil.which("node")
        if not node or not PROGRAM.is_file():
            missing = "node" if not node else str(PROGRAM.relative_to(CHECKOUT))
            raise RuntimeError(
                f"{missing} is missing, which the blob store needs: install Node.js, then make node_modules/.installed"
            )
        port = free_port()
        # fmt: off
        command = [
            node, str(PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence",
            "--cert", str(certificates.certificate), "--key", str(certificates.key), "--oauth", "basic",
            # Clients may be newer than Azurite.
            "--skipApiVersionCheck", "--disableTelemetry", "--silent",
        ]
        # fmt: on
        with (home / "azurite.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=home,
                env={"PATH": os.environ.get("PATH", ""), "AZURITE_ACCOUNTS": f"{account}:{key}"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the emulator, which stops Azurite when nothing needs it any more.
                start_new_session=True,
            )
        azurite = cls(process, port)
        try:
            await asyncio.wait_for(azurite._answers(certificates), START_SECONDS)
        except TimeoutError:
            await azurite.stop()
            raise RuntimeError(f"Azurite did not answer within {START_SECONDS} s: see {home / 'azurite.log'}") from None
        return azurite

    async def _answers(self, certificates: Certificates) -> None:
        trusted = ssl.create_default_context(cafile=str(certificates.bundle))
        port = int(self.url.rpartition(":")[2])
        while self._process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise RuntimeError(
            f"Azurite ended with code {self._process.returncode}: see azurite.log in the emulator's home."
        )

    async def stop(self) -> None:
        """End the process."""
        if self._process.returncode is None:
            # What it holds is in memory and not wanted any more.
            self._process.kill()
        await self._process.wait()


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
