"""How a step tells what it did: through Dagster Pipes when Dagster started it, on the terminal otherwise."""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dagster_pipes import (
    DAGSTER_PIPES_CONTEXT_ENV_VAR,
    PipesContext,
    PipesDefaultMessageWriter,
    PipesEnvVarParamsLoader,
    PipesMessageWriter,
    open_dagster_pipes,
)

from credit_default.core.system_errors import explained
from credit_default.errors import CreditDefaultError
from credit_default.pipes import azure_messages
from credit_default.pipes.azure_output import AzureOutput
from credit_default.pipes.program import end_of_imports


@dataclass(frozen=True)
class Check:
    """The outcome of one data-quality check."""

    name: str
    passed: bool
    description: str
    severity: Literal["ERROR", "WARN"] = "ERROR"
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Reporter(ABC):
    """What a step may say while it runs."""

    @abstractmethod
    def info(self, message: str) -> None:
        """Say something in the run's log."""

    @abstractmethod
    def warning(self, message: str) -> None:
        """Say in the run's log what somebody should look at."""

    @abstractmethod
    def error(self, message: str) -> None:
        """Say in the run's log what somebody has to look at."""

    @abstractmethod
    def _send(self, body: Mapping[str, Any]) -> None:
        """Hand a result to whoever started the step."""

    def stored(
        self,
        *,
        data_version: str,
        result: Mapping[str, Any],
        files: Mapping[str, str],
        partition: str | None = None,
        checks: Sequence[Check] = (),
    ) -> None:
        """Say that a result is complete below ``--output``.

        Parameters
        ----------
        data_version
            Hash of the content.
        result
            Plain JSON: figures and names, never values of rows.
        files
            What each file or folder is, and its path relative to ``--output``.
        partition
            The day, for daily tables.
        checks
            Outcomes of the data-quality checks of this result.
        """
        self._send(
            {
                "kind": "stored",
                "partition": partition,
                "data_version": data_version,
                "result": dict(result),
                "files": dict(files),
                "checks": [asdict(check) for check in checks],
            }
        )

    def refused(self, partition: str, error: CreditDefaultError) -> None:
        """Say that a day cannot be made, and why. The other days go on."""
        self._send({"kind": "refused", "partition": partition, "error": str(error), "error_type": type(error).__name__})


class PipesReporter(Reporter):
    """Reports to the Dagster run that started this step."""

    def __init__(self, context: PipesContext, store: Callable[[Iterable[str]], None] | None = None) -> None:
        self._context = context
        self._store = store

    def info(self, message: str) -> None:  # noqa: D102 - see Reporter
        self._context.log.info(message)

    def warning(self, message: str) -> None:  # noqa: D102 - see Reporter
        self._context.log.warning(message)

    def error(self, message: str) -> None:  # noqa: D102 - see Reporter
        self._context.log.error(message)

    def refused(self, partition: str, error: CreditDefaultError) -> None:  # noqa: D102 - see Reporter
        self.error(f"{partition}: {error}")
        super().refused(partition, error)

    def stored(self, *, files: Mapping[str, str], **result: Any) -> None:  # noqa: D102 - see Reporter
        if self._store is not None:
            self._store(files.values())
        super().stored(files=files, **result)

    def _send(self, body: Mapping[str, Any]) -> None:
        self._context.report_custom_message(dict(body))


class TerminalReporter(Reporter):
    """Reports to a person: progress on stderr, each result as a line of JSON on stdout."""

    def info(self, message: str) -> None:  # noqa: D102 - see Reporter
        print(message, file=sys.stderr)  # noqa: T201 - the terminal is this reporter's channel

    def warning(self, message: str) -> None:  # noqa: D102 - see Reporter
        self.info(f"Warning: {message}")

    def error(self, message: str) -> None:  # noqa: D102 - see Reporter
        self.info(f"Error: {message}")

    def refused(self, partition: str, error: CreditDefaultError) -> None:  # noqa: D102 - see Reporter
        self.info(f"{partition}: {error}")

    def _send(self, body: Mapping[str, Any]) -> None:
        print(json.dumps(body), flush=True)  # noqa: T201 - the terminal is this reporter's channel


@contextmanager
def reporting(output: Path) -> Iterator[Reporter]:
    """Open the channel to whoever started this step; an error inside is told before the process ends with 1.

    Parameters
    ----------
    output
        Folder that the step writes below.
    """
    end_of_imports()
    if DAGSTER_PIPES_CONTEXT_ENV_VAR in os.environ:
        params = PipesEnvVarParamsLoader().load_messages_params()  # type: ignore[no-untyped-call] # dagster's omission
        on_azure = azure_messages.wanted(params)
        writer: PipesMessageWriter[Any] = (
            azure_messages.AzureMessageWriter() if on_azure else PipesDefaultMessageWriter()
        )
        with open_dagster_pipes(message_writer=writer) as context, explained():
            yield PipesReporter(context, AzureOutput(params, output).store if on_azure else None)
        return
    try:
        with explained():
            yield TerminalReporter()
    except CreditDefaultError as error:
        sys.exit(f"Error: {error}")
