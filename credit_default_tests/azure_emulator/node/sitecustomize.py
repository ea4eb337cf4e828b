"""Refuses what a mount cannot do, in every Python program of a job: Python imports this at its start.

A file below an output can be written once, from its beginning to its end. It cannot be renamed, removed or written
anew. Below an input that is mounted to be read, nothing can be written at all. An audit hook sees all of these calls,
whichever library makes them, unless it makes them from native code.
"""

import errno
import os
import sys
from pathlib import Path

VARIABLE, READ_ONLY_VARIABLE = "EMULATOR_MOUNTED_OUTPUTS", "EMULATOR_MOUNTED_INPUTS"
_MOUNTED, _READ_ONLY = (
    tuple(f"{folder.rstrip('/')}/" for folder in os.environ.get(name, "").split(os.pathsep) if folder)
    for name in (VARIABLE, READ_ONLY_VARIABLE)
)
#: Event to the positions, among its arguments, of each path and of the descriptor of the folder that it is relative to.
_CHANGES = {
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.truncate": ((0, None),),
    "os.mkdir": ((0, 2),),
}


def _below(mounts, path, folder=-1):
    if not isinstance(path, (str, bytes)):
        return False
    name = Path(os.fsdecode(path))
    if folder not in (-1, None):
        name = Path(f"/proc/self/fd/{folder}").readlink() / name
    # The path itself may be a link; what leads to it is followed.
    return f"{name.parent.resolve() / name.name}/".startswith(mounts)


def _refuse(event, arguments):
    if event == "open":
        path, _, flags = arguments
        touched = [(path, -1)] if flags & (os.O_WRONLY | os.O_RDWR) else []
        anew = not flags & os.O_EXCL and touched and _below(_MOUNTED, path) and Path(os.fsdecode(path)).exists()
    elif event in _CHANGES:
        touched = [(arguments[path], -1 if folder is None else arguments[folder]) for path, folder in _CHANGES[event]]
        anew = event != "os.mkdir" and any(_below(_MOUNTED, *one) for one in touched)
    else:
        return
    if any(_below(_READ_ONLY, *one) for one in touched):
        raise OSError(errno.EROFS, f"Read-only file system ({event}): inputs are mounted to be read", touched[0][0])
    if anew:
        raise PermissionError(
            errno.EPERM,
            f"Operation not permitted ({event}): because of how Azure ML mounts output folders, it is impossible to "
            "move, rename, remove or rewrite existing files",
            touched[0][0],
        )


if _MOUNTED or _READ_ONLY:
    sys.addaudithook(_refuse)
