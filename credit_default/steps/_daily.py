"""Shared by the steps that work on days: their arguments, the guard around each day, and a day's file."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from credit_default.core.days import parse_day
from credit_default.core.defects import as_unexpected
from credit_default.core.system_errors import explained
from credit_default.errors import CreditDefaultError, DayError, ModelError
from credit_default.pipes.reporting import Reporter


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


def each_day(report: Reporter, days: Iterable[str], work: Callable[[str], None]) -> None:
    """Do the work of each day; whatever goes wrong with one is that day's refusal, and the others go on."""
    for day in days:
        error = try_day(day, work)
        if error is not None:
            report.refused(day, error)


def try_day(day: str, work: Callable[[str], None]) -> CreditDefaultError | None:
    """Do the work of one day and return what went wrong, be it planned for or not."""
    try:
        _refuse_malformed(day)
        work(day)
    except CreditDefaultError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not take the other days along
        return as_unexpected(error)
    return None


def common_value(predictions: pa.Table, name: str) -> str | None:
    """Return what all predictions of a day say in a column, None for a day without rows.

    Raises
    ------
    ModelError
        They differ: several models scored the day, so no figure of it is any one model's.
    """
    found = predictions.column(name).unique().to_pylist()
    if len(found) > 1:
        raise ModelError(f"the predictions have {len(found)} values of {name}, expected one; score the day again.")
    return str(found[0]) if found else None


def _refuse_malformed(day: str) -> None:
    """Raise `DayError` for a day that is no date, before it becomes part of a path."""
    if parse_day(day) is None:
        raise DayError(f"got the day {day!r}; expected a date like 2026-01-31")


def write_result(path: Path, result: Mapping[str, Any]) -> str:
    """Write a result as JSON without NaN, and give the hash of its bytes: 32 hex digits."""
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:32]
