"""Cancelling jobs that nobody waits for any more, until Azure says that they have ended."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from credit_default.errors import SettingsError
from credit_default.resources.azure.client.retries import RetryPolicy
from credit_default.resources.azure.jobs.history import ENDED
from credit_default.resources.azure.jobs.job import CANCEL_REQUESTED, CANCEL_SECONDS, status_of
from credit_default.resources.dagster_internals import capture_interrupts

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

_MOST_PAUSE_SECONDS = 5.0
_UNAUTHORISED = 401


@dataclass(frozen=True)
class JobCanceller:
    """Cancels jobs."""

    client: MLClient
    patience: RetryPolicy
    log: Any

    @contextmanager
    def when_broken_off(self, name: str) -> Iterator[None]:
        """Cancel a job when what is done with it is broken off, by whatever; the error tells how that went."""
        try:
            yield
        except BaseException as error:
            told = self.cancel(name)
            if told is not None:
                error.add_note(told)
            raise

    @contextmanager
    def when_any_is_broken_off(self, names: Collection[str]) -> Iterator[None]:
        """Cancel the jobs that are among the names by then when what is done with them is broken off, by whatever."""
        try:
            yield
        except BaseException as error:
            with capture_interrupts():
                # All are asked to end before the end of each is waited for.
                for name in names:
                    self._ask_to_end(name)
            for name in list(names):
                told = self.cancel(name)
                if told is not None:
                    error.add_note(told)
            raise

    @contextmanager
    def when_interrupted(self, name: str) -> Iterator[None]:
        """Cancel a job when an interrupt breaks off what is done with it; an error does not."""
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self.cancel(name)
            raise

    def cancel(self, name: str) -> str | None:
        """Cancel a job that may be there, and wait until it has ended.

        A second interrupt does not break this off: the job would run on.

        Returns
        -------
        How that went; None when there is no such job.
        """
        with capture_interrupts():
            told = self._cancel(name)
        if told is not None:
            self.log.warning(told)
        return told

    def _ask_to_end(self, name: str) -> None:
        from azure.core.exceptions import AzureError

        # Whether that came to anything is seen when its end is waited for.
        with suppress(AzureError, SettingsError):
            if status_of(self.client.jobs.get(name)) not in ENDED:
                self.client.jobs.begin_cancel(name)

    def _cancel(self, name: str) -> str | None:
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        deadline = time.monotonic() + CANCEL_SECONDS
        doubt = "it is still being cancelled"
        while time.monotonic() < deadline:
            try:
                # Looked at first: Azure refuses to cancel what has just ended.
                status = status_of(self.client.jobs.get(name))
                if status in ENDED:
                    return f"Job {name} is {status}."
                if status != CANCEL_REQUESTED:
                    self.client.jobs.begin_cancel(name)
                    self.log.warning(f"Cancelling job {name}.")
            except ResourceNotFoundError:
                return None
            except SettingsError as error:
                # Whoever we are to Azure, we no longer are; that passes no sooner than the job that runs this.
                return f"Azure was not asked whether job {name} has ended ({error}); look at it in the studio."
            except AzureError as error:
                doubt = f"{type(error).__name__}, status {getattr(error, 'status_code', None) or 'none'}"
                if getattr(error, "status_code", None) == _UNAUTHORISED:
                    self.patience.credential.forget()
            time.sleep(min(self.patience.pause, _MOST_PAUSE_SECONDS))
        return f"Azure did not confirm that job {name} has ended ({doubt}); look at it in the studio."
