"""What the steps share that measure days: their arguments, and a day's file."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from credit_default.core.system_errors import explained
from credit_default.errors import DayError


def day_list(text: str) -> list[str]:
    """Read ``2026-01-01,2026-01-02`` from the command line."""
    return [day.strip() for day in text.split(",") if day.strip()]


def parser_of(description: str, **folders: str) -> argparse.ArgumentParser:
    """Parser with an option for each folder to read, ``--days`` and ``--output``."""
    parser = argparse.ArgumentParser(description=description)
    for name, about in folders.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, help=about)
    parser.add_argument("--days", type=day_list, required=True, help="days to measure, as 2026-01-01,2026-01-02")
    parser.add_argument("--output", type=Path, required=True, help="folder to write below")
    return parser


def refuse_malformed(day: str) -> None:
    """Raise `DayError` for a day that is no date, before it becomes part of a path."""
    try:
        well_formed = date.fromisoformat(day).isoformat() == day
    except ValueError:
        well_formed = False
    if not well_formed:
        raise DayError(f"got the day {day!r}; expected a date like 2026-01-31")


def write_result(path: Path, result: Mapping[str, Any]) -> str:
    """Write a result as JSON without NaN, and give the hash of its bytes: 32 hex digits."""
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:32]
