"""Homes that tests share: each is made once for all workers, and copied by the tests that change it."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from credit_default_tests.end_to_end.world import SMALL_DEMO, World


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id) -> Path:
    """A folder that every worker sees, as long as this run of the tests lasts."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


def play_once(folder: Path, name: str, *command: str) -> World:
    """Make a home by a command, unless another worker has; what it printed is in `printed.txt`."""
    home = folder / name
    with FileLock(folder / f"{name}.lock"):
        world = World(home)
        if not (home / "printed.txt").exists():
            done = world.command(*command)
            assert done.returncode == 0, done.stdout + done.stderr
            (home / "printed.txt").write_text(done.stdout)
    return world


@pytest.fixture(scope="session")
def demo_home(shared_folder) -> World:
    """The whole demo on the real data; for `test_demo.py`, which plays a second one on top."""
    return play_once(shared_folder, "demo", "demo")


@pytest.fixture(scope="session")
def small_home(shared_folder) -> World:
    """A small demo; read it, and copy it before changing anything."""
    return play_once(shared_folder, "small", *SMALL_DEMO)


@pytest.fixture
def small(small_home, tmp_path) -> World:
    """A small demo of the test's own."""
    return small_home.copy_to(tmp_path / "home")
