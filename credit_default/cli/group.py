"""A group of commands whose help is whole and whose errors are a line each."""

from __future__ import annotations

from typing import Any

import click

from credit_default.core.printable import printable, without_controls
from credit_default.core.sentences import sentence
from credit_default.core.system_errors import explain
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
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except CreditDefaultError as error:
            raise _in_a_line(str(error)) from error
        except Exception as error:
            # A disk that is full, and a database that is locked or damaged, whichever library met it.
            explained = explain(error)
            if explained is not None:
                raise _in_a_line(str(explained)) from error
            if isinstance(error, OSError) and error.filename is not None:
                raise _in_a_line(f"{printable(str(error.filename))}: {error.strerror}") from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the whole first sentence of each."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in commands if one is not None])


def _in_a_line(message: str) -> click.ClickException:
    return click.ClickException(sentence(without_controls(message)))
