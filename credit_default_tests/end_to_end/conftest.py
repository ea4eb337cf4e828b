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


@pytest.fixture(scope="session")
def small_home(shared_folder) -> World:
    """A small demo, played once; read it, and copy it before changing anything."""
    home = shared_folder / "small"
    with FileLock(shared_folder / "small.lock"):
        if not (shared_folder / "small.done").exists():
            world = World(home)
            done = world.command(*SMALL_DEMO)
            assert done.returncode == 0, done.stdout + done.stderr
            (shared_folder / "small.done").touch()
    return World(home)


@pytest.fixture
def small(small_home, tmp_path) -> World:
    """A small demo of the test's own."""
    return small_home.copy_to(tmp_path / "home")
