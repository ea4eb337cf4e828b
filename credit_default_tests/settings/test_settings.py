"""Settings are read in full, and everything that is wrong with them is said at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from credit_default.errors import SettingsError
from credit_default.settings import Environment, make_home, read
from credit_default.settings import azure as azure_settings
from credit_default_tests import CHECKOUT
from credit_default_tests.settings_of_azure import AZURE_SETTINGS


def test_with_nothing_set_it_is_local_in_a_folder_of_the_checkout_wherever_that_is_asked(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = read({})
    assert settings.environment is Environment.LOCAL
    assert settings.home == CHECKOUT / ".credit_default"
    assert settings.start == date(2025, 1, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_has_its_home_in_the_current_folder(tmp_path):
    package = tmp_path / "site-packages" / "credit_default"
    shutil.copytree(CHECKOUT / "credit_default", package, ignore=shutil.ignore_patterns("data", "__pycache__"))
    (tmp_path / "here").mkdir()
    statement = "from credit_default.settings import read; print(read({}).home)"
    done = subprocess.run(
        [sys.executable, "-c", statement],
        cwd=tmp_path / "here",
        env={"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == tmp_path / "here" / ".credit_default"


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_variable_is_an_unset_one(blank):
    names = ("CREDIT_DEFAULT_ENV", "CREDIT_DEFAULT_HOME", "CREDIT_DEFAULT_START")
    assert read(dict.fromkeys(names, blank)) == read({})


@pytest.mark.parametrize("name", ["local", "development", "staging", "production"])
def test_the_four_environments_are_known(name):
    assert read({"CREDIT_DEFAULT_ENV": name}).environment == name


def test_every_path_is_absolute_and_below_home(tmp_path):
    settings = read({"CREDIT_DEFAULT_HOME": str(tmp_path / "a home")})
    for path in (settings.dagster_home, settings.lake, settings.landing, settings.jobs, settings.telemetry):
        assert path.is_absolute()
        assert path.is_relative_to(tmp_path / "a home")
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/a home/mlflow/mlflow.db"


def test_home_may_be_relative_or_begin_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read({"CREDIT_DEFAULT_HOME": "here"}).home == tmp_path / "here"
    assert read({"CREDIT_DEFAULT_HOME": "~/there"}).home == tmp_path / "there"


def test_an_unknown_environment_lists_the_choices():
    with pytest.raises(SettingsError, match=r"CREDIT_DEFAULT_ENV is 'prod'.*local, development, staging, production"):
        read({"CREDIT_DEFAULT_ENV": "prod"})


@pytest.mark.parametrize("written", ["yesterday", "2026-13-01", "01.02.2026", "20260102", "2026-W01-1"])
def test_a_first_day_that_is_no_day_says_what_is_expected(written):
    with pytest.raises(SettingsError, match=r"CREDIT_DEFAULT_START is .*YYYY-MM-DD, e\.g\. 2025-01-01"):
        read({"CREDIT_DEFAULT_START": written})


def test_how_long_things_are_kept_has_defaults_and_can_be_for_ever():
    names = ("CREDIT_DEFAULT_KEEP_REPORTS_DAYS", "CREDIT_DEFAULT_KEEP_JOBS_DAYS", "CREDIT_DEFAULT_KEEP_SUPERSEDED_DAYS")
    for told, expected in (("", (90, 30, None)), ("never", (None, None, None)), (" 7 ", (7, 7, 7))):
        found = read(dict.fromkeys(names, told))
        assert (found.keep_reports, found.keep_jobs, found.keep_superseded) == expected


@pytest.mark.parametrize("told", ["0", "-1", "1.5", "soon", "36501", "\u0663"])
def test_what_is_no_number_of_days_is_said_with_every_other_problem(told):
    environ = {
        "CREDIT_DEFAULT_KEEP_REPORTS_DAYS": told,
        "CREDIT_DEFAULT_KEEP_SUPERSEDED_DAYS": told,
        "CREDIT_DEFAULT_FILE_GROUP": "no-such-group",
        "CREDIT_DEFAULT_ENV": "prod",
    }
    with pytest.raises(SettingsError) as refused:
        read(environ)
    assert all(name in str(refused.value) for name in environ)
    assert "expected a whole number of days, 1 to 36,500, or 'never' to remove nothing" in str(refused.value)
    assert "'no-such-group'; expected the name of a group of this machine" in str(refused.value)


def test_a_first_day_in_the_future_is_refused():
    # There would be no day at all, and nothing would ever be scored.
    with pytest.raises(SettingsError, match=r"CREDIT_DEFAULT_START is '2999-01-01'.*today"):
        read({"CREDIT_DEFAULT_START": "2999-01-01"})


def test_a_home_that_is_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SettingsError, match=r"CREDIT_DEFAULT_HOME is .*which is a file; set it to a folder"):
        read({"CREDIT_DEFAULT_HOME": str(file)})


HOMES = {
    "a file in its place": ("file", "which is a file"),
    "below a file": ("file/home/deep", "below {}/file, which is a file"),
    "a link that leads nowhere": ("dangling", "which is a link that leads nowhere"),
    "below such a link": ("dangling/home", "below {}/dangling, which is a link that leads nowhere"),
    "a name that is too long": ("x" * 300, "which cannot be used (File name too long)"),
}


@pytest.mark.parametrize(("name", "problem"), HOMES.values(), ids=HOMES)
def test_a_home_that_cannot_be_one_is_refused_when_the_settings_are_read(tmp_path, name, problem):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    home = tmp_path / name
    with pytest.raises(SettingsError) as caught:
        read({"CREDIT_DEFAULT_HOME": str(home)})
    expected = f"CREDIT_DEFAULT_HOME is {home}, {problem.format(tmp_path)}; set it to a folder that may be written to."
    assert str(caught.value) == expected


@pytest.fixture
def nobody():
    """Root may write everywhere, so it asks as somebody else: modes are looked at for the real user."""
    root = os.getuid() == 0
    if root:
        os.setreuid(65534, -1)
    yield
    if root:
        os.setreuid(0, -1)


@pytest.mark.usefixtures("nobody")
def test_a_home_that_may_not_be_written_to_is_refused_where_state_is_kept_and_with_all_else_that_is_wrong():
    there = {"CREDIT_DEFAULT_HOME": "/home-of-nobody/deep"}
    told = "CREDIT_DEFAULT_HOME is /home-of-nobody/deep, below /, which may not be written to; set it to a folder"
    with pytest.raises(SettingsError, match=told):
        make_home(read(there))
    with pytest.raises(SettingsError, match=rf"{told}.*; CREDIT_DEFAULT_START is 'soon'"):
        read({**there, "CREDIT_DEFAULT_START": "soon"})
    with pytest.raises(SettingsError) as caught:
        azure_settings.read({**there, "CREDIT_DEFAULT_ENV": "staging"})
    assert f"\n- {told}" in str(caught.value)


def test_a_home_of_a_user_who_is_not_there_is_refused():
    with pytest.raises(SettingsError, match=r"CREDIT_DEFAULT_HOME is '~nobody-here/x'; expected a folder"):
        read({"CREDIT_DEFAULT_HOME": "~nobody-here/x"})


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    wrong = {"CREDIT_DEFAULT_ENV": "prod", "CREDIT_DEFAULT_START": "soon", "CREDIT_DEFAULT_HOME": str(file)}
    with pytest.raises(SettingsError) as caught:
        read(wrong)
    assert all(name in str(caught.value) for name in wrong)


@pytest.mark.parametrize("name", ["CREDIT_DEFAULT_STEP_TIMEOUT", "CREDIT_DEFAULT_RETRY_DELAY"])
@pytest.mark.parametrize("written", ["0", "-1", "soon", "nan", "inf", "700000"])
def test_limits_in_seconds_are_held_to_bounds_and_told_with_all_that_is_wrong(name, written):
    with pytest.raises(SettingsError, match=rf"{name} is '{written}'; expected a number of seconds above 0") as caught:
        read({name: written, "CREDIT_DEFAULT_ENV": "prod"})
    assert "CREDIT_DEFAULT_ENV is 'prod'" in str(caught.value)


def test_a_step_may_run_for_two_hours_and_is_tried_again_after_a_minute_unless_settings_say_otherwise():
    assert (read({}).step_timeout, read({}).retry_delay) == (7200.0, 60.0)
    given = read({"CREDIT_DEFAULT_STEP_TIMEOUT": "90.5", "CREDIT_DEFAULT_RETRY_DELAY": "1"})
    assert (given.step_timeout, given.retry_delay) == (90.5, 1.0)


def test_settings_can_be_read_where_the_folder_cannot_be_looked_at(tmp_path):
    assert read({"CREDIT_DEFAULT_HOME": str(tmp_path / "missing" / "deep")}).home == Path(tmp_path / "missing" / "deep")


def test_each_azure_environment_has_a_home_of_its_own(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    homes = {read({"CREDIT_DEFAULT_ENV": name}).home for name in Environment}
    assert homes == {
        CHECKOUT / ".credit_default",
        *(CHECKOUT / ".credit_default" / name for name in ("development", "staging", "production")),
    }
    assert read({"CREDIT_DEFAULT_ENV": "staging", "CREDIT_DEFAULT_HOME": "mine"}).home == tmp_path / "mine"


def test_what_sends_telemetry_is_one_setting(tmp_path):
    home = {"CREDIT_DEFAULT_HOME": str(tmp_path)}
    assert read(home).exporter == "opencensus"
    assert read({**home, "CREDIT_DEFAULT_TELEMETRY": "opentelemetry"}).exporter == "opentelemetry"
    told = r"CREDIT_DEFAULT_TELEMETRY is 'both'; set it to opencensus or opentelemetry"
    with pytest.raises(SettingsError, match=told):
        read({**home, "CREDIT_DEFAULT_TELEMETRY": "both"})


def test_all_that_is_wrong_with_an_azure_environment_is_said_at_once_too(tmp_path):
    wrong = {"CREDIT_DEFAULT_START": "soon", "CREDIT_DEFAULT_TELEMETRY": "both", "CREDIT_DEFAULT_POLL_SECONDS": "0"}
    with pytest.raises(SettingsError) as caught:
        read({**wrong, "CREDIT_DEFAULT_ENV": "staging", "CREDIT_DEFAULT_HOME": str(tmp_path)})
    lines = str(caught.value).splitlines()
    assert lines[0] == "11 settings of this Azure environment are missing or malformed:"
    named = [line.removeprefix("- ").split(" is ")[0] for line in lines[1:]]
    assert {*wrong, *AZURE_SETTINGS} == set(named)
