"""The ledger of promotions: which version was live when, by whom and why, and what persons decided about versions.

One line of JSON an entry, at the end of those before it. Each line holds the sha256 of the line before it (its bytes,
without the line's end; 64 zeros for the first), so a line that is changed, removed, moved or put in between is found
by the next one. What the chain cannot tell by itself: whether the last line is as it was written, whether lines are
missing after it, and whether somebody wrote the whole tail anew with hashes that fit. Each materialisation of
`batch_deployment` says how many lines there were and what the last one's sha256 was; a trace compares the two.

A last line that was cut off is no forgery: it is left out, kept aside by whoever writes next, and the ledger goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from credit_default.core import lake
from credit_default.errors import LedgerError

Action = Literal["promote", "rollback", "found", "approve", "refuse"]
#: Those by which another version answers; ``found`` is one that went live past this ledger.
DEPLOYING = frozenset({"promote", "rollback", "found"})
#: What a person decides about a version; the latest counts.
DECIDING = frozenset({"approve", "refuse"})
#: What the first line holds in place of the sha256 of a line before it.
BEGINNING = "0" * 64


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is to be entered.

    Attributes
    ----------
    who
        A person's login, or the run that did it.
    verdict_sha256
        Of the verdict of ``to_version`` as it is stored at this moment; None when there is none.
    run_id
        The root run that did it; None for what a person decided.
    manifest_sha256
        What the registry says of the manifest of ``to_version`` at this moment; None when it says nothing, or nobody
        asked. A tag that is removed or changed later differs from it.
    """

    action: Action
    to_version: str
    who: str
    reason: str
    verdict_sha256: str | None = None
    run_id: str | None = None
    manifest_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class LedgerEntry(Draft):
    """A line of the ledger.

    Attributes
    ----------
    at
        In UTC, and never before the entry that comes before it.
    from_version
        What was live until then, by this ledger; None when nothing was, and for what a person decided.
    clock_went_back
        Whether the clock said an earlier time than the entry before it, whose time this one repeats.
    previous
        The sha256 of the line before.
    sha256
        That of the line itself, which does not hold it.
    """

    number: int
    at: datetime
    from_version: str | None
    clock_went_back: bool
    previous: str
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, as the line holds it."""
        held = {name: value for name, value in asdict(self).items() if name != "sha256"}
        return {**held, "at": self.at.isoformat(timespec="microseconds")}


@dataclass(frozen=True)
class LedgerProblem:
    """A line, counted from 1, and why it cannot be relied on."""

    line: int
    words: str

    def __str__(self) -> str:
        return f"line {self.line} {self.words}"


@dataclass(frozen=True)
class Ledger:
    """All that can be read of a ledger.

    Attributes
    ----------
    entries
        Every line that is an entry, oldest first, those that cannot be trusted too.
    problems
        Where the chain is broken; empty when it is whole.
    torn
        The bytes of a last line that was cut off; empty when there is none.
    """

    entries: tuple[LedgerEntry, ...] = ()
    problems: tuple[LedgerProblem, ...] = ()
    torn: bytes = b""

    @property
    def untrusted_from(self) -> int | None:
        """The line from which on nothing can be relied on; None when the chain is whole."""
        return min((problem.line for problem in self.problems), default=None)

    @property
    def head(self) -> str:
        """The sha256 of the last line."""
        return self.entries[-1].sha256 if self.entries else BEGINNING

    @property
    def last_deployment(self) -> LedgerEntry | None:
        """The entry by which the version that is live became so; None when nothing ever was."""
        return next((entry for entry in reversed(self.entries) if entry.action in DEPLOYING), None)

    @property
    def live(self) -> str | None:
        """The version that was made live last."""
        return self.last_deployment.to_version if self.last_deployment is not None else None

    def champion_at(self, moment: datetime) -> LedgerEntry | None:
        """Return the entry by which a version became live that still was at a moment; None when nothing was."""
        known = (entry for entry in reversed(self.entries) if entry.action in DEPLOYING and entry.at <= moment)
        return next(known, None)

    def decision_on(self, version: str) -> LedgerEntry | None:
        """Return the latest approval or refusal of a version, or None."""
        decided = (entry for entry in reversed(self.entries) if entry.action in DECIDING)
        return next((entry for entry in decided if entry.to_version == version), None)

    def manifest_of(self, version: str) -> str | None:
        """Return the sha256 of a version's manifest when it went live last, or None when no entry says so."""
        deployed = (entry for entry in reversed(self.entries) if entry.action in DEPLOYING)
        known = (entry.manifest_sha256 for entry in deployed if entry.to_version == version)
        return next(filter(None, known), None)

    def was_live(self, version: str) -> bool:
        """Whether a version was ever made live."""
        return any(entry.action in DEPLOYING and entry.to_version == version for entry in self.entries)


