"""What ``${{inputs.data}}`` in a command stands for, and ``$[[ ... ]]``, which is left out when a value is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping

_BINDING = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)


class UnknownBinding(Exception):
    """A command names an input, output or parameter that the job does not have."""


def names(text: str) -> set[str]:
    """Return everything that a text refers to and cannot do without, such as ``inputs.data``."""
    return set(_BINDING.findall(_OPTIONAL.sub("", text)))


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Put the values in; they are not quoted, as Azure ML does not quote them."""

    def optional(match: re.Match[str]) -> str:
        return match[1] if set(_BINDING.findall(match[1])) <= values.keys() else ""

    def bound(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UnknownBinding(f"${{{{{match[1]}}}}} is not among {', '.join(sorted(values)) or 'nothing'}")
        return values[match[1]]

    return _BINDING.sub(bound, _OPTIONAL.sub(optional, text))


def reference(text: str) -> str | None:
    """Return what a value refers to when it is one binding and nothing else."""
    match = _BINDING.fullmatch(text.strip())
    return match[1] if match else None
