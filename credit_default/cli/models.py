"""The commands below `credit-default models`: what there is, what was live when and why, and what a person may do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from credit_default import settings as settings_of
from credit_default.cli.group import CommandGroup


def _moment(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    """Return a date (its beginning) or a time as ISO 8601 writes it; in UTC unless it says otherwise."""
    if value is None:
        return None
    try:
        told = datetime.fromisoformat(value)
        return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(
            f"{value!r} is no ISO date or time, such as 2026-01-30 or 2026-01-30T12:00+01:00"
        ) from error


def one_line(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Return a reason on one line; it is kept for ever, so it has to say something."""
    if value is None:
        return None
    reason = " ".join(value.split())
    if not reason or not reason.isprintable():
        raise click.BadParameter("is blank or cannot be printed; say in a line of text why")
    return reason


_reason = click.option("--reason", required=True, callback=one_line, help="Why, for whoever reads the history.")
_json = click.option("--json", "as_json", is_flag=True, help="JSON instead of a table.")


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option(
    "--settings",
    "file",
    type=click.Path(path_type=Path),
    help="File of lines NAME=value with the settings of an Azure environment, as `deploy --settings` takes it; by "
    "default this process says which environment is meant.",
)
@_json
@click.pass_context
def models(context: click.Context, file: Path | None, *, as_json: bool) -> None:
    """List the registered versions, their verdicts and which one is live; or look up and change that."""
    if file is not None:
        from credit_default.deploy import settings_file

        context.with_resource(settings_file.entered(settings_file.read(file)))
    if context.invoked_subcommand is None:
        from credit_default.terminal.tables import show_models

        show_models(settings_of.read(), as_json=as_json)
    elif as_json:
        raise click.UsageError(f"--json stands behind the command: models {context.invoked_subcommand} --json")


@models.command()
@_json
def history(*, as_json: bool) -> None:
    """Show the ledger of promotions, newest first; exits with 1 when it was changed by other hands than ours."""
    from credit_default.runs import promotion
    from credit_default.terminal.promotions import show_history
    from credit_default.terminal.tables import say_where

    settings = settings_of.read()
    ledger = promotion.history(settings)
    show_history(ledger, as_json=as_json)
    if not ledger.entries:
        say_where(settings)


@models.command()
@click.option(
    "--at",
    metavar="TIME",
    callback=_moment,
    help="An ISO date (its beginning) or time, in UTC unless it says otherwise; by default now.",
)
@_json
def champion(at: datetime | None, *, as_json: bool) -> None:
    """Show which version was live at a time, since when, by whom and why, as the ledger has it.

    Exits with 1 when the ledger was changed by other hands than ours, or does not know yet what answers now.
    """
    from credit_default.runs import promotion
    from credit_default.terminal.promotions import show_champion

    show_champion(promotion.champion(settings_of.read(), at), as_json=as_json)


@models.command()
@click.argument("version")
@_reason
@_json
def approve(version: str, reason: str, *, as_json: bool) -> None:
    """Let VERSION go live although its verdict is hold; a rejected one cannot be approved. Deploys nothing."""
    from credit_default.runs import promotion
    from credit_default.terminal.promotions import show_decision

    show_decision(promotion.decide(settings_of.read(), "approve", version, reason), as_json=as_json)


@models.command()
@click.argument("version")
@_reason
@_json
def refuse(version: str, reason: str, *, as_json: bool) -> None:
    """Keep VERSION from going live, whatever its verdict is, unless it is live already."""
    from credit_default.runs import promotion
    from credit_default.terminal.promotions import show_decision

    show_decision(promotion.decide(settings_of.read(), "refuse", version, reason), as_json=as_json)


@models.command()
@click.option("--to", metavar="VERSION", help="One that was live before or may go live; by default the one before.")
@_reason
@_json
def rollback(to: str | None, reason: str, *, as_json: bool) -> None:
    """Let an earlier version answer again: the job rollback_model, which trains nothing and takes seconds."""
    from credit_default.runs import promotion
    from credit_default.terminal.promotions import show_rollback

    show_rollback(promotion.roll_back(settings_of.read(), to, reason), as_json=as_json)