def read(content: bytes) -> Ledger:
    """Read a ledger, whatever state it is in."""
    lines, torn = _split(content)
    entries, problems = [], []
    previous = BEGINNING
    for number, line in enumerate(lines, start=1):
        sha256 = hashlib.sha256(line).hexdigest()
        entry = _entry(_json(line), sha256)
        if entry is None:
            problems.append(LedgerProblem(number, "is no entry of a ledger"))
        else:
            entries.append(entry)
            if entry.previous != previous:
                # A line is vouched for by the next one only, so it is the one before that cannot be relied on.
                problems.append(LedgerProblem(max(number - 1, 1), _broken(number)))
            if entry.number != number:
                problems.append(LedgerProblem(number, f"has the number {entry.number}"))
        previous = sha256
    return Ledger(tuple(entries), tuple(sorted(problems, key=lambda problem: problem.line)), torn)


def append(content: bytes, draft: Draft, now: datetime) -> bytes:
    """Return the ledger with one more entry; a last line that was cut off is left out (:attr:`Ledger.torn`).

    Raises
    ------
    LedgerError
        The chain is broken.
    """
    ledger = must_be_whole(read(content))
    last = ledger.entries[-1] if ledger.entries else None
    went_back = last is not None and now < last.at
    entry = LedgerEntry(
        **asdict(draft),
        number=len(ledger.entries) + 1,
        at=last.at if last is not None and went_back else now.astimezone(UTC),
        from_version=ledger.live if draft.action in DEPLOYING else None,
        clock_went_back=went_back,
        previous=ledger.head,
        sha256="",
    )
    whole = content[: len(content) - len(ledger.torn)]
    return whole + json.dumps(entry.as_dict(), sort_keys=True).encode() + b"\n"


def must_be_whole(ledger: Ledger) -> Ledger:
    """Return the ledger.

    Raises
    ------
    LedgerError
        The chain is broken.
    """
    if ledger.problems:
        raise LedgerError(
            f"The ledger of promotions, {lake.LEDGER}, cannot be relied on from line {ledger.untrusted_from} on: "
            f"{'; '.join(map(str, ledger.problems))}. Nothing is written to it like this, and no version goes live: "
            "find out who changed it, put back a copy that is whole, or move it away to begin a new one"
        )
    return ledger


def _split(content: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole lines, and the last one when it was cut off."""
    *lines, rest = content.split(b"\n")
    if not rest and lines and not isinstance(_json(lines[-1]), dict):
        *lines, cut = lines
        rest = cut + b"\n"
    if _is_more_than_a_line(rest):
        # Two lines that lost the end between them are no line that was cut off.
        return [*lines, rest], b""
    return lines, rest


def _is_more_than_a_line(line: bytes) -> bool:
    text = line.decode(errors="replace").rstrip("\n")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return end < len(text)


def _json(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None


def _entry(told: Any, sha256: str) -> LedgerEntry | None:
    """Return what a line tells as an entry, or None when it is none."""
    if not isinstance(told, Mapping) or not _fits(told):
        return None
    try:
        at = datetime.fromisoformat(told["at"])
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    # Entries of before 2026-12 have none.
    manifest_sha256 = told.get("manifest_sha256")
    return LedgerEntry(
        **{name: told[name] for name in _FIELDS},
        manifest_sha256=manifest_sha256 if isinstance(manifest_sha256, str) else None,
        at=at,
        sha256=sha256,
    )


_TEXT, _TEXT_OR_NONE = (str,), (str, type(None))
_FIELDS: Mapping[str, tuple[type, ...]] = {
    "number": (int,),
    "action": _TEXT,
    "from_version": _TEXT_OR_NONE,
    "to_version": _TEXT,
    "who": _TEXT,
    "reason": _TEXT,
    "verdict_sha256": _TEXT_OR_NONE,
    "run_id": _TEXT_OR_NONE,
    "clock_went_back": (bool,),
    "previous": _TEXT,
}


def _fits(told: Mapping[str, Any]) -> bool:
    typed = all(name in told and type(told[name]) in kinds for name, kinds in _FIELDS.items())
    return typed and isinstance(told.get("at"), str) and told["action"] in get_args(Action)


def _broken(number: int) -> str:
    if number == 1:
        return "does not begin the chain: lines before it are gone"
    return f"is not the one that line {number} follows: it was changed, or lines between the two came or went"
