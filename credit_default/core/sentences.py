"""Full stops: texts of errors come with one and without, and messages are made of both."""

from __future__ import annotations


def sentence(text: str) -> str:
    """Return a text with a full stop at its end, unless it has one.

    >>> sentence("nothing landed"), sentence("Nothing landed. ")
    ('nothing landed.', 'Nothing landed.')
    """
    text = text.rstrip()
    return text if text.endswith(".") else f"{text}."
