"""The command of a check: refuses, estimates, asks, plays, and writes report and recording."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import click
import pyarrow as pa

from credit_default.cli.group import CommandGroup
from credit_default.core.data import sample
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default.deploy import settings_file
from credit_default.deploy.place import AzureTarget, open_place, told_by_azure
from credit_default.settings import COLLECTION_KEY_VARIABLE, ENDPOINT_NAME, HOME_VARIABLE, ONLINE_ENDPOINT_NAME
from credit_default.telemetry.encryption import new_key
from credit_default_tests.azure_check import check, guard, recording

#: One trial at a time, so that a search takes one machine; a run's steps come one after the other anyway.
_BOUNDED = {
    "CREDIT_DEFAULT_INSTANCE_COUNT": "1",
    "CREDIT_DEFAULT_INSTANCE_COUNT_TRAIN": "1",
    "CREDIT_DEFAULT_ONLINE_INSTANCE_COUNT": "1",
}
#: On the stand-in a job lasts seconds.
_IMPATIENT = {"CREDIT_DEFAULT_POLL_SECONDS": "0.5", "CREDIT_DEFAULT_UNREACHABLE_LIMIT": "30"}
_CLIENTS, _TRAINING = 50, 3_000


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option("--settings", type=click.Path(path_type=Path), help="File with the settings of the environment.")
@click.option("--stand-in", is_flag=True, help="Play it on the stand-in for Azure, as staging, for nothing.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".azure-check"), show_default=True)
@click.option("--yes", is_flag=True, help="Do not ask; on the stand-in nobody is asked.")
def main(*, settings: Path | None, stand_in: bool, folder: Path, yes: bool) -> None:
    """Play the platform once on a workspace that is not in use, hold Azure to what was assumed, remove everything."""
    if stand_in and settings is not None:
        raise click.UsageError("--stand-in makes a workspace of its own, and nobody is asked; leave out --settings")
    into = folder.absolute() / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}"
    with contextlib.ExitStack() as held:
        if stand_in:
            held.enter_context(_stand_in(into / "stand-in"))
        told = settings_file.read(settings) if settings is not None else dict(os.environ)
        held.enter_context(settings_file.entered(bounded(told, into)))
        sys.exit(run(open_place(), into, yes=yes or stand_in))


def bounded(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of a check: a Dagster instance of its own, few machines, and a key for what is online."""
    told = {**environment, **_BOUNDED, HOME_VARIABLE: str(folder / "home")}
    if not told.get(COLLECTION_KEY_VARIABLE, "").strip():
        told[COLLECTION_KEY_VARIABLE] = new_key()  # what it opens is removed with the endpoint
    return told


def run(
    place: AzureTarget,
    folder: Path,
    *,
    yes: bool,
    clients: bytes | None = None,
    minutes: float = guard.MAX_MINUTES,
) -> int:
    """Check a workspace; returns the exit code, 0 when every stage was done and everything is removed.

    Parameters
    ----------
    folder
        Where report and recording are written.
    clients
        The file that lands to be scored; some of the bundled clients by default.
    """
    guard.must_be_allowed(place)
    guard.must_be_unused(place)
    click.echo(guard.estimate(place))
    if not yes:
        click.confirm("Go on?", abort=True)
        guard.must_be_unused(place)  # it may have taken a while to answer
    folder.mkdir(parents=True, exist_ok=True)
    exchange = folder / "exchange.jsonl"
    with patch.dict(os.environ, recording.variables(exchange, secrets.token_bytes(32), names_of(place), os.environ)):
        recorder = recording.recorder_of(os.environ)
        with recording.recorded(recorder):
            session, removed, text = check.play(
                place,
                recorder,
                clients=clients or as_csv(sample.arrivals().slice(0, _CLIENTS), [CLIENT_ID, *FEATURE_NAMES]),
                # Not quite the bundled table: a data asset is named by its content, and the file of this one goes.
                training=as_csv(sample.development_clients().slice(1), [CLIENT_ID, *FEATURE_NAMES, TARGET]),
                say=click.echo,
                minutes=minutes,
            )
    try:
        (folder / "report.md").write_text(text, "utf-8")
        click.echo(f"The report: {folder / 'report.md'}")
        click.echo(f"The exchange, without secrets and rows: {exchange}")
    finally:  # a disk may be full
        for one in removed.failed:
            click.echo(f"NOT REMOVED, it may cost money: {one}", err=True)
    return 1 if removed.failed or session.stopped or any(result.problem for result in session.results) else 0


def names_of(place: AzureTarget) -> dict[str, str]:
    """Return the names of resources, each with what it is called in the report and in the recording.

    The containers keep theirs: many are called alike, and their names say nothing.
    """
    workspace = place.registry.workspace
    with told_by_azure("looking at the workspace"):
        found = workspace.client().workspaces.get(workspace.name)
        default = workspace.client().datastores.get_default()
    named = {
        workspace.name: "workspace-name",
        workspace.resource_group: "resource-group",
        place.registry.registry: "registry-name",
        place.storage.account: "storage-account",
        str(getattr(default, "account_name", "")): "workspace-storage",
    }
    for what in ("storage_account", "key_vault", "application_insights", "container_registry"):
        name = str(getattr(found, what, None) or "").rpartition("/")[2]
        named.setdefault(name, what.replace("_", "-"))
    for kind, name in (("batch", place.endpoint.name), ("online", place.online_endpoint.name)):
        if name not in (ENDPOINT_NAME, ONLINE_ENDPOINT_NAME):
            named[name] = f"{kind}-endpoint"
    # Where programs are on this machine, in traces of errors: it holds the login of who runs this.
    named[str(Path.home())] = "home-folder"
    return {name: instead for name, instead in named.items() if len(name) > 1}


def as_csv(clients: pa.Table, columns: Sequence[str]) -> bytes:
    """Return some columns of a table of clients as a file that lands."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(clients.select(columns).to_pylist())
    return text.getvalue().encode()


@contextlib.contextmanager
def _stand_in(folder: Path) -> Iterator[None]:
    """Let this process be one that works in a new workspace of the stand-in."""
    from credit_default_tests.azure_emulator import Emulator

    with Emulator.started(folder) as emulator:
        told = {**emulator.environment_in(emulator.workspace()), "CREDIT_DEFAULT_ENV": "staging", **_IMPATIENT}
        with patch.dict(os.environ, told):
            yield
