"""The emulator as a test sees it: start it, ask things of it, stop it."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from credit_default_tests import CHECKOUT

STOP_SECONDS = 30


@dataclass(frozen=True)
class Workspace:
    """A workspace with a storage account, a lake, a default datastore and two clusters."""

    name: str
    account: str
    container: str
    subscription: str
    resource_group: str
    artifacts: str
    instrumentation_key: str
    log_analytics: str
    online_identity: str

    @property
    def settings(self) -> dict[str, str]:
        """The settings of an Azure environment that uses this workspace."""
        return {
            "AZURE_SUBSCRIPTION_ID": self.subscription,
            "AZURE_RESOURCE_GROUP": self.resource_group,
            "AZURE_ML_WORKSPACE": self.name,
            "AZURE_ML_REGISTRY": f"{self.name}-models",
            "AZURE_STORAGE_ACCOUNT": self.account,
            "AZURE_STORAGE_CONTAINER": self.container,
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey={self.instrumentation_key};"
                "IngestionEndpoint=https://westeurope-0.in.applicationinsights.azure.com/"
            ),
            "CREDIT_DEFAULT_COMPUTE": "cpu-cluster",
            "CREDIT_DEFAULT_ONLINE_IDENTITY": self.online_identity,
        }


class Emulator:
    """A running emulator.

    Attributes
    ----------
    environment
        What a process needs so that the Azure SDK in it reaches the emulator and nothing else.
    job_environment
        What a job is given instead: the managed identity of its compute.
    tracking_uri
        The MLflow server itself, for tests that look behind the workspace's ``azureml://`` address.
    """

    def __init__(self, process: subprocess.Popen[bytes], ready: dict[str, Any]) -> None:
        self.environment: dict[str, str] = ready["environment"]
        self.job_environment: dict[str, str] = ready["job_environment"]
        self.tracking_uri: str = ready["tracking"]
        self.process = process
        self._control = httpx.Client(base_url=ready["control"], trust_env=False, timeout=60)

    @classmethod
    @contextlib.contextmanager
    def started(cls, home: Path) -> Iterator["Emulator"]:
        """Start the emulator in a process of its own, and stop it at the end."""
        home.mkdir(parents=True, exist_ok=True)
        log = home / "emulator.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", __package__, "--home", str(home), "--until-stdin-closes"],
                cwd=CHECKOUT,
                env=_own_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert process.stdin
        assert process.stdout
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"The emulator did not start:\n{log.read_text()[-3000:]}")
            emulator = cls(process, json.loads(line))
            try:
                yield emulator
            finally:
                emulator._control.close()
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                    one.kill()
                process.wait()
                raise
            finally:
                process.stdout.close()

    def workspace(self, name: str | None = None, *, with_code: bool = False) -> Workspace:
        """Make a workspace, with or without the code of the others; see `workspaces.create`."""
        return Workspace(**self._ask("workspaces", {"name": name, "with_code": with_code}))

    def environment_in(self, workspace: Workspace) -> dict[str, str]:
        """Return the environment variables of a process that works in a workspace.

        The SDK sets the last one in the process itself; so whoever patches an environment takes it away again, too.
        """
        told = {"CREDIT_DEFAULT_ENV": "development", "AZUREML_CURRENT_CLOUD": "AzureCloud"}
        return {**self.environment, **workspace.settings, **told}

    def fault(
        self,
        method: str,
        path: str,
        *,
        status: int | None = None,
        times: int = 1,
        retry_after: float | None = None,
        drop: bool = False,
        lose: bool = False,
        delay: float | None = None,
        host: str | None = None,
        code: str | None = None,
        signed: bool = False,
    ) -> None:
        """Let the next `times` requests that match fail; see `faults.Fault`."""
        asked = {"method": method, "path": path, "status": status, "times": times, "retry_after": retry_after}
        self._ask(
            "faults", asked | {"drop": drop, "lose": lose, "delay": delay, "host": host, "code": code, "signed": signed}
        )

    def job_fault(
        self,
        name: str,
        *,
        state: str | None = None,
        preempt: int = 0,
        requeue: bool = False,
        kill: int = 0,
        queue_seconds: float = 0,
        hold: bool = False,
    ) -> None:
        """Let jobs whose name matches fare badly; see `faults.JobFault`."""
        asked = {"name": name, "state": state, "preempt": preempt, "requeue": requeue, "kill": kill}
        self._ask("job-faults", asked | {"queue_seconds": queue_seconds, "hold": hold})

    def clear_faults(self) -> None:
        """Forget every fault that is still waiting."""
        self._ask("clear-faults")

    def expire_tokens(self) -> None:
        """Accept none of the tokens that were handed out so far."""
        self._ask("expire-tokens")

    def trust(self, issuer: str, subject: str, key: str) -> None:
        """Let the orchestrator be whoever shows a token of an issuer; see `identity.Trust`."""
        self._ask("trust", {"issuer": issuer, "subject": subject, "key": key})

    def registry(self, name: str, *, keeps_tags: bool = True, signs: bool = True) -> None:
        """Let an Azure ML registry drop the tags of models, or hand out no signatures; see `registries.Registry`."""
        self._ask("registries", {"name": name, "keeps_tags": keeps_tags, "signs": signs})

    def log_analytics(self, workspace: str, *, classic_tables: bool) -> None:
        """Let queries of a workspace's Application Insights know the classic tables, or those of Log Analytics only."""
        self._ask("log-analytics", {"workspace": workspace, "classic_tables": classic_tables})

    def jobs(self, workspace: str | None = None) -> list[dict[str, Any]]:
        """List jobs: name, status, type, parent, compute, and when each PUT of it came."""
        return self._ask("jobs", {"workspace": workspace})

    def journal(self) -> list[dict[str, Any]]:
        """Return every request so far."""
        return self._ask("journal")

    def refused_hosts(self) -> list[str]:
        """Return the hosts that somebody wanted and that are no part of the emulator."""
        return self._ask("refused-hosts")

    def unknown(self) -> list[dict[str, Any]]:
        """Return the routes, api-versions and wire names that were seen and are not known."""
        return self._ask("unknown")

    def forget(self) -> None:
        """Forget what was unknown and refused so far: for a test that asks for it on purpose."""
        self._ask("forget")

    def ingested(self) -> list[dict[str, Any]]:
        """Return the envelopes that Application Insights was sent."""
        return self._ask("ingested")

    def _ask(self, what: str, body: dict[str, Any] | None = None) -> Any:
        return self._control.post(f"/{what}", json=body or {}).raise_for_status().json()


def _own_environment() -> dict[str, str]:
    """Return the environment of the emulator itself: without what points other processes at an emulator."""
    leaves_out = ("AZURE", "CREDIT_DEFAULT_", "MLFLOW_", "DAGSTER_", "COV_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(leaves_out) and not name.upper().endswith("_PROXY")
    }
