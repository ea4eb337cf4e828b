"""What deploy commands print, and the exit code that they end with."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from credit_default.core.plurals import plural
from credit_default.deploy.plans.changes import Change, Report

#: Of a dry run that found something to do, as terraform's ``-detailed-exitcode`` tells it apart; 2 is click's own.
PENDING = 3


def tell(report: Report, *, as_json: bool) -> None:
    """Print a report; a dry run that found something to do ends the process with `PENDING`."""
    if as_json:
        tell_json(report.as_dict())
    else:
        for change in report.changes:
            click.echo(line(change))
        for name, value in report.about.items():
            if value is not None:
                click.echo(f"{name.replace('_', ' ')}: {value}")
        click.echo(conclusion(report))
    if report.pending:
        sys.exit(PENDING)


def tell_json(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(document, indent=2))


def line(change: Change) -> str:
    """Return a change in one line."""
    name = f"{change.name} -> {change.to}" if change.to else change.name
    action = change.action if change.certain else f"{change.action}?"
    return f"{action:<9}  {change.kind:<17}  {name}  ({change.where}): {change.why}"


def conclusion(report: Report) -> str:
    """Return how many changes there are, in a line."""
    pending = [change for change in report.changes if change.pending]
    if not pending:
        return f"{report.environment}: nothing to do."
    count = sum(change.certain for change in pending)
    more = f", and at most {len(pending) - count} more" if count < len(pending) else ""
    changes = plural(count, "change")
    if report.dry_run:
        return f"{report.environment}: {changes} to make{more}; this was a dry run, and nothing was changed."
    return f"{report.environment}: {changes} made{more}."
