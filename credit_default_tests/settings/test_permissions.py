"""A home is private whatever the umask, closed when it was open before, and shared with a group only when asked."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from credit_default.runs import instance
from credit_default.settings import HOME_VARIABLE, permissions, read
from credit_default.settings.permissions import GROUP_VARIABLE
from credit_default_tests.permissions import can_become_others, of_others, open_to_others, readable

#: What each process of a home begins with, and what it then writes: a table, a replaced one, a job's file, a log.
PROGRAM = """
from credit_default.runs import instance
from credit_default.settings import permissions
from credit_default.resources import resources_for
permissions.restrict_umask()
settings = instance.enter()
storage = resources_for(settings)["storage"]
storage.write("predictions/2026-01-01/predictions.parquet", b"of clients")
storage.preserve("predictions/2026-01-01/predictions.parquet", into="superseded_predictions/2026-01-01")
made = settings.jobs / "score-1" / "output"
made.mkdir(parents=True)
(made / "rejected.csv").write_text("of clients")
(made / "model").mkdir()
(made / "model" / "golden.parquet").write_text("of clients")
storage.publish(str(made / "rejected.csv"), "quarantine/inference_data/2026-01-01/rejected.csv")
storage.publish(str(made / "model"), "models/0123")
storage.write("landing/inference/batch/2026-01-02/online.parquet", b"of clients")
with storage.held("models/ledger.jsonl"):
    (settings.home / "demo.log").write_text("a log")
"""
PRIVATE = {
    "lake/predictions/2026-01-01/predictions.parquet",
    "lake/quarantine/inference_data/2026-01-01/rejected.csv",
    "lake/models/0123/golden.parquet",
    "jobs/score-1/output/rejected.csv",
    "dagster/dagster.yaml",
}


def make_home(home: Path, umask: int, **more: str) -> None:
    subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, HOME_VARIABLE: str(home), **more}, umask=umask, check=True
    )


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


@pytest.fixture
def a_group():
    """A group that exists on this machine and that the tests may give files to."""
    return next(found for found in grp.getgrall() if found.gr_gid == (1 if can_become_others() else os.getegid()))


@pytest.fixture(autouse=True)
def same_umask_afterwards(monkeypatch):
    before = os.umask(0o022)
    monkeypatch.setattr(permissions, "_original_umask", None)
    yield
    os.umask(before)


@pytest.mark.parametrize(("umask", "landing"), [(0o000, "0777"), (0o022, "0755"), (0o077, "0700")])
def test_a_home_is_private_whatever_the_umask_and_landing_is_as_the_umask_says(tmp_path, umask, landing):
    home = tmp_path / "above" / "home"
    make_home(home, umask)
    assert all((home / name).is_file() for name in PRIVATE)
    # The way to the landing folder is open as far as that itself is.
    way = {} if landing == "0700" else {".": "0711", "lake": "0711"}
    assert open_to_others(home) == way
    arrivals = home / "lake/landing/inference/batch"
    # A day that we begin may be added to by those who deliver the others.
    assert {mode(path) for path in (home / "lake/landing", arrivals, arrivals / "2026-01-02")} == {landing}
    assert mode(home.parent) == landing
    assert mode(arrivals / "2026-01-02/online.parquet") == "0600"
    if can_become_others():
        assert readable(home) == []
        delivered = of_others(home, "echo x > lake/landing/inference/batch/new.csv && ls lake/landing/inference")
        assert (delivered.returncode == 0) == (landing == "0777")
        assert of_others(home, "ls . lake").stdout == ""


def test_a_home_that_was_open_is_closed_when_it_is_used_next_and_landing_stays(tmp_path):
    home = tmp_path / "home"
    make_home(home, 0o022)
    for path in (home, *home.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (home / "lake" / "linked").symlink_to(elsewhere)
    (home / "mine").mkdir(mode=0o755)
    instance.prepare(read({HOME_VARIABLE: str(home)}))
    assert {mode(home / name) for name in ("dagster", "jobs", "lake/predictions", "lake/models")} == {"0700"}
    assert (mode(home), mode(home / "lake"), mode(home / "demo.log")) == ("0711", "0711", "0600")
    # Nobody else's: what a link leads to, and what lies beside.
    assert (mode(elsewhere), mode(home / "mine"), mode(home / "lake/landing")) == ("0755", "0755", "0777")
    if can_become_others():
        assert readable(home) == []


def test_a_shared_folder_that_a_home_was_put_into_stays_shared(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    instance.prepare(read({HOME_VARIABLE: str(shared)}))
    assert (mode(shared), mode(shared / "dagster"), mode(shared / "lake")) == ("1777", "0700", "0711")


@pytest.mark.parametrize("existing", [False, True])
def test_a_group_that_is_named_may_read_everything_and_change_nothing(tmp_path, a_group, existing):
    home = tmp_path / "home"
    if existing:
        make_home(home, 0o022)
        instance.prepare(read({HOME_VARIABLE: str(home), GROUP_VARIABLE: a_group.gr_name}))
    else:
        make_home(home, 0o022, **{GROUP_VARIABLE: a_group.gr_name})
    landing = home / "lake" / "landing"
    paths = [path for path in home.rglob("*") if path != landing and landing not in path.parents]
    modes = {str(path.relative_to(home)): (mode(path), path.stat().st_gid) for path in paths}
    assert modes.pop("lake") == ("2751", a_group.gr_gid)
    assert {modes[str(path.relative_to(home))] for path in paths if path.is_file()} == {("0640", a_group.gr_gid)}
    assert {one for one in modes.values() if one[0] != "0640"} == {("2750", a_group.gr_gid)}
    if can_become_others():
        assert readable(home) == []
        assert {name.removeprefix("./") for name in readable(home, groups=[a_group.gr_gid])} >= PRIVATE
        assert of_others(home, "echo x >> dagster/dagster.yaml", groups=[a_group.gr_gid]).returncode != 0
    instance.prepare(read({HOME_VARIABLE: str(home)}))
    assert {mode(home / name)[1:] for name in ("dagster", "jobs", "lake/models")} == {"700"}


def test_the_key_of_collected_inputs_is_its_owners_alone(tmp_path, a_group):
    from credit_default.telemetry.collection_key import private_keys

    settings = read({HOME_VARIABLE: str(tmp_path / "home"), GROUP_VARIABLE: a_group.gr_name})
    private_keys(settings, {})
    instance.prepare(settings)
    assert mode(settings.home / "collection_key.json") == "0600"


def test_every_way_into_the_platform_makes_private_files(tmp_path):
    """The command, and whatever loads the definitions: code servers and the processes of runs."""
    environ = {**os.environ, HOME_VARIABLE: str(tmp_path / "home")}
    show = "import os; before = os.umask(0); print(f'{before:o}')"
    called = "from click.testing import CliRunner; from credit_default.cli.main import main; CliRunner().invoke"
    for way in ("import credit_default.definitions", f"{called}(main, ['models', '-h'])"):
        done = subprocess.run(
            [sys.executable, "-c", f"{way}; {show}"], env=environ, umask=0, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "77", way


def test_who_delivers_sample_files_keeps_his_own_umask(tmp_path):
    done = subprocess.run(
        [Path(sys.executable).with_name("credit-default"), "sample-data", "--landing", tmp_path / "in", "--days", "1"],
        umask=0o002,
        check=True,
        capture_output=True,
    )
    assert done.returncode == 0
    assert {mode(path) for path in (tmp_path / "in").rglob("*.csv")} == {"0664"}
