"""The emulator's process: every part put together, started in order, and stopped."""

import asyncio
import base64
import contextlib
import json
import secrets
import shlex
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from credit_default_tests.azure_emulator import (
    assets,
    batch_endpoints,
    history,
    identity,
    ingestion,
    jobs,
    log_analytics,
    mlflow_tracking,
    models,
    online_endpoints,
    online_scoring,
    operations,
    registries,
    schedules,
    wire,
    workspaces,
)
from credit_default_tests.azure_emulator.app import Application
from credit_default_tests.azure_emulator.azurite import Azurite, free_port
from credit_default_tests.azure_emulator.blobs import Blobs
from credit_default_tests.azure_emulator.certificates import Certificates, make_certificates
from credit_default_tests.azure_emulator.control import control, shown
from credit_default_tests.azure_emulator.emulator import Workspace
from credit_default_tests.azure_emulator.faults import Faults
from credit_default_tests.azure_emulator.proxy import Proxy
from credit_default_tests.azure_emulator.storage import StorageFront
from credit_default_tests.azure_emulator.store import ACCOUNT, State
from credit_default_tests.azure_emulator.tracking import Tracking

# Each has a function `routes(state)`: a new part of Azure is a new module in this list.
ROUTE_MODULES = (
    identity,
    workspaces,
    assets,
    jobs,
    history,
    ingestion,
    log_analytics,
    mlflow_tracking,
    models,
    registries,
    operations,
    batch_endpoints,
    online_endpoints,
    online_scoring,
    schedules,
)
#: A request for scores waits in a thread for the deployment's answer: hundreds may, and the others still get through.
_THREADS = 500


async def run(home: Path, *, until_stdin_closes: bool, shell: Path | None = None) -> None:
    """Run the emulator until it is told to stop; announce it with one line of JSON on stdout.

    Parameters
    ----------
    home
        Folder for its files.
    until_stdin_closes
        Stop as well when standard input ends.
    shell
        Where to write what points a shell at the emulator and a new workspace in it.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for told in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(told, stopped.set)
    if until_stdin_closes:
        # Whoever started this process holds the other end: when that process is gone, so is the emulator.
        watcher = threading.Thread(target=_wait_for_end, args=(loop, stopped), daemon=True)
        watcher.start()
    async with _emulator(home) as state:
        ready = _announcement(state)
        if shell:
            settings = Workspace(**shown(await asyncio.to_thread(workspaces.create, state))).settings
            _write_exports(shell, {**ready["environment"], **settings, "CREDIT_DEFAULT_ENV": "development"})
        print(json.dumps(ready), flush=True)
        await stopped.wait()


def _wait_for_end(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    sys.stdin.buffer.read()
    loop.call_soon_threadsafe(stopped.set)


@contextlib.asynccontextmanager
async def _emulator(home: Path) -> AsyncIterator[State]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    async with contextlib.AsyncExitStack() as stack:
        certificates = make_certificates(home / "tls")
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        models = asyncio.create_task(asyncio.to_thread(wire.load))
        azurite = await Azurite.started(home, certificates, ACCOUNT, key)
        stack.push_async_callback(azurite.stop)
        state = State(
            home=home,
            identity=identity.Identity(),
            faults=Faults(),
            blobs=Blobs(azurite.url, ACCOUNT, key, certificates.bundle, home / "code"),
            tracking=Tracking(home / "mlflow", free_port()),
        )
        state.tracking.start()
        state.at_stop.append(state.tracking.stop)
        stack.push_async_callback(asyncio.to_thread, _stop_parts, state)
        front = StorageFront(state, azurite.url, certificates.bundle)
        stack.push_async_callback(front.close)
        routes = [route for module in ROUTE_MODULES for route in module.routes(state)]
        await models
        port = await stack.enter_async_context(_served(Application(state, routes, front), certificates))
        proxy = Proxy(port, state.refused_hosts.append)
        state.urls["proxy"] = await proxy.start()
        stack.push_async_callback(proxy.stop)
        control_port = await stack.enter_async_context(_served(control(state)))
        state.urls |= {"control": f"http://127.0.0.1:{control_port}", "azurite": azurite.url}
        state.job_environment |= {
            "HTTPS_PROXY": state.urls["proxy"],
            "REQUESTS_CA_BUNDLE": str(certificates.bundle),
            "SSL_CERT_FILE": str(certificates.bundle),
            "MSI_ENDPOINT": f"{state.urls['control']}/identity",
            "MSI_SECRET": state.identity.managed_secret,
        }
        yield state


def _announcement(state: State) -> dict[str, Any]:
    reached_by = ("HTTPS_PROXY", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    return {
        "control": state.urls["control"],
        "tracking": state.tracking.uri if state.tracking else "",
        "job_environment": state.job_environment,
        "environment": {
            **{name: state.job_environment[name] for name in reached_by},
            "AZURE_TENANT_ID": state.identity.tenant,
            "AZURE_CLIENT_ID": state.identity.client_id,
            "AZURE_CLIENT_SECRET": state.identity.client_secret,
        },
    }


def _write_exports(file: Path, variables: dict[str, str]) -> None:
    """Write a file for ``source``, whole or not at all: its being there says that the emulator is ready."""
    partial = file.with_name(f"{file.name}.partial")
    partial.touch(mode=0o600)
    partial.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
    partial.replace(file)


def _stop_parts(state: State) -> None:
    for stop in reversed(state.at_stop):
        stop()


class _Server(uvicorn.Server):
    """A server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """HTTP whose application may drop the connection, as a fault."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        served = self.app

        async def with_abort(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), "emulator.abort": transport.abort}
            await served(scope, receive, send)

        self.app = with_abort


@contextlib.asynccontextmanager
async def _served(application: Callable[..., Any], certificates: Certificates | None = None) -> AsyncIterator[int]:
    """Serve an application on a free port of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        application,
        http=_Protocol,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=60,
        ssl_certfile=certificates.certificate if certificates else None,
        ssl_keyfile=certificates.key if certificates else None,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
        if serving.done():
            await serving
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
