"""Refuses what a mounted output cannot do, in every Python program of a job: Python imports this at its start.

A file below an output can be written once, from its beginning to its end. It cannot be renamed, removed or written
anew. An audit hook sees all of these calls, whichever library makes them, unless it makes them from native code.
"""

import errno
import os
import sys
from pathlib import Path

VARIABLE = "EMULATOR_MOUNTED_OUTPUTS"
_MOUNTED = tuple(f"{folder.rstrip('/')}/" for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder)
#: Event to the positions, among its arguments, of each path and of the descriptor of the folder that it is relative to.
_CHANGES = {
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((0, 2), (1, 3)),
    "os.symlink": ((1, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.truncate": ((0, None),),
}


def _below_an_output(path, folder=-1):
    if not isinstance(path, (str, bytes)):
        return False
    name = Path(os.fsdecode(path))
    if folder not in (-1, None):
        name = Path(f"/proc/self/fd/{folder}").readlink() / name
    # The path itself may be a link; what leads to it is followed.
    return f"{name.parent.resolve() / name.name}/".startswith(_MOUNTED)


def _refuse(event, arguments):
    if event == "open":
        path, _, flags = arguments
        anew = flags & (os.O_WRONLY | os.O_RDWR) and not flags & os.O_EXCL
        if not (anew and _below_an_output(path) and Path(os.fsdecode(path)).exists()):
            return
    elif event in _CHANGES:
        touched = [
            arguments[path]
            for path, folder in _CHANGES[event]
            if _below_an_output(arguments[path], -1 if folder is None else arguments[folder])
        ]
        if not touched:
            return
        path = touched[0]
    else:
        return
    raise PermissionError(
        errno.EPERM,
        f"Operation not permitted ({event}): because of how Azure ML mounts output folders, it is impossible to move, "
        "rename, remove or rewrite existing files",
        path,
    )


if _MOUNTED:
    sys.addaudithook(_refuse)
