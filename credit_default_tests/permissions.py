"""Access of other users of this machine to a home, tried as one of them where the tests run as root."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Collection
from pathlib import Path

NOBODY = 65_534


def can_become_others() -> bool:
    """Whether this process may start another user's."""
    return os.geteuid() == 0


def of_others(home: Path, command: str, *, groups: Collection[int] = ()) -> subprocess.CompletedProcess[str]:
    """Run a shell command in a home as another user, of these groups besides its own."""
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=home,
        user=NOBODY,
        group=NOBODY,
        extra_groups=list(groups),
        capture_output=True,
        text=True,
        check=False,
    )


def readable(home: Path, *, groups: Collection[int] = ()) -> list[str]:
    """Every file outside `landing/` that another user can read, who knows the names of all folders."""
    folders = [path.relative_to(home) for path in home.rglob("*") if path.is_dir() and "landing" not in path.parts]
    found: list[str] = []
    for folder in folders:
        listing = of_others(home, f"find './{folder}' -maxdepth 1 -type f -readable", groups=groups)
        found += listing.stdout.split()
    return sorted(found)


def open_to_others(home: Path) -> dict[str, str]:
    """Every folder and file outside `landing/` whose mode lets others do anything, and its mode."""
    landing = home / "lake" / "landing"
    paths = [path for path in (home, *home.rglob("*")) if path != landing and landing not in path.parents]
    modes = {str(path.relative_to(home)): stat.S_IMODE(path.lstat().st_mode) for path in paths if not path.is_symlink()}
    return {name: f"{mode:04o}" for name, mode in modes.items() if mode & 0o077}
