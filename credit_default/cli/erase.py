"""`credit-default erase`: names everything that is kept of a client."""

from __future__ import annotations

import json

import click

from credit_default import settings as settings_of


@click.command()
@click.argument("client_id")
@click.option("--dry-run", is_flag=True, help="Name what there is, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def erase(client_id: str, *, dry_run: bool, as_json: bool) -> None:
    """Name every file that holds rows of CLIENT_ID, and what cannot be erased without breaking a version.

    Searches everything that is kept, which takes a while. Shows names of files and numbers of rows, no values.
    """
    if not dry_run:
        raise click.UsageError(
            "erase changes nothing by itself. Run it with --dry-run: it names every file that holds rows of the client "
            "and what to do about each by hand. Then run it again to see that nothing is left."
        )
    from credit_default.erasure.erasure import find_client
    from credit_default.terminal.erasure import show_footprint

    found = find_client(settings_of.read(), client_id)
    if as_json:
        click.echo(json.dumps({"client_id": client_id, **found.as_dict()}, indent=2))
    else:
        show_footprint(found, client_id)
