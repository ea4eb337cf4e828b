"""A proxy that knows the emulated hosts and refuses every other one."""

import asyncio
import contextlib
from collections.abc import Callable
from fnmatch import fnmatch

from credit_default_tests.azure_emulator.certificates import HOSTS

_CHUNK = 1 << 16


class Proxy:
    """An HTTP proxy on loopback for CONNECT requests.

    Every tunnel ends at one port, whatever host was asked for: the server there tells hosts apart.

    Parameters
    ----------
    port
        Where tunnels lead.
    refused
        Called with every host that is not served.
    """

    def __init__(self, port: int, refused: Callable[[str], None]) -> None:
        self._port = port
        self._refused = refused
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def start(self) -> str:
        """Listen; return the proxy's URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening, and close every tunnel."""
        if self._server:
            self._server.close()
        for writer in list(self._open):
            writer.close()
        await asyncio.gather(*(task for task in list(self._tasks) if task))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, target = head.decode("latin-1").split(" ", 2)[:2]
            host = target.rpartition(":")[0] if method == "CONNECT" else target
            if method == "CONNECT" and any(fnmatch(host, known) for known in HOSTS):
                await self._tunnel(reader, writer)
            else:
                self._refused(host)
                writer.write(b"HTTP/1.1 403 Host is no part of the emulator\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
        writer.close()
        self._open.discard(writer)
        self._tasks.discard(task)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pump(reader, behind_writer), _pump(behind_reader, writer))


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    # A connection that one side resets is closed on the other side too: that is what a dropped connection is.
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()
    target.close()
