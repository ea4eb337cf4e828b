from __future__ import annotations

from datetime import date

import pytest

from credit_default.core.days import parse_day


def test_a_day_is_read_as_it_is_written():
    assert parse_day("2026-01-31") == date(2026, 1, 31)


@pytest.mark.parametrize("text", ["20260131", "2026-W05-6", "2026-1-31", "2026-02-30", "2026-01-31T00:00", "day", ""])
def test_no_other_form_is_a_day(text):
    assert parse_day(text) is None
