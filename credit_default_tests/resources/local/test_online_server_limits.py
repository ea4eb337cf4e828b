"""The local server against clients that mean it no good: none keeps it busy, from ending, or from answering others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest
from filelock import FileLock

from credit_default.telemetry.encryption import PrivateKeys, new_key
from credit_default_tests import trained
from credit_default_tests.end_to_end.world import processes_with, until
from credit_default_tests.served import Served, script_of, served
from credit_default_tests.strategies import clients

pytestmark = pytest.mark.slow

KEYS = PrivateKeys.read(new_key(), "KEY")
CONNECTIONS, SECONDS = 6, 3.0
#: The real server, with smaller limits than a test has the patience for.
SMALL = f"""
from credit_default.resources.local import online_server
online_server.MAX_CONNECTIONS, online_server.REQUEST_TIMEOUT = {CONNECTIONS}, {SECONDS}
online_server.main()
"""
#: What deploys a version on this machine, at the moment when it asks the server for golden rows.
DEPLOYING = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from credit_default.resources.local import online_endpoint
from credit_default.resources.local.storage import LocalStorage
folder = Path(sys.argv[1])
model = SimpleNamespace(name="credit-card-default", version="3", key="models/3", sha256=sys.argv[2], tags={})
with online_endpoint._serving(folder, model, LocalStorage(root=str(folder.parent))) as address:
    print(address, flush=True)
    time.sleep(600)
"""
HEAD = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "3"
    return folder, trained.save(folder)["model_sha256"]


@pytest.fixture(scope="module")
def small(model, tmp_path_factory) -> Iterator[Served]:
    """A server with small limits."""
    folder = tmp_path_factory.mktemp("small")
    command, environment = script_of(*model, KEYS.public(), CREDIT_DEFAULT_TELEMETRY_FOLDER=str(folder / "telemetry"))
    with served([sys.executable, "-c", SMALL, *command[3:]], environment, folder) as server:
        yield server


def connected(server: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=30)


def port_of(server: Served) -> int:
    return int(server.address.rpartition(":")[2])


def asked(body: object) -> bytes:
    content = json.dumps(body).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content


def status(connection: socket.socket) -> int:
    response = HTTPResponse(connection)
    response.begin()
    return response.status


@contextlib.contextmanager
def dribbling(*connections: socket.socket, every: float) -> Iterator[None]:
    """Send a byte over each connection now and then, for as long as it takes it."""
    over = threading.Event()

    def dribble() -> None:
        while not over.wait(every):
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.send(b"x")

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_request_that_is_dribbled_is_cut_off_and_others_are_answered_meanwhile(small):
    with contextlib.ExitStack() as opened:
        silent, head, body = (opened.enter_context(connected(small)) for _ in range(3))
        head.send(HEAD)
        body.send(HEAD + b"Content-Length: 1000000\r\n\r\n[")
        with dribbling(head, body, every=SECONDS / 20):
            started = time.monotonic()
            assert small.post(clients(2))[0] == 200
            for connection in (silent, head, body):
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(100) == b""
            assert SECONDS / 2 < time.monotonic() - started < SECONDS + 5


def test_connections_beyond_the_limit_are_refused_and_leave_no_trace(small):
    def closed(connection: socket.socket) -> bool:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            try:
                return connection.recv(1) == b""
            except ConnectionResetError:
                return True
        return False

    with contextlib.ExitStack() as opened:
        for _ in range(CONNECTIONS):
            opened.enter_context(connected(small))
        with connected(small) as beyond:
            beyond.send(asked(clients(1)))
            assert status(beyond) == 503
        flood = [opened.enter_context(connected(small)) for _ in range(2 * CONNECTIONS)]
        until(lambda: sum(map(closed, flood)) >= CONNECTIONS, seconds=0.7 * SECONDS, what="closed at once", every=0.05)
    until(lambda: small.post(clients(1))[0] == 200, seconds=10, what="the server answers again")


OURS = ["127.0.0.1", "localhost", "127.0.0.1:5001", "LocalHost:1"]
OTHERS = [
    "elsewhere.example",
    "127.0.0.1.elsewhere.example",
    "localhost.elsewhere.example:80",
    "localhost:80@x",
    "",
    "[::1]",
]


@pytest.mark.parametrize("host", [*OURS, *OTHERS])
def test_a_page_whose_name_was_made_to_point_here_is_refused(small, host):
    for method, path, body in (("GET", "/", None), ("POST", "/score", json.dumps(clients(1)))):
        connection = HTTPConnection("127.0.0.1", port_of(small), timeout=30)
        connection.request(method, path, body, {"Host": host, "Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read().decode()
        connection.close()
        assert response.status == (200 if host in OURS else 421)
        if host in OTHERS:
            assert json.loads(content)["message"].endswith("expected 127.0.0.1 or localhost in the address")


def test_it_ends_within_fifteen_seconds_whatever_its_clients_do(model, tmp_path):
    folder = tmp_path / "telemetry"
    folder.mkdir()
    command, environment = script_of(*model, KEYS.public(), CREDIT_DEFAULT_TELEMETRY_FOLDER=str(folder))
    with served(command, environment, tmp_path) as server, contextlib.ExitStack() as opened:
        silent, head, body, at_work, unread = (opened.enter_context(connected(server)) for _ in range(5))
        head.send(HEAD)
        body.send(HEAD + b"Content-Length: 1000000\r\n\r\n[")
        unread.send(asked(clients(1000)))
        assert server.post(clients(1))[0] == 200
        with FileLock(folder / "traces.jsonl.lock"), dribbling(head, body, every=0.2):
            at_work.send(asked(clients(1)))  # waits for the file, however long
            time.sleep(1)
            started = time.monotonic()
            assert server.end() == 0
            assert time.monotonic() - started < 15
        assert silent.recv(1) == b""


def test_a_server_that_tries_a_version_does_not_outlive_the_process_that_started_it(model):
    folder, sha256 = model
    command, mark = [sys.executable, "-c", DEPLOYING, str(folder), sha256], uuid.uuid4().hex
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "MARK_OF_A_TEST": mark}) as process:
        assert process.stdout.readline().startswith(b"http://127.0.0.1:")
        process.kill()
    try:
        until(lambda: not processes_with(mark), seconds=15, what="the server has ended")
    finally:
        for pid in processes_with(mark):
            os.kill(pid, signal.SIGKILL)
