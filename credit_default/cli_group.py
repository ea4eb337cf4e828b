"""A group of commands whose help is whole and whose errors are a line each."""

from __future__ import annotations

from typing import Any

import click

from credit_default.core.printable import printable, without_controls
from credit_default.errors import CreditDefaultError

#: Longer than any first sentence: click cuts what does not fit a line, and a terminal can wrap it.
_WHOLE = 1_000


class CommandGroup(click.Group):
    """Reports our own errors, and those of the file system, in a line instead of a traceback."""

    group_class = type  # groups below it are of the same kind

    def invoke(self, ctx: click.Context) -> Any:
        """Invoke the command."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename is None:
                raise
            raise click.ClickException(f"{printable(str(error.filename))}: {error.strerror}.") from error
        except CreditDefaultError as error:
            message = without_controls(str(error))
            raise click.ClickException(message if message.endswith(".") else f"{message}.") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the whole first sentence of each."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in commands if one is not None])
