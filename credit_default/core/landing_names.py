"""Tells by their names which files in a landing folder are data; imports nothing, so that sensors may ask."""

from __future__ import annotations

#: What file managers and transfer tools leave beside data: views of folders, "done" markers, checksums.
_COMPANIONS = frozenset({"desktop.ini", "thumbs.db"})
_COMPANION_SUFFIXES = (".done", ".md5", ".crc")


def is_hidden(name: str) -> bool:
    """Whether a name begins with ``.`` or ``_``: tools call their markers and unfinished uploads so."""
    return name.startswith((".", "_"))


def is_companion(name: str) -> bool:
    """Whether a file describes others and is no data itself."""
    lowered = name.lower()
    return lowered in _COMPANIONS or lowered.endswith(_COMPANION_SUFFIXES)


def is_data(name: str) -> bool:
    """Whether a file has to be read: everything counts that is neither hidden nor a companion."""
    return not is_hidden(name) and not is_companion(name)
