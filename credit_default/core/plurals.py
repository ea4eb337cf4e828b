"""Counts with their nouns, as messages write them: "1 day", "1,200 rows"."""

from __future__ import annotations


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Return a count and its noun.

    >>> plural(1, "day"), plural(1200, "row"), plural(2, "query", "queries")
    ('1 day', '1,200 rows', '2 queries')
    """
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def verb(count: int, one: str, many: str) -> str:
    """Return the form of a verb that agrees with a count.

    >>> verb(1, "violates", "violate"), verb(0, "is", "are")
    ('violates', 'are')
    """
    return one if count == 1 else many
