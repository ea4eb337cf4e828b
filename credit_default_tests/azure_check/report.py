"""The report of a check: markdown, for a person and for whoever changes the stand-in afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from credit_default_tests.azure_check.findings import NOT_LOOKED_AT, Finding, Item, Verdict, verdict_of
from credit_default_tests.azure_check.removal import Removed
from credit_default_tests.azure_check.session import Session

_NOTHING = "the stages and probes that would have shown it were not reached"


def write(
    session: Session,
    removed: Removed,
    *,
    items: Sequence[Item],
    why_not: Mapping[str, str],
) -> str:
    """Return the report.

    Parameters
    ----------
    items
        The list of what nobody has verified.
    why_not
        Why an item that a probe looks at was not looked at.
    """

    def cell(text: str) -> str:
        return " ".join(session.scrub(text).split()).replace("|", "\\|")

    minutes = (datetime.now(UTC) - session.began).total_seconds() / 60
    by_key = {item.key: [one for one in session.findings if one.key == item.key] for item in items}
    counts = {verdict: sum(verdict_of(found) is verdict for found in by_key.values()) for verdict in Verdict}
    lines = [
        "# Azure check",
        "",
        f"{session.began:%Y-%m-%d %H:%M} UTC, {session.place.environment}, {minutes:.0f} minutes.",
        "",
        f"Of {len(items)} items, {', '.join(f'{number} {verdict}' for verdict, number in counts.items())}.",
        *(["", f"**Broken off: {session.stopped}**"] if session.stopped else []),
        "",
        "## Stages",
        "",
        "| stage | took | what came of it |",
        "|---|---|---|",
    ]
    for result in session.results:
        told = f"**{cell(result.problem)}**" if result.problem else cell(result.told)
        lines.append(f"| {result.name} | {result.seconds:.0f} s | {told} |")
    lines += ["", "## What nobody had verified", ""]
    for verdict in (Verdict.DIFFERENT, Verdict.SEEN, Verdict.NOT_LOOKED_AT):
        for item in items:
            if verdict_of(by_key[item.key]) is verdict:
                lines += _item(item, by_key[item.key], why_not, cell)
    lines += ["## Removed", "", *(f"- {cell(one)}" for one in removed.removed or ["Nothing: nothing was there."]), ""]
    if removed.failed:
        lines += ["## NOT removed: it may cost money", "", *(f"- {cell(one)}" for one in removed.failed), ""]
    lines += ["## Left", "", *(f"- {cell(one)}" for one in removed.left), ""]
    return "\n".join(lines)


def _item(item: Item, found: Sequence[Finding], why_not: Mapping[str, str], cell: Callable[[str], str]) -> list[str]:
    lines = [f"### {item.key}: {verdict_of(list(found))}", "", f"> {item.text}", ""]
    for one in found:
        detail = f" ({cell(one.detail)})" if one.detail else ""
        seen = (
            f"{cell(one.observed)}, as expected"
            if one.verdict is Verdict.SEEN
            else f"**{cell(one.observed)}**, expected {cell(one.expected)}"
        )
        lines.append(f"- {one.what} {seen}{detail}.")
    if not found:
        why = why_not.get(item.key)
        lines.append(f"- {cell(why) if why else NOT_LOOKED_AT.get(item.key, _NOTHING)}.")
    return [*lines, ""]
