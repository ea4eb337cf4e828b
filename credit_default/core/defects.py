"""Describes exceptions that nobody planned for: their kind, their place and their column, never their text.

The text of an exception of a library may quote a cell.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import credit_default
from credit_default.errors import UnexpectedError

_PACKAGE = Path(credit_default.__file__).parent
_COLUMN = "credit_default_column"


@contextmanager
def concerning(column: str) -> Iterator[None]:
    """Let an exception inside know which column it is about."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, _COLUMN):
            with suppress(AttributeError):
                setattr(error, _COLUMN, column)
        raise


def as_unexpected(error: Exception) -> UnexpectedError:
    """Return an error of ours that says of another one what may be shown, and what to do about it."""
    column = getattr(error, _COLUMN, None)
    about = f", column {column}" if column else ""
    return UnexpectedError(f"ended in {_kind(error)} at {_place(error)}{about}; {_advice(error)}.")


def _kind(error: Exception) -> str:
    name = type(error).__name__.lstrip("_")
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        # The system's own words for the number: those of the exception hold a path.
        return f"{name} ({errno.errorcode[error.errno]}: {os.strerror(error.errno)})"
    return name


def _place(error: Exception) -> str:
    """Name the innermost line of ours that the exception passed, and the library that raised it."""
    ours, innermost = "no line of this program", ""
    trace = error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(_PACKAGE):
            ours = f"{file.relative_to(_PACKAGE.parent).as_posix()}, line {trace.tb_lineno}"
            innermost = ""
        else:
            innermost = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        trace = trace.tb_next
    return f"{ours} (raised in {innermost})" if innermost else ours


def _advice(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "the process may not use more memory: deliver the day in smaller files, or run it where there is more"
    if isinstance(error, OSError) and error.errno is not None:
        return "look at the disk and at the permissions of its folders, and run the day again"
    return "a defect of this program: please report these words with the shape of the day's files"
