"""Reads environment variables, each by its kind, and collects everything that is wrong with them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import TypeVar

from credit_default.core.days import parse_day

_MAX_DIGITS = 18
_Choice = TypeVar("_Choice", bound=StrEnum)


class VariableReader:
    """Reads the variables of one environment.

    Each method returns a valid value, the default where the variable is unset or blank, and adds what is wrong to
    ``problems``: what was got, what was expected, what the variable is for. So all of it can be reported at once.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self.environ = environ

    def text(self, variable: str, default: str = "") -> str:
        """Return a value as it is, without blanks around it."""
        return self.environ.get(variable, "").strip() or default

    def choice(self, variable: str, default: _Choice) -> _Choice:
        """Return one of the members of the default's enumeration."""
        value = self.text(variable, default.value)
        members = type(default)
        try:
            return members(value)
        except ValueError:
            first, *others = members
            choices = f"{first} or {others[0]}" if len(others) == 1 else f"one of {', '.join(members)}"
            self.problems.append(f"{variable} is {value!r}; set it to {choices}, or unset it for {default.value}")
            return default

    def day(self, variable: str, default: str, purpose: str) -> date:
        """Return a date that is written YYYY-MM-DD."""
        value = self.text(variable, default)
        day = parse_day(value)
        if day is not None:
            return day
        self.refuse(variable, repr(value), f"YYYY-MM-DD, e.g. {default}", purpose)
        return date.fromisoformat(default)

    def matching(
        self, variable: str, pattern: str, expected: str, purpose: str, default: str = "", *, secret: bool = False
    ) -> str:
        """Return a value that has to match a pattern; a secret is never quoted."""
        value = self.text(variable, default)
        if not re.fullmatch(pattern, value):
            got = ("malformed" if secret else repr(value)) if value else "not set"
            self.refuse(variable, got, expected, purpose)
        return value

    def whole_number(self, variable: str, default: int, purpose: str, *, minimum: int, maximum: int) -> int:
        """Return a whole number within bounds, both of them included."""
        value = self.text(variable, str(default))
        # Longer ones are above every bound, and Python refuses to read those of 4,300 digits and more.
        if value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS and minimum <= int(value) <= maximum:
            return int(value)
        self.refuse(variable, repr(value), f"a whole number, {minimum:,} to {maximum:,}", purpose)
        return default

    def share(self, variable: str, default: float, purpose: str, *, minimum: float, maximum: float) -> float:
        """Return a part of one, within bounds, both of them included."""
        value = self.text(variable, str(default))
        number = _number(value)
        if minimum <= number <= maximum:
            return number
        self.refuse(variable, repr(value), f"a share, {minimum:g} to {maximum:g}", purpose)
        return default

    def seconds(self, variable: str, default: float, purpose: str, *, maximum: float) -> float:
        """Return a number of seconds above 0."""
        value = self.text(variable, str(default))
        number = _number(value)
        if 0 < number <= maximum:
            return number
        limit = "a week" if maximum == 7 * 86_400 else f"{maximum:,.0f}"
        self.refuse(variable, repr(value), f"a number of seconds above 0, {limit} at most", purpose)
        return default

    def refuse(self, variable: str, got: str, expected: str, purpose: str) -> None:
        """Add a problem, once however often it is found."""
        problem = f"{variable} is {got}; expected {expected} ({purpose})"
        if problem not in self.problems:
            self.problems.append(problem)


def _number(text: str) -> float:
    """Read a number as programs write one, without what Python alone reads: `1_000`, other digits; NaN for the rest."""
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan
