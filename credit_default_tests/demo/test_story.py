"""Messages of the demo: names that come from outside, and a second demo at once."""

from __future__ import annotations

import pytest
from filelock import FileLock

from credit_default import settings
from credit_default.demo.story import Demo, play
from credit_default.errors import NotAllowed
from credit_default.runs.instance import prepare


def test_a_name_from_outside_does_nothing_to_the_terminal_of_the_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path / "home"))
    found = settings.read()
    for name, value in prepare(found).items():  # which a demo sets, and which is put back here
        monkeypatch.setenv(name, value)
    Demo(found).warn("landing/\x1b[2Jcaf\udce9\u202e is left out: not a day.")
    assert capsys.readouterr().out == "landing/\\x1b[2Jcaf\\xe9\\u202e is left out: not a day.\n"


def test_a_second_demo_in_one_home_says_that_another_is_playing_and_does_nothing(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(home))
    found = settings.read()
    for name, value in prepare(found).items():
        monkeypatch.setenv(name, value)
    with (
        FileLock(home / "demo.lock"),
        pytest.raises(NotAllowed, match=f"A demo is playing in {home}; wait for its end"),
    ):
        play(found, trials=1, days=1, rows=1)
    assert [path for path in found.landing.rglob("*") if path.is_file()] == []
