"""Personal data in a finished home: who can read it, and where a client is found."""

from __future__ import annotations

import pytest

from credit_default_tests.permissions import can_become_others, open_to_others, readable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_nothing_of_a_home_that_was_made_with_an_open_umask_can_be_read_by_others(small_home):
    # The umask of every command of these tests is 0. The way to the landing folder is all that is open.
    assert open_to_others(small_home.home) == {".": "0711", "lake": "0711"}
    if can_become_others():
        assert readable(small_home.home) == []
