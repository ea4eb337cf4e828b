"""Reads a day as settings, commands, folders and steps write one: YYYY-MM-DD."""

from __future__ import annotations

from datetime import date


def parse_day(text: str) -> date | None:
    """Return the day that is written so, or None; Python alone reads other forms of ISO 8601 as well."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None
