"""The MLflow server that jobs log to: a real one on loopback, over SQLite.

Jobs reach it at the workspace's ``azureml://`` address, see ``mlflow_tracking.py``. As on Azure ML, a run is made for
each job, its id is in the job's environment, and it ends with the job.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from credit_default_tests import CHECKOUT

_SERVER = "credit_default_tests.azure_emulator.tracking_server"
#: It imports much of MLflow and makes its tables first: about eight seconds on an idle machine, thirty on a busy one.
START_SECONDS = 180.0

_ENDED = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED"}


class TrackingUnavailable(Exception):
    """The MLflow server ended, or was not ready in time."""


class Tracking:
    """Starts the server in the background; whoever needs it waits for it."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.uri = f"http://127.0.0.1:{port}"
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._experiments: dict[str, str] = {}
        self._lock = threading.Lock()
        # No proxy of the surroundings: the server is on loopback.
        self._client = httpx.Client(base_url=self.uri, trust_env=False, timeout=60.0)

    def start(self) -> None:
        """Start the server and come back at once."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _SERVER, "--home", str(self.home), "--port", str(self._port)],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> None:
        """Stop the server and wait until it is gone."""
        self._client.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_until_ready(self) -> None:
        """Come back when the server answers; raises :class:`TrackingUnavailable`."""
        deadline = time.monotonic() + START_SECONDS
        while not self._ready:
            if self._process is None or self._process.poll() is not None:
                raise TrackingUnavailable(f"the MLflow server is not running; see {self.home / 'server.log'}")
            with contextlib.suppress(httpx.TransportError):
                self._ready = self._client.get("/health").is_success
            if not self._ready:
                if time.monotonic() > deadline:
                    raise TrackingUnavailable(f"the MLflow server did not answer in {START_SECONDS:.0f} s")
                time.sleep(0.1)

    def forward(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, dict[str, Any]]:
        """Hand on a request of MLflow's protocol; return the status and what the server said."""
        self.wait_until_ready()
        answer = self._client.request(method, f"/api/2.0/mlflow/{path}", params=dict(query), json=body)
        return answer.status_code, answer.json() if answer.content else {}

    def start_run(self, experiment: str, name: str, *, parent: str | None = None) -> tuple[str, str]:
        """Make a run for a job; return the id of its experiment and its own."""
        self.wait_until_ready()
        tags = {"mlflow.runName": name, "mlflow.user": "azureml"}
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        experiment_id = self._experiment(experiment)
        answer = self._call(
            "runs/create",
            {
                "experiment_id": experiment_id,
                "start_time": _now(),
                "tags": [{"key": key, "value": value} for key, value in tags.items()],
            },
        )
        return experiment_id, answer["run"]["info"]["run_id"]

    def end_run(self, run_id: str, status: str) -> None:
        """Close a run as its job ended; does nothing when the job closed it itself."""
        info = self._get("runs/get", {"run_id": run_id})["run"]["info"]
        if info["status"] == "RUNNING":
            self._call("runs/update", {"run_id": run_id, "status": _ENDED[status], "end_time": _now()})

    def metric(self, run_id: str, name: str) -> float | None:
        """Return the last value of a metric, or None when the run never logged it."""
        metrics = self._get("runs/get", {"run_id": run_id})["run"]["data"].get("metrics", [])
        return next((float(metric["value"]) for metric in metrics if metric["key"] == name), None)

    def _experiment(self, name: str) -> str:
        with self._lock:
            if name not in self._experiments:
                known = self._client.get("/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": name})
                self._experiments[name] = (
                    known.json()["experiment"]["experiment_id"]
                    if known.is_success
                    else self._call("experiments/create", {"name": name})["experiment_id"]
                )
            return self._experiments[name]

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._client.post(f"/api/2.0/mlflow/{path}", json=body).raise_for_status().json()

    def _get(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        return self._client.get(f"/api/2.0/mlflow/{path}", params=parameters).raise_for_status().json()


def _now() -> int:
    return int(time.time() * 1000)
