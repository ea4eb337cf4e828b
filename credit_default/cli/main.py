"""The `credit-default` command. Thin: each sub-command calls what does the work."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from credit_default import __version__
from credit_default import settings as settings_of
from credit_default.cli.deploy import deploy
from credit_default.cli.erase import erase
from credit_default.cli.group import CommandGroup
from credit_default.cli.models import models
from credit_default.cli.run import run
from credit_default.core.plurals import plural, verb
from credit_default.core.printable import without_controls
from credit_default.core.sentences import sentence
from credit_default.core.system_errors import explained
from credit_default.errors import CreditDefaultError, NoSuchPrediction
from credit_default.settings import permissions
from credit_default.settings.home import checkout

#: Exit status of `trace` when nothing can be said: neither that all is well nor that something was altered.
_CANNOT_BE_EXAMINED = 3


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def main() -> None:
    """Train, register, deploy, score with and watch a model of credit-card default."""
    permissions.restrict_umask()


main.add_command(deploy)
main.add_command(models)
main.add_command(erase)
main.add_command(run)


@main.command()
@click.option("--trials", default=8, show_default=True, type=click.IntRange(1), help="Size of the model search.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 365), help="Days of sample arrivals.")
@click.option("--rows", type=click.IntRange(30), help="Sample rows in all; every arrival by default.")
def demo(trials: int, days: int, rows: int | None) -> None:
    """Play the whole life of a model on real data: a few minutes, through real Dagster runs."""
    settings = settings_of.read()
    settings_of.must_be_for_trying_out(settings, "The demo lets made-up days arrive and trains a model of its own")
    from credit_default.demo.story import play

    sys.exit(play(settings, trials=trials, days=days, rows=rows))


@main.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--port", default=3000, show_default=True, type=click.IntRange(1, 65_535), help="Port of the UI, on 127.0.0.1."
)
@click.argument("more", nargs=-1, type=click.UNPROCESSED)
def dev(port: int, more: tuple[str, ...]) -> None:
    """Open the UI with daemon, schedules and sensors (`dg dev`); further arguments go to it."""
    from credit_default.cli import dev_server
    from credit_default.runs.instance import enter

    dev_server.must_be_free(port)
    enter()
    # `dg` knows the definitions by the folder that it is called in. A wheel has no such folder.
    project = checkout()
    server = ["dg", "dev"] if project else ["dagster", "dev", "-m", "credit_default.definitions"]
    program = str(Path(sys.executable).with_name(server[0]))
    # No authentication in Dagster: it must not be reachable from other machines.
    where = ["--host", "127.0.0.1", "--port", str(port)]
    sys.exit(dev_server.run([program, *server[1:], *where, *more], folder=project))


@main.command("sample-data")
@click.option("--landing", type=click.Path(path_type=Path), help="Landing folder; the lake's by default.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day; yesterday (UTC) by default.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1), help="How many days.")
@click.option("--shift-from-day", default=19, show_default=True, help="Day from which amounts come in NT$ (x 20).")
def sample_data(landing: Path | None, until: datetime | None, days: int, shift_from_day: int) -> None:
    """Write real clients as daily files to score, and outcomes for the days before a made-up shift.

    The rows are real (UCI); the days and the change of units are made up.
    """
    from credit_default.core.data.sample import write_sample

    if landing is None:
        settings = settings_of.read()
        settings_of.must_be_local(settings, "Without --landing, sample data goes to the lake on this machine")
        settings_of.make_home(settings)
        landing = settings.landing
    with permissions.original_umask():
        made = write_sample(landing, until=_day(until), days=days, shift_from_day=shift_from_day)
    click.echo(
        f"{plural(made.rows, 'client')} over {plural(len(made.days), 'day')}, {made.days[0]} to {made.days[-1]}, in "
        f"{landing}; {plural(made.outcomes, 'outcome')}; amounts in NT$ on {plural(len(made.shifted_days), 'day')}"
        + (f" from {made.shifted_days[0]}" if made.shifted_days else "")
        + f". {plural(len(made.written), 'file')} written, {len(made.unchanged)} unchanged."
    )


def _day(moment: datetime | None) -> date:
    return moment.date() if moment else (datetime.now(UTC) - timedelta(days=1)).date()


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def score(file: Path, out: Path) -> None:
    """Score FILE with the live model and write the predictions to OUT.

    FILE is CSV or Parquet in the curated schema. OUT is CSV when its name ends with .csv, Parquet when with .parquet.
    """
    from credit_default.cli.score_file import score_one_file
    from credit_default.core.files.companions import DATA_SUFFIXES

    if out.suffix.lower() not in DATA_SUFFIXES:
        raise click.BadParameter(f"{str(out)!r} has to end with {' or '.join(DATA_SUFFIXES)}.", param_hint="OUT")
    if out.is_dir() or (out.exists() and file.exists() and out.samefile(file)):
        what = "a folder" if out.is_dir() else "FILE itself"
        raise click.BadParameter(f"{str(out)!r} is {what}; name another file.", param_hint="OUT")
    done = score_one_file(settings_of.read(), file, out)
    click.echo(
        f"{done.accepted:,} of {plural(done.rows, 'row')} scored by version {done.model_version} in "
        f"{done.seconds:.1f} s: mean PD {done.mean_pd:.4f}. Written to {out}."
    )
    if done.rejected:
        were = verb(done.rejected, "was", "were")
        click.echo(f"{plural(done.rejected, 'row')} {were} rejected, with reasons in {done.quarantine}.", err=True)


@main.command()
@click.option("--port", default=5001, show_default=True, type=click.IntRange(0, 65_535), help="Port on 127.0.0.1.")
def serve(port: int) -> None:
    """Serve the live model on this machine: POST a JSON array of clients to /score."""
    from credit_default.cli.dev_server import must_be_free
    from credit_default.cli.serving import serve as serve_live

    must_be_free(port)
    serve_live(settings_of.read(), port)


@main.command("collection-key")
def collection_key() -> None:
    """Print a new private key for CREDIT_DEFAULT_COLLECTION_KEY: it opens what online requests held."""
    from credit_default.telemetry.encryption import new_key

    click.echo(new_key())


@main.command()
@click.argument("prediction_id")
@click.option("--values", is_flag=True, help="Show what the row that was scored holds, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def trace(prediction_id: str, *, values: bool, as_json: bool) -> None:
    """Follow a prediction back to its source, and say whether anything on the way was altered.

    Exits with 0 when all is well, with 1 when something was altered or is missing, with 2 when there is no such
    prediction, and with 3 when it cannot be examined: a file or database that is needed for that cannot be used.
    """
    from credit_default import tracing
    from credit_default.terminal.tables import show_trace

    settings = settings_of.read()
    try:
        with explained():
            found = tracing.trace(settings, prediction_id)
    except NoSuchPrediction as error:
        raise click.BadParameter(sentence(str(error)), param_hint="PREDICTION_ID") from error
    except (CreditDefaultError, OSError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        click.echo(f"Error: the prediction cannot be examined. {sentence(without_controls(reason))}", err=True)
        sys.exit(_CANNOT_BE_EXAMINED)
    show_trace(found, values=values, as_json=as_json)
    sys.exit(0 if found.verdict == "ok" else 1)


@main.command()
@click.argument("kql")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a row instead of a table.")
def query(kql: str, *, as_json: bool) -> None:
    """Run KQL over telemetry: in Azure Monitor, or here as it would; `-` reads the query from standard input."""
    from credit_default.terminal.tables import say_where, show_rows

    text = sys.stdin.read() if kql == "-" else kql
    settings = settings_of.read()
    if settings.environment is settings_of.Environment.LOCAL:
        from credit_default.telemetry.kql.kql import run
        from credit_default.telemetry.kql.limits import limited_process

        with limited_process():
            found = run(text, settings.telemetry / "traces.jsonl")
    else:
        import pyarrow as pa

        from credit_default.resources import resources_for

        found = pa.Table.from_pylist(resources_for(settings)["telemetry"].query(text))
    show_rows(found, as_json=as_json)
    if not found.num_rows:
        say_where(settings)


if __name__ == "__main__":
    main()
