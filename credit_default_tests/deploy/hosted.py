"""A hosted environment on this machine, without its containers: each part is started by the image's own command."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import dagster as dg
import psutil
from dagster._grpc.client import DagsterGrpcClient
from websockets.sync.client import connect

from credit_default_tests.azure_emulator import Emulator
from credit_default_tests.deploy.proxies import Site
from credit_default_tests.deploy.servers import HOSTING, Postgres, free_port
from credit_default_tests.end_to_end.azure_world import AzureWorld
from credit_default_tests.end_to_end.world import CHECKOUT, until

LOCATION = {"repositoryLocationName": "credit_default", "repositoryName": "__repository__"}
_LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
JSON = {"Content-Type": "application/json"}


class Hosted(AzureWorld):
    """An environment in the emulator, whose Dagster has the production ``dagster.yaml`` and a PostgreSQL."""

    def __init__(self, home: Path, emulator: Emulator, postgres: Postgres) -> None:
        # As in the image: it is there before anything is started.
        (home / "dagster").mkdir(parents=True)
        shutil.copy(HOSTING / "dagster.yaml", home / "dagster")
        self.ports = {part: free_port() for part in ("code", "web")}
        super().__init__(
            home,
            emulator,
            emulator.workspace(with_code=True),
            **postgres.settings,
            CREDIT_DEFAULT_CODE_SERVER="127.0.0.1",
            DAGSTER_GRPC_HOST="127.0.0.1",
            DAGSTER_GRPC_PORT=str(self.ports["code"]),
            DAGSTER_WEBSERVER_PORT=str(self.ports["web"]),
            # gRPC asks the proxy of the emulator otherwise, which knows Azure only.
            NO_PROXY="127.0.0.1",
        )
        self.web = Site(self.ports["web"])
        self._processes: dict[str, psutil.Popen] = {}

    def part(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a part that ends by itself."""
        return self.run(sys.executable, "-m", "credit_default.deploy.hosting", name)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as in a container."""
        return self._run(command)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run every part, until all that it started is gone."""
        try:
            self.start("code")
            self.start("web", "daemon")
            yield
        finally:
            for part in list(self._processes):
                self.kill(part)

    def start(self, *parts: str) -> None:
        """Start parts, and wait until they are up."""
        for part in parts:
            command = [sys.executable, "-m", "credit_default.deploy.hosting", part]
            with (self.home / f"{part}.log").open("ab") as log:
                started = psutil.Popen(command, env=self.environment, cwd=CHECKOUT, stdout=log, stderr=log)
            self._processes[part] = started
        for part in parts:
            log = self.home / f"{part}.log"
            until(lambda part=part: self._is_up(part), seconds=240, what=f"{part} is up; see {log}", every=1)

    def kill(self, part: str) -> None:
        """Kill a part and all that it started, as happens when a container ends."""
        process = self._processes.pop(part)
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [*process.children(recursive=True), process]
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(family, timeout=30)

    def _is_up(self, part: str) -> bool:
        assert self._processes[part].poll() is None, (self.home / f"{part}.log").read_text()[-3000:]
        if part == "code":
            return DagsterGrpcClient(port=self.ports["code"]).health_check_query() == "SERVING"
        if part == "web":
            with contextlib.suppress(OSError):
                return self.web.ask("GET", "/server_info").status == 200
            return False
        with self.opened() as instance:
            return bool(instance.get_daemon_statuses())

    @contextlib.contextmanager
    def opened(self) -> Iterator[dg.DagsterInstance]:
        """Open the instance, as every part does."""
        home = self.environment["DAGSTER_HOME"]
        with patch.dict(os.environ, self.environment), dg.DagsterInstance.from_config(home) as found:
            yield found


def graphql(site: Site, query: str, **variables: Any) -> Any:
    """Data of a query or mutation, posted as the UI does it."""
    told = site.ask("POST", "/graphql", JSON, json.dumps({"query": query, "variables": variables}))
    assert told.status == 200, (told.status, told.body[:2000])
    answer = json.loads(told.body)
    assert "errors" not in answer, answer
    return answer["data"]


def launch(site: Site, job: str, *assets: str) -> str:
    """Launch a job, or some assets of it, as the UI does it; gives the id of the run."""
    chosen = {"assetSelection": [{"path": [asset]} for asset in assets]} if assets else {}
    params = {"selector": {**LOCATION, "jobName": job, **chosen}, "runConfigData": {}, "mode": "default"}
    told = graphql(site, _LAUNCH, params=params)["launchRun"]
    assert told["__typename"] == "LaunchRunSuccess", told
    return told["run"]["runId"]


def subscribed(site: Site, run_id: str, headers: Mapping[str, str]) -> str:
    """Follow the log of a run over a websocket, as the run's page does it; gives what arrives first."""
    query = "subscription($run: ID!) { pipelineRunLogs(runId: $run) { __typename } }"
    address = f"{'wss' if site.certificate else 'ws'}://127.0.0.1:{site.port}/graphql"
    options = {"additional_headers": {**site.headers, **headers}, "subprotocols": ["graphql-ws"], "proxy": None}
    with connect(address, ssl=site.context, **options) as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(30))["type"] == "connection_ack"
        started = {"query": query, "variables": {"run": run_id}}
        socket.send(json.dumps({"type": "start", "id": "1", "payload": started}))
        return json.loads(socket.recv(30))["payload"]["data"]["pipelineRunLogs"]["__typename"]
