"""The commands below `credit-default deploy`: what an Azure environment needs, made once and found again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from credit_default.cli.group import CommandGroup
from credit_default.cli.models import one_line

if TYPE_CHECKING:
    from credit_default.deploy.place import AzureTarget

_Command = TypeVar("_Command", bound=Callable[..., Any])

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
_dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Print what the command would change and change nothing: exit code 0 when that is nothing, 3 otherwise.",
)


def _reports(command: _Command) -> _Command:
    """Give a command the options of all that change something."""
    return _dry_run(_json(command))


@contextmanager
def _place(files: tuple[Path, ...]) -> Iterator[AzureTarget]:
    """Open the environment that the one file of settings names, or this process."""
    from credit_default.deploy import settings_file
    from credit_default.deploy.place import open_place

    if len(files) > 1:
        raise click.UsageError("--settings is there more than once, which only `deploy status` takes")
    if not files:
        yield open_place()
        return
    with settings_file.entered(settings_file.read(files[0])):
        yield open_place()


@click.group(cls=CommandGroup)
@click.option(
    "--settings",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File of lines NAME=value with the settings of an environment, CREDIT_DEFAULT_ENV among them, instead of the "
    "environment variables of this process; secrets and who we are still come from those. Repeated for `status`.",
)
@click.pass_context
def deploy(context: click.Context, files: tuple[Path, ...]) -> None:
    """Make what an Azure environment needs, and bring versions of the model through the environments.

    Each command finds what is there and makes what is missing, so that a second call has nothing to do. What --dry-run
    prints is what the same command does without it.

    Exit codes: 0 when it is done or there was nothing to do, 1 when it failed, 2 for wrong usage, 3 when a dry run
    found something to do.
    """
    context.obj = files


@deploy.command()
@click.option("--registry", "in_registry", is_flag=True, help="In the shared registry instead of the workspace.")
@_reports
@click.pass_obj
def environments(files: tuple[Path, ...], *, in_registry: bool, dry_run: bool, as_json: bool) -> None:
    """Register the environments of jobs and of deployments, as the project's lock has them.

    The version of an environment is a hash of what its image is built from, so it is made once for each content.
    """
    with _place(files) as place:
        from credit_default.deploy.environments import deploy as deploy_environments
        from credit_default.deploy.output import tell

        tell(deploy_environments(place, in_registry=in_registry, dry_run=dry_run), as_json=as_json)


@deploy.command("data-assets")
@click.option(
    "--days",
    default=31,
    show_default=True,
    type=click.IntRange(0),
    help="How many of the newest days of inference data are looked at.",
)
@_reports
@click.pass_obj
def data_assets(files: tuple[Path, ...], *, days: int, dry_run: bool, as_json: bool) -> None:
    """Register curated data and days of inference data as data assets, where their content is new.

    It registers the tables that the lake holds; runs of the jobs that make them do the same by themselves.
    """
    with _place(files) as place:
        from credit_default.deploy.data_assets import deploy as deploy_data_assets
        from credit_default.deploy.output import tell

        tell(deploy_data_assets(place, days=days, dry_run=dry_run), as_json=as_json)


@deploy.command()
@_reports
@click.pass_obj
def endpoint(files: tuple[Path, ...], *, dry_run: bool, as_json: bool) -> None:
    """Make the batch endpoint, without any deployment, unless it is there."""
    with _place(files) as place:
        from credit_default.deploy.endpoints import deploy_endpoint
        from credit_default.deploy.output import tell

        tell(deploy_endpoint(place, dry_run=dry_run), as_json=as_json)


@deploy.command()
@click.option("--trials", type=click.IntRange(1, 500), help="Size of the model search; 8 by default.")
@_reports
@click.pass_obj
def train(files: tuple[Path, ...], trials: int | None, *, dry_run: bool, as_json: bool) -> None:
    """Train a new version of the model: the job train_model, waited for. It deploys nothing.

    The one command here that makes something new each time: a version with a verdict, beside the one that is live if
    there is one. A training on the same data by the same code is held, since it gains nothing.
    """
    with _place(files) as place:
        from credit_default.deploy.output import tell
        from credit_default.deploy.training import train as train_model

        tell(train_model(place, trials=trials, dry_run=dry_run), as_json=as_json)


@deploy.command()
@click.option("--version", metavar="V", help="Version to deploy; by default the newest, if its verdict allows it.")
@click.option("--reason", callback=one_line, help="Why, for the ledger of promotions.")
@_reports
@click.pass_obj
def deployment(
    files: tuple[Path, ...], version: str | None, reason: str | None, *, dry_run: bool, as_json: bool
) -> None:
    """Let a version answer at the batch endpoint: the job deploy_model, waited for.

    The version is put beside the one that answers, must score its golden rows as in training, and becomes the default
    and a line in the ledger of promotions. One that may not go live is refused when it is named; when the newest may
    not, everything stays as it is. The run is recorded in the Dagster instance of CREDIT_DEFAULT_HOME.
    """
    with _place(files) as place:
        from credit_default.deploy.endpoints import deploy_version
        from credit_default.deploy.output import tell

        tell(deploy_version(place, version, reason, dry_run=dry_run), as_json=as_json)


@deploy.command()
@_reports
@click.pass_obj
def online(files: tuple[Path, ...], *, dry_run: bool, as_json: bool) -> None:
    """Let the version that is live at the batch endpoint answer online, too: the job deploy_online, waited for.

    An online deployment costs money while it stands.
    """
    with _place(files) as place:
        from credit_default.deploy.endpoints import deploy_online
        from credit_default.deploy.output import tell

        tell(deploy_online(place, dry_run=dry_run), as_json=as_json)


@deploy.group()
def model() -> None:
    """Bring a version of the model from staging to production, through the shared registry."""


@model.command()
@click.option("--version", metavar="V", help="Version to share; by default the newest, if it may go live.")
@_reports
@click.pass_obj
def share(files: tuple[Path, ...], version: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Copy a version of the staging workspace to the shared registry, with its tags.

    Only a version that may go live: its verdict is promote, or hold and a person approved it (`models approve`), and
    nobody refused it.
    """
    with _place(files) as place:
        from credit_default.deploy.models import share as share_version
        from credit_default.deploy.output import tell

        tell(share_version(place, version, dry_run=dry_run), as_json=as_json)


