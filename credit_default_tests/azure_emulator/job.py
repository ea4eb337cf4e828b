"""A job as Azure ML keeps it: what was asked for, where it is in its life, and how it ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from credit_default_tests.azure_emulator.bindings import substitute
from credit_default_tests.azure_emulator.store import Workspace, now

TERMINAL = ("Completed", "Failed", "Canceled")
#: Where a job keeps what its program prints.
LOG = "user_logs/std_log.txt"
#: Where an output goes that was given no path.
DEFAULT_STORE = "workspaceblobstore"


@dataclass
class JobError(Exception):
    """Why a job failed, in the words of run history.

    Parameters
    ----------
    message
        What a person reads.
    code
        ``UserError`` when the job is to blame, ``ServiceError`` when the platform is.
    inner
        A narrower code.
    """

    message: str
    code: str = "UserError"
    inner: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the error as run history tells it."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.inner:
            error["innerError"] = {"code": self.inner}
        return {"error": error}


@dataclass
class Job:
    """One job, whichever kind it is.

    Attributes
    ----------
    kind
        ``Command``, ``Sweep`` or ``Pipeline``.
    properties
        As they were PUT.
    compute
        The name of its compute.
    parent
        The sweep or the pipeline that it belongs to.
    parameters
        What a sweep chose for this trial.
    puts
        When somebody asked for it under its name, whether that was taken or refused.
    steps
        Every state and when it was entered.
    outputs
        Where each output goes, by its name.
    results
        Properties that came up while it ran, such as a sweep's best child.
    shown
        The state that was told to whoever asked last.
    cancel
        Set by whoever wants it to end.
    ended
        Set once it is in a state that it does not leave.
    """

    workspace: Workspace
    name: str
    kind: str
    properties: dict[str, Any]
    compute: str
    parent: Job | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    created: str = field(default_factory=now)
    puts: list[str] = field(default_factory=list)
    steps: list[tuple[str, str]] = field(default_factory=list)
    error: JobError | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    children: list[Job] = field(default_factory=list)
    shown: str = ""
    mlflow_experiment: str | None = None
    mlflow_run: str | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.enter("NotStarted")
        if self.parent is None:
            self.puts.append(self.created)

    @property
    def status(self) -> str:
        """The state that it is in."""
        return self.steps[-1][0]

    def enter(self, status: str) -> None:
        """Enter a state, unless it is in it, or in one that it does not leave for this one."""
        with self._lock:
            stays = (*TERMINAL, status) if status in TERMINAL else (*TERMINAL, "CancelRequested", status)
            if self.steps and self.status in stays:
                return
            self.steps.append((status, now()))
            if status in TERMINAL:
                self.ended.set()

    def request_cancel(self) -> None:
        """Ask the job and everything below it to end."""
        for job in self.family():
            job.enter("CancelRequested")
            job.cancel.set()

    @property
    def started(self) -> str | None:
        """When it first ran."""
        return next((moment for status, moment in self.steps if status == "Running"), None)

    @property
    def finished(self) -> str | None:
        """When it ended."""
        return self.steps[-1][1] if self.ended.is_set() else None

    @property
    def root(self) -> Job:
        """The job that somebody submitted."""
        return self.parent.root if self.parent else self

    @property
    def experiment(self) -> str:
        """The experiment that its runs belong to."""
        return self.root.properties.get("experimentName") or "Default"

    @property
    def called(self) -> str:
        """The name by which a test means this job."""
        return self.name

    @property
    def logs(self) -> tuple[str, str]:
        """Where its program's standard output goes, and its standard error."""
        return LOG, LOG

    def was_shown(self) -> bool:
        """Whether somebody was told the state that it is in."""
        return self.shown == self.status

    @property
    def artifacts(self) -> str:
        """The folder of its logs in the workspace's artifact store."""
        return f"ExperimentRun/dcid.{self.name}"

    @property
    def studio(self) -> str:
        """The job's page."""
        workspace = self.workspace
        scope = f"/subscriptions/{workspace.subscription}/resourcegroups/{workspace.resource_group}"
        return f"https://ml.azure.com/runs/{self.name}?wsid={scope}/workspaces/{workspace.name}"

    def family(self) -> Iterator[Job]:
        """Yield the job and everything below it."""
        yield self
        for child in list(self.children):
            yield from child.family()

    def place_outputs(self) -> None:
        """Decide where each output goes: where it was asked to, else below the default datastore."""
        for name, wanted in (self.properties.get("outputs") or {}).items():
            address = wanted.get("uri") or f"azureml://datastores/{DEFAULT_STORE}/paths/azureml/{self.name}/{name}/"
            self.outputs[name] = substitute(
                address, {"name": self.name, "output_name": name, "default_datastore": DEFAULT_STORE}
            )

    def resource(self) -> dict[str, Any]:
        """Return the job as Azure Resource Manager shows it."""
        properties = {key: value for key, value in self.properties.items() if value is not None}
        properties["status"] = self.status
        properties["properties"] = {**(self.properties.get("properties") or {}), **self.results}
        properties["services"] = {"Studio": {"endpoint": self.studio, "jobServiceType": "Studio"}}
        properties["outputs"] = {
            name: {**output, "uri": self.outputs[name]} if name in self.outputs else output
            for name, output in (self.properties.get("outputs") or {}).items()
        }
        return self.workspace.resource(f"jobs/{self.name}", properties, created=self.created)


def seconds_of(duration: str | None) -> float | None:
    """Return the seconds of an ISO 8601 duration such as ``PT1H30M``, as the SDK writes its limits."""
    from isodate import parse_duration

    return parse_duration(duration).total_seconds() if duration else None


def span(begin: str | None, end: str | None) -> str | None:
    """Return how long something took, as run history writes it."""
    if begin is None or end is None:
        return None
    took: timedelta = datetime.fromisoformat(end) - datetime.fromisoformat(begin)
    return str(took)
