"""The ledger of promotions and what persons did, on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from credit_default.core.plurals import plural
from credit_default.core.promotion.ledger import Ledger, LedgerEntry
from credit_default.terminal.tables import cell, console

if TYPE_CHECKING:
    from credit_default.runs.promotion import Champion, Decided, RolledBack

_RUN = len("run 12345678")


def show_history(ledger: Ledger, *, as_json: bool) -> None:
    """Print every entry, newest first, and what is wrong with the ledger; exits with 1 when it cannot be trusted."""
    if as_json:
        for entry in reversed(ledger.entries):
            _print_json(_document(entry, ledger))
    else:
        columns = ("number", "at", "action", "from", "to", "who", "reason")
        rows = (
            (entry.number, _time(entry), entry.action, entry.from_version, entry.to_version, _who(entry), entry.reason)
            for entry in reversed(ledger.entries)
        )
        console().print(_table(columns, rows))
        console().print(plural(len(ledger.entries), "line"))
    _warn(ledger)


def show_champion(champion: Champion, *, as_json: bool) -> None:
    """Print by which entry a version became live; exits with 1 when that cannot be trusted, or is not all."""
    entry = champion.entry
    if as_json:
        _print_json(_document(entry, champion.ledger))
    else:
        console().print(
            f"Version {escape(entry.to_version)}, live since {_time(entry)} UTC: {entry.action} by "
            f"{escape(entry.who)}, {escape(entry.reason)}.",
            soft_wrap=True,
        )
    _warn(champion.ledger)
    if champion.answers is not None:
        _errors().print(
            f"At the endpoint version {champion.answers} answers, which the ledger does not know yet: the next "
            "run of batch_deployment enters it.",
            soft_wrap=True,
        )
        sys.exit(1)


def show_decision(decided: Decided, *, as_json: bool) -> None:
    """Print what was decided about a version, on what grounds it was judged, and what comes next."""
    entry = decided.entry
    if as_json:
        unmet, following = list(decided.unmet), decided.following
        _print_json({**entry.as_dict(), "verdict": decided.verdict, "unmet_criteria": unmet, "next": following})
        return
    screen = console()
    if decided.unmet:
        columns = ("name", "value", "threshold", "explanation")
        rows = ([criterion[name] for name in columns] for criterion in decided.unmet)
        screen.print(_table(("criterion not met", *columns[1:]), rows))
    done = {"approve": "approved", "refuse": "refused"}[entry.action]
    screen.print(
        f"Version {escape(entry.to_version)}, whose verdict is {escape(decided.verdict)}, is {done} by "
        f"{escape(entry.who)}: {escape(entry.reason)}.\n{escape(decided.following)}",
        soft_wrap=True,
    )


def show_rollback(done: RolledBack, *, as_json: bool) -> None:
    """Print what is live after a rollback."""
    if as_json:
        told = asdict(done)
        _print_json({**told, "changed": done.run_id is not None, "next": told.pop("following")})
        return
    screen = console()
    if done.run_id is not None:
        before = f"; before it: version {done.previous_version}" if done.previous_version else ""
        screen.print(f"Version {done.live_version} is live{before}. Run {done.run_id}.", soft_wrap=True)
    if done.following:
        screen.print(done.following, soft_wrap=True)


def _warn(ledger: Ledger) -> None:
    if ledger.torn:
        _errors().print(f"A last line of {len(ledger.torn)} bytes was cut off and is left out.", soft_wrap=True)
    if ledger.problems:
        problems = "; ".join(map(str, ledger.problems))
        told = f"The ledger cannot be trusted from line {ledger.untrusted_from} on: {problems}."
        _errors().print(f"[bold red]{escape(told)}[/]", soft_wrap=True)
        sys.exit(1)


def _errors() -> Console:
    return Console(stderr=True, highlight=False)


def _document(entry: LedgerEntry, ledger: Ledger) -> dict[str, Any]:
    untrusted = ledger.untrusted_from
    return {**entry.as_dict(), "sha256": entry.sha256, "trusted": untrusted is None or entry.number < untrusted}


def _print_json(document: Mapping[str, Any]) -> None:
    console().out(json.dumps(document), highlight=False)


def _table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell(value)) for value in row))
    return table


def _time(entry: LedgerEntry) -> str:
    return entry.at.strftime("%Y-%m-%d %H:%M:%S")


def _who(entry: LedgerEntry) -> str:
    """Return who it was; of a run no more than one needs to find it."""
    return entry.who[:_RUN] if entry.who == f"run {entry.run_id}" else entry.who
