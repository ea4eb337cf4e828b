"""Makes names that come from outside (of files, folders, columns) safe to print, store and send."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

#: Python keeps a byte that is not UTF-8 as one of these characters (PEP 383).
_FIRST_BYTE = 0xDC00
_BYTES = range(_FIRST_BYTE + 0x80, _FIRST_BYTE + 0x100)
#: Characters that Python writes as ``\x85``, which here means a byte.
_LATIN_1 = range(0x80, 0x100)
#: How many characters of a name are shown, and how many names.
_MAX_LENGTH = 80
MAX_NAMES = 20


def printable(name: str) -> str:
    r"""Escape what a terminal, a log or JSON cannot carry as it is, and leave all else alone.

    A byte of a file name that is not UTF-8 becomes ``\xe4``; a control character, an invisible one and one that turns
    the direction of writing become ``\n``, ``\x1b`` or ``\u202e``. No two names become one, since a backslash is
    doubled: escaping twice adds backslashes and loses nothing.
    """
    return name if name.isprintable() and "\\" not in name else "".join(map(_escape, name))


def _escape(character: str) -> str:
    code = ord(character)
    if character.isprintable() and character != "\\":
        return character
    if code in _BYTES:
        return f"\\x{code - _FIRST_BYTE:02x}"
    if code in _LATIN_1:
        return f"\\u{code:04x}"
    return character.encode("unicode_escape").decode()


def shortened(name: str) -> str:
    """Make a name printable and short: that of a column, or of its type, may be a megabyte long."""
    shown = printable(name[: _MAX_LENGTH + 1])
    return shown if len(shown) <= _MAX_LENGTH else f"{shown[:_MAX_LENGTH]}..."


def shortlist(names: Iterable[str], count: int) -> str:
    """List the first names of so many, and say how many more there are."""
    listed = ", ".join(islice(names, MAX_NAMES))
    return f"{listed} and {count - MAX_NAMES:,} more" if count > MAX_NAMES else listed


def without_controls(text: str) -> str:
    r"""Escape what would act on a terminal in a text that may hold names from outside: ``\x1b``, ``\u202e``.

    Unlike `printable`, it leaves line breaks, tabs and backslashes alone: the text is for a person, and not a name.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)
