"""Memory that this process may use: of the machine, of its control groups, and by its own resource limits."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")


def usable_memory(groups: Path = _GROUPS, mount: Path = _MOUNT) -> int:
    """Return how many bytes this process may use at most, whatever others use now.

    Parameters
    ----------
    groups
        The kernel's list of the control groups of this process.
    mount
        Where the control groups are mounted, of either version.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    limits = [limit for limit in own if limit != resource.RLIM_INFINITY]
    return min([machine, *limits, *_group_limits(groups, mount)])


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """Let this process map at most so many bytes more meanwhile: an allocation beyond fails instead of being made.

    It holds where what a file says of its own size is a lie. Where the kernel tells no size, nothing is held.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        yield
        return
    bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([mapped + more, *bounds]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _group_limits(groups: Path, mount: Path) -> Iterator[int]:
    """Yield the limit of every control group that this process is in, the outer ones included."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(":", 2)
        if not controllers:
            roots, names = [mount, mount / "unified"], ["memory.max", "memory.high"]
        elif "memory" in controllers.split(","):
            roots, names = [mount / controllers, mount / "memory"], ["memory.limit_in_bytes"]
        else:
            continue
        # In a container the path may be that of the host, of which only the root is mounted.
        for group in (PurePosixPath(own), *PurePosixPath(own).parents):
            for path in (root / group.relative_to("/") / name for root in roots for name in names):
                # "max" is no limit.
                with suppress(OSError, ValueError):
                    yield int(path.read_text(encoding="ascii"))
