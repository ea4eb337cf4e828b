"""What the demo says of names that come from outside."""

from __future__ import annotations

from credit_default import settings
from credit_default.demo import Demo
from credit_default.instance import prepare


def test_a_name_from_outside_does_nothing_to_the_terminal_of_the_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path / "home"))
    found = settings.read()
    for name, value in prepare(found).items():  # which a demo sets, and which is put back here
        monkeypatch.setenv(name, value)
    Demo(found).warn("landing/\x1b[2Jcaf\udce9\u202e is left out: not a day.")
    assert capsys.readouterr().out == "landing/\\x1b[2Jcaf\\xe9\\u202e is left out: not a day.\n"
