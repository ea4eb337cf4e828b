"""Prints where rows of a client are kept."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.markup import escape

from credit_default.core.plurals import plural
from credit_default.core.printable import printable
from credit_default.core.sentences import sentence
from credit_default.erasure.erasure import Footprint, Hit
from credit_default.terminal.tables import console


def show_footprint(found: Footprint, client_id: str) -> None:
    """Print the files that hold rows of a client, by place and with what to do, and what was not searched."""
    screen = console()

    def say(text: str) -> None:
        screen.print(text, soft_wrap=True)

    name = escape(printable(client_id))
    free, bound = ([hit for hit in found.hits if bool(hit.place.breaks) is breaks] for breaks in (False, True))
    if not found.hits:
        say(f"No file that was searched holds a row of client {name}.")
    else:
        say(f"{plural(found.rows, 'row')} of client {name} in {plural(len(found.hits), 'file')}. Nothing was changed.")
    if free:
        say("\n[bold]Can be erased[/]")
        for line in _by_place(free):
            say(line)
    if bound:
        say("\n[bold yellow]Cannot be erased without breaking a version[/]")
        for line in _by_place(bound):
            say(line)
    if found.not_searched:
        say("\n[bold]Not searched[/]")
        for key, reason in sorted(found.not_searched.items()):
            say(f"  {escape(key)}: {escape(sentence(reason))}")
    if found.hits:
        say("\nTables that are made again replace others, which are kept in superseded_*: run this again afterwards.")


def _by_place(hits: Iterable[Hit]) -> Iterable[str]:
    for place, files in groupby(hits, key=lambda hit: hit.place):
        breaks = f"; breaks {place.breaks}" if place.breaks else ""
        yield f"{escape(place.key)}/: {place.holds}{breaks}\n  [dim]{place.erase}[/]"
        for hit in files:
            versions = f"  (version {', '.join(hit.versions)})" if hit.versions else ""
            yield f"  {plural(hit.rows, 'row'):>10}  {escape(hit.file)}{versions}"
