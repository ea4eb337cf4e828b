"""Reads JSON that this project has stored, without trusting its shape: it may be torn, empty or another program's."""

from __future__ import annotations

import json
from typing import Any

from credit_default.errors import DamagedFile


def read_object(content: bytes, where: str, remedy: str, **members: type | tuple[type, ...]) -> dict[str, Any]:
    """Return a JSON object.

    Parameters
    ----------
    where
        What was read, for the message: a path or a key.
    remedy
        What to do when it is damaged.
    members
        Names that the object must have, and the types of their values.

    Raises
    ------
    DamagedFile
        It is empty, cut off, no JSON, nested too deeply, no object, or lacks a member.
    """
    got = _problem(content, members)
    if isinstance(got, str):
        raise DamagedFile(f"{where} is damaged: got {got}, expected what this project writes; {remedy}")
    return got


def _problem(content: bytes, members: dict[str, type | tuple[type, ...]]) -> dict[str, Any] | str:
    """Return the object, or what is there instead."""
    try:
        found = json.loads(content)
    except ValueError:
        return f"{len(content):,} bytes that are no JSON or only a part of it" if content.strip() else "an empty file"
    except RecursionError:
        return "JSON that is nested too deeply"
    if not isinstance(found, dict):
        return f"JSON that is a {type(found).__name__} and no object"
    for name, kinds in members.items():
        if not isinstance(found.get(name), kinds):
            return f"a {type(found[name]).__name__} as {name!r}" if name in found else f"no {name!r}"
    return found
