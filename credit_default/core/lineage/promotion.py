"""Whether a version was live when it scored, by the ledger of promotions, and whether the ledger can be relied on.

The chain of the ledger finds what was changed inside it. Who writes its whole tail anew, or puts a line at its end, is
found by the event log: each materialisation of ``batch_deployment`` says how far the ledger went and what its last line
was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from credit_default.core.lineage.evidence import Finding, Recorded, Run, Step
from credit_default.core.lineage.runs import CLOCKS
from credit_default.core.plurals import plural, verb
from credit_default.core.promotion.ledger import DEPLOYING, Ledger, LedgerEntry

PROMOTION = Step("promotion")
_LINES, _HEAD = "ledger_lines", "ledger_head"


def of_ledger(ledger: Ledger, deployed: Sequence[Recorded], run: Callable[[str], Run | None]) -> Iterator[Finding]:
    """Look at the ledger itself.

    Parameters
    ----------
    deployed
        Every materialisation of ``batch_deployment``, newest first.
    run
        Finds a run of this Dagster instance by its id.
    """
    recorded = [one for one in deployed if one.metadata.get(_LINES)]
    if not ledger.entries and not ledger.problems:
        if recorded:
            lines = int(recorded[0].metadata[_LINES])
            yield PROMOTION.missing(
                "ledger", f"it is gone: {plural(lines, 'line')} {verb(lines, 'was', 'were')} recorded"
            )
        else:
            yield PROMOTION.unchecked("ledger", "there is none yet; the next deployment begins it")
        return
    if ledger.problems:
        yield PROMOTION.altered("ledger", "; ".join(map(str, ledger.problems)))
    else:
        yield PROMOTION.ok("ledger", f"{plural(len(ledger.entries), 'line')}, each holding the hash of the one before")
    yield _held_to_record(ledger, recorded, run)


def of_being_live(
    ledger: Ledger, version: str, *, since: datetime, scored_at: datetime, run: Callable[[str], Run | None]
) -> Finding:
    """Hold the version that scored to what was live from the start of its run until it had scored.

    Parameters
    ----------
    run
        Finds a run of this Dagster instance by its id.
    """
    begin, end = since - CLOCKS, scored_at + CLOCKS
    deploying = [entry for entry in ledger.entries if entry.action in DEPLOYING]
    first = ledger.champion_at(begin)
    live = [*filter(None, [first]), *(entry for entry in deploying if begin < entry.at <= end)]
    found = next((entry for entry in live if entry.to_version == version), None)
    if found is not None:
        return PROMOTION.ok("live", f"version {version} was live, by line {found.number}: {_told(found)}")
    later = next((entry for entry in deploying if entry.at > end), None)
    if later is not None and later.to_version == version and _late(later, end, run):
        return PROMOTION.unchecked("live", f"version {version} was entered after it went live, by line {later.number}")
    if not deploying:
        return PROMOTION.unchecked("live", "the ledger says of no version that it was live")
    told = ", ".join(entry.to_version for entry in live) or "none"
    return PROMOTION.altered("live", f"version {version} was not live when it scored; by the ledger: {told}")


def of_verdict(ledger: Ledger, version: str, stored: bytes | None, *, tags: Mapping[str, str]) -> Finding:
    """Hold the stored verdict of a version to the registry and to the ledger: a version is judged once.

    Parameters
    ----------
    stored
        ``verdicts/<version>.json``; None when it is not there.
    """
    entry = next((one for one in reversed(ledger.entries) if one.to_version == version and one.verdict_sha256), None)
    if stored is None:
        tell = PROMOTION.unchecked if entry is None else PROMOTION.missing
        return tell("verdict", f"none of version {version} is stored" + (", and one was relied on" if entry else ""))
    decision = _decision(stored)
    if decision != tags.get("verdict"):
        return PROMOTION.altered("verdict", f"it says {decision}, and the registry {tags.get('verdict')}")
    if entry is None or hashlib.sha256(stored).hexdigest() == entry.verdict_sha256:
        return PROMOTION.ok("verdict", f"{decision}, as the registry says" + (" and the ledger" if entry else ""))
    return PROMOTION.altered("verdict", f"that of version {version} is not the one that line {entry.number} relied on")


def _decision(stored: bytes) -> str:
    try:
        return str(json.loads(stored)["decision"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "nothing that can be read"


def _held_to_record(ledger: Ledger, recorded: Sequence[Recorded], run: Callable[[str], Run | None]) -> Finding:
    if not recorded:
        return PROMOTION.unchecked("event log", "no deployment was recorded with the state of the ledger")
    for one in recorded:
        lines, head = one.metadata[_LINES], one.metadata.get(_HEAD)
        if len(ledger.entries) < lines or ledger.entries[lines - 1].sha256 != head:
            return PROMOTION.altered("event log", f"line {lines} is not the one that run {one.run_id} recorded")
    newest = max(one.metadata[_LINES] for one in recorded)
    for entry in ledger.entries[newest:]:
        if entry.action in DEPLOYING:
            return _not_recorded(entry, run)
    return PROMOTION.ok(
        "event log", f"as {plural(len(recorded), 'deployment')} recorded it, line {newest} the last of them"
    )


def _not_recorded(entry: LedgerEntry, run: Callable[[str], Run | None]) -> Finding:
    """Tell a line of a run that was stopped before it could record anything from one that nobody's run has written."""
    made_by = run(entry.run_id) if entry.run_id else None
    if made_by is None or made_by.status == "SUCCESS":
        return PROMOTION.altered(
            "event log", f"line {entry.number} ({_told(entry)}) belongs to no deployment that was recorded"
        )
    return PROMOTION.unchecked("event log", f"line {entry.number}: run {made_by.run_id} has not recorded it")


def _late(entry: LedgerEntry, moment: datetime, run: Callable[[str], Run | None]) -> bool:
    """Whether an entry is about something that may have gone live by a moment before it.

    Nobody knows the time of what was found live; and a run may be killed once the endpoint answers with the version,
    and enter that in another attempt.
    """
    made_by = run(entry.run_id) if entry.run_id else None
    return entry.action == "found" or (made_by is not None and made_by.started <= moment)


def _told(entry: LedgerEntry) -> str:
    return f"{entry.action} of version {entry.to_version} at {entry.at:%Y-%m-%d %H:%M:%S} UTC"
