"""What a person leaves running: the daemon alone, or all that `credit-default dev` starts."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from credit_default_tests.end_to_end.world import World, until

ASSETS_QUERY = "{ assetNodes { assetKey { path } } }"
TICKS_QUERY = """query($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { status ticks(limit: 50) { status skipReason error { message } } } } } }"""
SENSOR = {
    "repositoryName": "__repository__",
    "repositoryLocationName": "credit_default",
}


class Daemon:
    """Dagster's daemon with its code server: all that sensors, schedules and runs need."""

    def __init__(self, world: World) -> None:
        self.world = world

    def command(self) -> list[str]:
        """How it is started."""
        return [str(Path(sys.executable).with_name("dagster-daemon")), "run"]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it, from when it is ready until everything that it started is gone."""
        with self.world.started(self.command(), "dev.log") as process:
            self.process = psutil.Process(process.pid)
            try:
                until(self.is_ready, seconds=240, what=f"it is ready; see {self.world.home / 'dev.log'}")
                yield
            finally:
                self.kill_all()
                self.world.stop_steps()

    def is_ready(self) -> bool:
        """Whether it answers, where it answers at all."""
        return self.process.is_running()

    def kill_all(self, *, but: int | None = None) -> None:
        """SIGKILL to web server, daemon, code server and run workers, and to the steps unless one is named."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [*self.process.children(recursive=True), self.process]
            spared = {but, *(child.pid for child in psutil.Process(but).children(recursive=True))} if but else set()
            for process in family:
                if process.pid not in spared:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            psutil.wait_procs([process for process in family if process.pid not in spared], timeout=30)


class Platform(Daemon):
    """`credit-default dev`: web server, daemon and code server on a free port of this machine."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def command(self) -> list[str]:
        """How it is started."""
        return [str(Path(sys.executable).with_name("credit-default")), "dev", "--port", str(self.port)]

    def is_ready(self) -> bool:
        """Whether the web server answers."""
        assert self.process.is_running()
        try:
            return bool(self.ask(ASSETS_QUERY)["assetNodes"])
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def ask(self, query: str, **variables: Any) -> Any:
        """Data of a GraphQL query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            told = json.load(response)
        assert "errors" not in told, told
        return told["data"]

    def ticks(self, sensor: str = "inference_landing") -> list[dict[str, Any]]:
        """Ticks of a sensor, newest first."""
        selector = {**SENSOR, "sensorName": sensor}
        return self.ask(TICKS_QUERY, selector=selector)["sensorOrError"]["sensorState"]["ticks"]
