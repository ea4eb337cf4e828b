"""File permissions of the local state: private to its owner, or readable by one group.

Two layers, each enough by itself:

- Every process sets its umask (`restrict_umask`), so that the files it makes are private whatever umask it was started
  with. Its children inherit that.
- Preparing a home closes its top folders (`close_home`), which closes everything below them at once: files that an
  earlier version left readable, and files of a process that is not ours. It takes the same time for a home of any size.

``landing/`` keeps its modes: who may deliver there is the administrator's decision. As far as it lets others in, the
two folders above it may be passed through, and not listed.
"""

from __future__ import annotations

import grp
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from credit_default.settings import Settings

#: Name of a group that may read the local state.
GROUP_VARIABLE = "CREDIT_DEFAULT_FILE_GROUP"
#: Folders of the home that are ours; whatever else lies beside them in a shared folder is not touched.
_FOLDERS = ("dagster", "jobs", "mlflow", "telemetry")
_OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH
_log = logging.getLogger("credit_default")
#: The umask that this process was started with.
_original_umask: int | None = None


def restrict_umask(environ: Mapping[str, str] = os.environ) -> None:
    """Make new files of this process, and of those that it starts, readable by the owner and the group set only."""
    global _original_umask  # noqa: PLW0603 - a umask belongs to the process, too
    before = os.umask(0o027 if environ.get(GROUP_VARIABLE, "").strip() else 0o077)
    _original_umask = before if _original_umask is None else _original_umask


@contextmanager
def original_umask() -> Iterator[None]:
    """Write with the umask that this process was started with: for those who deliver files to somebody else."""
    if _original_umask is None:
        yield
        return
    ours = os.umask(_original_umask)
    try:
        yield
    finally:
        os.umask(ours)


def make_with_original_umask(folder: Path) -> None:
    """Make a folder and those above it as the umask allows that this process was started with."""
    for path in _missing(folder):
        path.mkdir(exist_ok=True)
        if _original_umask is not None:
            path.chmod(0o777 & ~_original_umask)


def make_like_parent(folder: Path) -> None:
    """Make a folder and those above it with the mode of the one that they come to lie in."""
    for path in _missing(folder):
        path.mkdir(exist_ok=True)
        path.chmod(stat.S_IMODE(path.parent.stat().st_mode))


def close_home(settings: Settings) -> None:
    """Give the top folders of a home their modes; idempotent, and best effort for what is not ours to change."""
    group = grp.getgrnam(settings.file_group).gr_gid if settings.file_group else None
    for path in (settings.home / name for name in _FOLDERS):
        _close_tree(path, group)
    for path in settings.home.glob("*.log"):
        _set(path, 0o600 if group is None else 0o640, group)
    if settings.lake.is_dir():
        for path in settings.lake.iterdir():
            if path != settings.landing:
                _close_tree(path, group)
    mode = 0o700 if group is None else 0o2750
    if _lets_others_in(settings.landing):
        mode |= _OTHERS_ENTER
    for folder in (settings.lake, settings.home):
        # A folder with the sticky bit, such as /tmp, belongs to everybody.
        if folder.is_dir() and not folder.stat().st_mode & stat.S_ISVTX:
            _set(folder, mode, group)


def _close_tree(path: Path, group: int | None) -> None:
    """Close a folder or file. A group is given everything below it, once: a folder that has its mode is complete."""
    if path.is_symlink() or not path.exists():
        return
    if not path.is_dir():
        _set(path, 0o600 if group is None else 0o640, group)
        return
    if group is None:
        _set(path, 0o700, None)
        return
    if _is(path, 0o2750, group):
        return
    for root, _, names in os.walk(path, topdown=False):
        for name in names:
            _set(Path(root, name), 0o640, group)
        _set(Path(root), 0o2750, group)


def _lets_others_in(landing: Path) -> bool:
    return landing.is_dir() and bool(landing.stat().st_mode & _OTHERS_ENTER)


def _is(path: Path, mode: int, group: int | None) -> bool:
    status = path.stat()
    same_group = group is None or status.st_gid == group
    # Without a group, a set-group-ID bit of an earlier one does no harm.
    kept = 0o7777 if group is not None else 0o1777
    return same_group and stat.S_IMODE(status.st_mode) & kept == mode


def _set(path: Path, mode: int, group: int | None) -> None:
    try:
        if path.is_symlink() and not path.is_dir():
            return
        if _is(path, mode, group) or os.geteuid() not in (0, path.stat().st_uid):
            return
        if group is not None:
            os.chown(path, -1, group)
        path.chmod(mode)
    except FileNotFoundError:
        return  # another process removed it meanwhile
    except OSError as error:
        # A file system without permissions, or one that is mounted to read only: everything else still works.
        _log.warning(f"{path} could not be made private ({error.strerror}); others on this machine may read it.")


def _missing(folder: Path) -> list[Path]:
    """Return the folders that are not there, the outermost first."""
    return [path for path in (*reversed(folder.parents), folder) if not path.exists()]
