"""Names from outside can be printed, stored and sent, and stay different from one another."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_default.core.printable import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Kunden-März 2026.csv", "Kunden-März 2026.csv"),
        (os.fsdecode(b"Kunden-M\xe4rz.csv"), r"Kunden-M\xe4rz.csv"),
        ("two\nlines\r\t.csv", r"two\nlines\r\t.csv"),
        ("\x1b[31mred\x07.csv", r"\x1b[31mred\x07.csv"),
        ("invoice\u202evsc.exe", r"invoice\u202evsc.exe"),
        ("zero\u200bwidth\x85.csv", r"zero\u200bwidth\u0085.csv"),
        (r"back\xe4.csv", r"back\\xe4.csv"),
    ],
)
def test_a_name_is_shown_as_it_is_but_for_what_cannot_be_shown(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.lists(st.binary(max_size=8), min_size=2, max_size=2, unique=True))
def test_whatever_the_bytes_the_name_is_one_printable_line_and_no_two_are_one(names: list[bytes]) -> None:
    first, second = (printable(os.fsdecode(name)) for name in names)
    assert first != second
    assert first.isprintable()
    assert first.encode().decode() == first
