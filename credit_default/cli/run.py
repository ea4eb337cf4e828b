"""The command `credit-default run`: one job, to its end."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from credit_default import settings as settings_of
from credit_default.core.days import parse_day
from credit_default.core.sentences import sentence
from credit_default.errors import SettingsError
from credit_default.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

Span = tuple[str, str]


class _Day(click.ParamType[date]):
    """A day as the folders have it."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        day = parse_day(value)
        if day is None:
            self.fail(f"{value!r} is no day; expected YYYY-MM-DD.", param, ctx)
        return day


class _JobCommand(click.Command):
    """A command whose help lists the jobs; loading them takes a moment, which other commands are spared."""

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        from credit_default.defs.automation.jobs import JOBS

        with formatter.section("Jobs"):
            formatter.write_dl([(job.name, job.description or "") for job in JOBS])


@click.command(cls=_JobCommand)
@click.argument("job")
@click.option(
    "--config", "file", metavar="FILE", type=click.Path(path_type=Path), help="Run configuration, as YAML or JSON."
)
@click.option("--day", metavar="D", type=_Day(), help="Day to work on (YYYY-MM-DD), for daily jobs.")
@click.option("--from", "first", metavar="D", type=_Day(), help="First of several days.")
@click.option("--to", "last", metavar="D", type=_Day(), help="Last of them.")
@click.option(
    "--settings",
    "settings_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File of lines NAME=value with the settings of an Azure environment, as `deploy --settings` takes it; by "
    "default this process says which environment is meant.",
)
@click.pass_context
def run(  # noqa: PLR0917 - one for each option
    context: click.Context,
    job: str,
    file: Path | None,
    day: date | None,
    first: date | None,
    last: date | None,
    settings_file: Path | None,
) -> None:
    """Run JOB to its end, as a Dagster run of the environment, and say what it does.

    Ctrl-C and SIGTERM cancel the run, with what it has started on Azure, and wait for that.

    Exit codes: 0 when the run succeeded, 1 when it failed, 2 for wrong usage.
    """
    if settings_file is not None:
        from credit_default.deploy import settings_file as files

        context.with_resource(files.entered(files.read(settings_file)))
    settings = settings_of.read()
    definition = _job(job)
    span = _span(settings, definition, day, first, last)
    config = _config(definition, file)

    from credit_default.runs.instance import enter
    from credit_default.runs.launching import launch
    from credit_default.terminal.run_progress import RunProgress

    enter(settings)
    started = time.monotonic()
    try:
        run_id = launch(job, settings.home / "run.log", config=config, days=span, watch=RunProgress(click.echo).follow)
    except SystemExit:
        click.echo(f"{job} was cancelled.", err=True)
        raise
    click.echo(f"{job} succeeded in {time.monotonic() - started:.0f} s: run {run_id} of {settings.home}.")


def _job(name: str) -> dg.JobDefinition:
    from credit_default.defs.automation.jobs import JOBS
    from credit_default.runs.run_job import job_named

    names = [job.name for job in JOBS]
    if name not in names:
        raise click.BadParameter(f"{name!r} is no job; expected one of {', '.join(names)}.", param_hint="JOB")
    return job_named(name)


def _span(
    settings: Settings, job: dg.JobDefinition, day: date | None, first: date | None, last: date | None
) -> Span | None:
    """Return the days to work on, which only daily jobs have."""
    if day is not None and (first is not None or last is not None):
        raise click.UsageError("--day is one day, and --from and --to are several; give one or the others.")
    if (first is None) != (last is None):
        raise click.UsageError("--from and --to go together: the first day and the last one.")
    begin = day or first
    if job.partitions_def is None:
        if begin is not None:
            raise click.UsageError(f"{job.name} does not work on days; leave out --day, --from and --to.")
        return None
    if begin is None:
        raise click.UsageError(f"{job.name} works on days; give --day, or --from and --to.")
    today = datetime.now(UTC).date()
    end = day or last or begin
    for one in (begin, end):
        if not settings.start <= one <= today:
            raise click.UsageError(
                f"{one} is out of range; expected a day from {settings.start} to today, {today} (UTC)."
            )
    if begin > end:
        raise click.UsageError(f"--from is {begin}, after --to, {end}; expected the earlier day first.")
    return begin.isoformat(), end.isoformat()


def _config(job: dg.JobDefinition, file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    from credit_default.runs.run_config import check_config, read_config

    try:
        config = read_config(file)
        check_config(job, config)
    except SettingsError as error:
        raise click.BadParameter(sentence(str(error)), param_hint="--config") from error
    return config
