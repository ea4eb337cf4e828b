"""The guard around each day: whatever goes wrong with one is told without the text of the exception."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from credit_default.core.defects import concerning
from credit_default.pipes.reporting import TerminalReporter
from credit_default.steps._daily import each_day
from credit_default_tests.steps.days import told

SECRET = "secret-cell"
BEFORE, BAD, AFTER = "2026-01-01", "2026-01-02", "2026-01-03"


def exhausted():
    raise MemoryError(SECRET)


def endless():
    return endless()


def unreadable_number():
    pa.array([SECRET]).cast(pa.float64())


def unknown_column():
    pa.table({"age": [1]}).column(SECRET)


def full_disk():
    raise OSError(28, SECRET, f"/somewhere/{SECRET}")


def not_binned():
    np.histogram([0.30000000000000004, 0.3], bins=10)


@pytest.mark.parametrize(
    ("fail", "kind", "advice"),
    [
        (exhausted, "MemoryError", "deliver the day in smaller files"),
        (endless, "RecursionError", "please report"),
        (unreadable_number, "ArrowInvalid", "please report"),
        (unknown_column, "KeyError", "please report"),
        (full_disk, "OSError (ENOSPC: No space left on device)", "look at the disk"),
        (not_binned, "ValueError", "please report"),
    ],
)
def test_any_exception_is_that_days_refusal_with_kind_place_and_column_and_the_others_go_on(fail, kind, advice, capsys):
    report, done = TerminalReporter(), []

    def work(day):
        if day == BAD:
            with concerning("age"):
                fail()
        done.append(day)

    each_day(report, [BEFORE, BAD, AFTER, "../2026-01-04"], work)

    assert done == [BEFORE, AFTER]
    said = capsys.readouterr().err
    assert f"{BAD}: ended in {kind} at " in said
    assert re.search(r"credit_default/\w+/\w+\.py, line \d+", said) or "_daily.py, line" in said
    assert "column age" in said
    assert advice in said
    assert SECRET not in said
    assert "got the day '../2026-01-04'" in said


def test_who_stops_the_step_stops_it(capsys):
    def work(day):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each_day(TerminalReporter(), [BEFORE], work)
    assert told(capsys.readouterr().out) == []
