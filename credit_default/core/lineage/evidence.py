"""What a trace relies on and what it finds, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Verdict = Literal["ok", "altered", "missing", "cannot be checked"]
#: Verdicts that a trace fails for, the worst first.
FAILING: tuple[Verdict, ...] = ("altered", "missing")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at on the way. Holds ids, hashes, paths, row numbers and names, no value of a row."""

    step: str
    what: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Step:
    """A part of the way from a prediction to its source; it words what is found there."""

    name: str

    def ok(self, what: str, detail: str) -> Finding:
        """Say that something is as it was made."""
        return Finding(self.name, what, "ok", detail)

    def altered(self, what: str, detail: str) -> Finding:
        """Say that something is not what it was, or never was."""
        return Finding(self.name, what, "altered", detail)

    def missing(self, what: str, detail: str) -> Finding:
        """Say that something is gone."""
        return Finding(self.name, what, "missing", detail)

    def unchecked(self, what: str, why: str) -> Finding:
        """Say that something cannot be checked, and why that is no sign of an alteration."""
        return Finding(self.name, what, "cannot be checked", why)

    def equal(self, what: str, got: str, expected: str, *, by: str) -> Finding:
        """Hold what was found to what another place says; ``by`` names that place."""
        if got == expected:
            return self.ok(what, f"{got}, by {by} too")
        return self.altered(what, f"got {got}, expected {expected} by {by}")


@dataclass(frozen=True)
class Recorded:
    """A materialisation, as the event log has it."""

    run_id: str
    at: datetime
    data_version: str
    code_version: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class IngestionRecord:
    """Files of these names, sizes and times gave a table of this content.

    It says both, so that it never vouches for a table that another run published: it is about the present one only
    when their data versions are the same.

    Attributes
    ----------
    fingerprint
        Of the files, as they were before they were read (`Storage.fingerprint`).
    """

    fingerprint: str
    data_version: str


@dataclass(frozen=True)
class Run:
    """A run of the graph.

    Attributes
    ----------
    root_run_id
        The first attempt of the same run; a later one goes on with what that had started.
    ended
        None while it goes on.
    """

    run_id: str
    root_run_id: str
    job: str
    status: str
    started: datetime
    ended: datetime | None


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return ``altered``, else ``missing``, else ``ok``: what cannot be checked is no sign of anything."""
    met = {finding.verdict for finding in findings}
    return next((verdict for verdict in FAILING if verdict in met), "ok")


def conclusion(findings: Sequence[Finding]) -> str:
    """Tell in one sentence how a trace ended."""
    told = [
        f"{verdict}: {', '.join(f'{one.step} ({one.what})' for one in found)}"
        for verdict in FAILING
        if (found := [one for one in findings if one.verdict == verdict])
    ]
    left = sum(finding.verdict == "cannot be checked" for finding in findings)
    if told:
        return f"{'; '.join(told).capitalize()}."
    return "Nothing on the way was altered" + (f", as far as it can be checked: {left} of it cannot." if left else ".")
