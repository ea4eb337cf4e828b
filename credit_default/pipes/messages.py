"""What a step's Pipes messages mean, however they travelled: every compute reads them through this."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_pipes import PipesContextData, PipesParams

from credit_default.code_version import code_version
from credit_default.core.lake import checked_key
from credit_default.pipes.run_statuses import UNDER_WAY
from credit_default.ports import DayRejected, StepMessage, StepResult

MEMORY_HINT = "the system kills so when memory runs out"
#: How libraries tell that the system killed a process that the step had started.
_KILLED_CHILD = ("SIGKILL", "TerminatedWorkerError", "BrokenProcessPool")


def job_name(
    context: dg.AssetExecutionContext,
    step: str,
    days: Sequence[str] = (),
    *,
    inputs: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
    versions: Sequence[str] = (),
) -> str:
    """Name the job of a step so that every attempt to run the same intent arrives at the same name.

    A retried run and a re-execution from failure share the id of their root run, and so the name. Other inputs,
    other versions of them, other options or other code are another intent: their job must not pass for this one.
    """
    root = context.run.root_run_id or context.run.run_id
    # The run's own id differs from attempt to attempt and changes nothing of what is made.
    settled = {name: value for name, value in (options or {}).items() if name != "run-id"}
    given = [sorted((inputs or {}).items()), sorted(settled.items())]
    intent = json.dumps([root, code_version(), step, *days, *given, *versions])
    digest = hashlib.sha256(intent.encode()).hexdigest()[:8]
    return f"{step.replace('_', '-')}-{run_part(root)}-{digest}"


def run_part(run_id: str) -> str:
    """Return the part of the names of its jobs that stands for the root of a run."""
    return run_id.partition("-")[0]


def runs_under_way(instance: dg.DagsterInstance) -> set[str]:
    """Return the runs that have not ended, each by the part that its jobs' names have in common."""
    runs = instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))
    return {run_part(run.root_run_id or run.run_id) for run in runs}


class StepMessages(dg.PipesMessageReader):
    """Hands on the messages of one job as they are fed to it, and remembers how the step ended.

    Dagster's own file reader empties the file when it opens it, which would lose what a job said before the
    orchestrator crashed; this one reads from the beginning, whenever that was.
    """

    def __init__(self, name: str, channel: PipesParams, locate: Callable[[str], str]) -> None:
        """Read the messages of job ``name``.

        Parameters
        ----------
        channel
            What the step's message writer is told: where to write.
        locate
            Turns a path relative to ``--output`` into what :meth:`Storage.publish` takes.
        """
        self._name = name
        self._channel = channel
        self._locate = locate
        self._handler: dg.PipesMessageHandler | None = None
        self.closed = False
        self.error: str | None = None

    @property
    def expected_writer_count(self) -> int:
        """One process reports: the step."""
        return 1

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """Open the channel; yields where the step writes."""
        self._handler = handler
        yield self._channel

    def no_messages_debug_text(self) -> str:
        """Say where messages were expected."""
        return f"Messages of job {self._name} were expected in {json.dumps(self._channel)}."

    def start_over(self) -> None:
        """Forget how the step ended: its platform started it anew."""
        self.closed = False
        self.error = None

    def feed(self, line: str) -> StepMessage | None:
        """Handle one line; logs go to the run's page, results come back."""
        body = json.loads(line)
        if body["method"] == "closed":
            self.closed = True
            exception = (body.get("params") or {}).get("exception")
            self.error = _told(exception) if exception else None
        assert self._handler is not None
        self._handler.handle_message(body)
        if body["method"] != "report_custom_message":
            return None
        return self._decode(body["params"]["payload"])

    def _decode(self, payload: Mapping[str, Any]) -> StepMessage:
        if payload["kind"] == "refused":
            return DayRejected(payload["partition"], payload["error"], payload["error_type"])
        return StepResult(
            partition=payload["partition"],
            data_version=payload["data_version"],
            result=payload["result"],
            files={what: self._locate(checked_key(path)) for what, path in payload["files"].items()},
            checks=payload["checks"],
            job_name=self._name,
        )


@contextmanager
def open_session(context: dg.AssetExecutionContext, messages: StepMessages) -> Iterator[dict[str, str]]:
    """Open a Pipes session and yield the environment that lets a step join it.

    Dagster's `open_pipes_session` insists that the asset yields its outputs. An asset that records each day by
    itself yields none, so this is the same session without that demand.
    """
    data = PipesContextData(
        asset_keys=None,
        code_version_by_asset_key=None,
        provenance_by_asset_key=None,
        partition_key=None,
        partition_key_range=None,
        partition_time_window=None,
        run_id=context.run.run_id,
        job_name=context.run.job_name,
        retry_number=context.retry_number,
        extras={},
    )
    handler = dg.PipesMessageHandler(context, messages)
    with (
        dg.PipesEnvContextInjector().inject_context(data) as context_parameters,
        handler.handle_messages() as message_parameters,
    ):
        session = dg.PipesSession(
            context_data=data,
            message_handler=handler,
            context_injector_params=context_parameters,
            message_reader_params=message_parameters,
            context=context,
        )
        yield dict(session.get_bootstrap_env_vars())


def _told(exception: Mapping[str, Any]) -> str:
    """Tell an exception in the words of whoever raised it, without the module's path in front."""
    message = str(exception["message"]).strip().removeprefix("credit_default.errors.")
    return f"{message}\n({MEMORY_HINT})" if any(word in message for word in _KILLED_CHILD) else message
