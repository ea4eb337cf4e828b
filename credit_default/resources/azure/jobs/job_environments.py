"""The environments that jobs and deployments run in: made from the project's own lock, and made once.

There is one for each kind of step, one for batch and one for online deployments. ``environments/`` beside this module
holds their Dockerfiles, and for each the packages that it needs (``.in``) and everything that those need, with hashes
(``.txt``), in the versions of ``requirements.lock``, but for what a batch deployment cannot have of it; see
``make lock``.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

#: The environments of deployments, which are no steps.
BATCH, ONLINE = "batch", "online"
#: What the description of an environment calls those that run in it.
_USERS = {BATCH: "batch deployments", ONLINE: "online deployments"}
_PORT = 5001
#: Where Azure ML asks an image that is not one of its own whether it lives, and for scores.
_ROUTES = {
    f"{name}_route": {"port": _PORT, "path": path}
    for name, path in (("liveness", "/"), ("readiness", "/"), ("scoring", "/score"))
}


def build_files(kind: str) -> dict[str, bytes]:
    """Return what an image is built from: file name to content."""
    folder = files("credit_default.resources.azure") / "environments"
    return {
        "Dockerfile": (folder / (f"{kind}.Dockerfile" if kind in _USERS else "Dockerfile")).read_bytes(),
        "requirements.txt": (folder / f"{kind}.txt").read_bytes(),
    }


def reference(kind: str) -> str:
    """Return ``name:version``; the version is a hash of what the image is built from."""
    digest = hashlib.sha256()
    for name, content in build_files(kind).items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"credit-card-default-{kind}:{digest.hexdigest()[:12]}"


def is_there(client: MLClient, kind: str) -> bool:
    """Whether the environment of a kind is registered, in this very version."""
    from azure.core.exceptions import ResourceNotFoundError

    name, _, version = reference(kind).partition(":")
    try:
        client.environments.get(name, version)
    except ResourceNotFoundError:
        return False
    return True


def ensure(client: MLClient, kind: str) -> str:
    """Register the environment of a kind, unless this very one is there; return its reference.

    The client is one of a workspace or of a shared registry.
    """
    from azure.ai.ml.entities import BuildContext, Environment
    from azure.core.exceptions import ResourceExistsError

    found = reference(kind)
    name, _, version = found.partition(":")
    if not is_there(client, kind):
        with tempfile.TemporaryDirectory(prefix="credit-default-") as folder:
            for file, content in build_files(kind).items():
                Path(folder, file).write_bytes(content)
            users = _USERS.get(kind, f"steps of the kind {kind}")
            environment = Environment(
                name=name,
                version=version,
                description=f"What {users} need, from the project's lock.",
                build=BuildContext(path=folder),
                inference_config=_ROUTES if kind == ONLINE else None,
            )
            # When somebody else was faster: the version is a hash, so theirs is the same.
            with suppress(ResourceExistsError):
                client.environments.create_or_update(environment)
    return found