@model.command()
@click.argument("version")
@click.option(
    "--approve",
    "approval",
    metavar="REASON",
    callback=one_line,
    help="Approve a version whose verdict is hold, which is entered into the ledger of production with this reason.",
)
@_reports
@click.pass_obj
def promote(files: tuple[Path, ...], version: str, approval: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Register VERSION of the shared registry in the production workspace. It does not answer before `deployment`.

    Each of its files is held to its sha256. A version whose verdict is not promote is refused, unless a person
    approves one that was held. It gets a number of its own here, which the command prints.
    """
    with _place(files) as place:
        from credit_default.deploy.models import promote as promote_version
        from credit_default.deploy.output import tell

        tell(promote_version(place, version, approval, dry_run=dry_run), as_json=as_json)


@deploy.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]))
@click.option(
    "--verify",
    is_flag=True,
    help="Read the predictions back, and fail unless there is one for each client taken in, made by the live version.",
)
@_reports
@click.pass_obj
def invoke(files: tuple[Path, ...], day: datetime, *, verify: bool, dry_run: bool, as_json: bool) -> None:
    """Score DAY (YYYY-MM-DD) by the batch endpoint: the job score_batch, waited for, unless that was done.

    Prints where the predictions are, how many, their mean probability of default, and which model made them.
    """
    with _place(files) as place:
        from credit_default.deploy.invocation import invoke as invoke_endpoint
        from credit_default.deploy.output import tell

        tell(invoke_endpoint(place, day.date(), verify=verify, dry_run=dry_run), as_json=as_json)


@deploy.command()
@_json
@click.pass_obj
def status(files: tuple[Path, ...], *, as_json: bool) -> None:
    """Show what is where: versions, environments, endpoints and data of development, staging and production.

    The settings of each are those of a file (--settings, before `status`), or of this process. All are looked at as
    whoever runs this. Exits with 1 when one that has settings cannot be looked at; the others are shown.
    """
    from credit_default.deploy.output import tell_json
    from credit_default.deploy.status import failed
    from credit_default.deploy.status import status as look

    told = look(files)
    if as_json:
        tell_json(told)
    else:
        from credit_default.deploy.status_table import status_table
        from credit_default.terminal.tables import console

        console().print(status_table(told))
    sys.exit(1 if failed(told) else 0)
