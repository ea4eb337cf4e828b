"""One check: the workspace that it works on, what has been done so far, and what has been seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from credit_default.deploy.place import AzureTarget
from credit_default.deploy.plans.changes import Action, Change, Report
from credit_default_tests.azure_check.asking import Azure
from credit_default_tests.azure_check.findings import Finding


@dataclass(frozen=True)
class Result:
    """How a stage or a probe went.

    Attributes
    ----------
    problem
        Why it failed, or was not tried; empty when it was done.
    """

    name: str
    told: str = ""
    problem: str = ""
    seconds: float = 0.0


@dataclass
class Session:
    """Everything that the parts of a check hand on to each other.

    Attributes
    ----------
    scrub
        Removes secrets and identities from a text.
    clients, training
        The files that land, as CSV.
    facts
        What stages found and later ones go on with: versions, names of jobs, addresses.
    made
        What the platform's commands said that they made.
    stopped
        When and by what the check was broken off; empty when it was not.
    """

    place: AzureTarget
    azure: Azure
    say: Callable[[str], None]
    scrub: Callable[[str], str]
    clients: bytes
    training: bytes
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    facts: dict[str, Any] = field(default_factory=dict)
    made: list[Change] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    stopped: str = ""

    @property
    def day(self) -> date:
        """The day that is scored."""
        return self.began.date()

    def note(self, report: Report) -> Report:
        """Remember what a command of the platform made."""
        self.made += [change for change in report.changes if change.action is Action.CREATE]
        return report

    def find(self, key: str, what: str, *, expected: str, observed: str, detail: str = "") -> None:
        """Remember what was seen of an item of the list."""
        self.findings.append(Finding(key, what, expected, observed, detail))

    def done(self, *names: str) -> bool:
        """Whether all these stages were done."""
        done = {result.name for result in self.results if not result.problem}
        return done.issuperset(names)

    def wait(self, what: str, seconds: float, found: Callable[[], Any]) -> Any:
        """Ask until there is an answer that counts.

        Raises
        ------
        TimeoutError
            There is none in time.
        """
        deadline = time.monotonic() + seconds
        while not (answer := found()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} within {seconds:g} s: not seen")
            time.sleep(self.place.endpoint.compute.poll_seconds)
        return answer
