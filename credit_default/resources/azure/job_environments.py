"""The environments that jobs run in: made from the project's own lock, one for each kind of step, and made once.

``environments/`` beside this module holds a Dockerfile and for each kind the packages that its steps need (``.in``)
and everything that those need, with hashes (``.txt``), in the versions of ``requirements.lock``; see ``make lock``.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from credit_default.resources.azure.targets import Kind

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


def build_files(kind: Kind) -> dict[str, bytes]:
    """Return what an image is built from: file name to content."""
    folder = files("credit_default.resources.azure") / "environments"
    return {
        "Dockerfile": (folder / "Dockerfile").read_bytes(),
        "requirements.txt": (folder / f"{kind}.txt").read_bytes(),
    }


def reference(kind: Kind) -> str:
    """Return ``name:version``; the version is a hash of what the image is built from."""
    digest = hashlib.sha256()
    for name, content in build_files(kind).items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"credit-card-default-{kind}:{digest.hexdigest()[:12]}"


def ensure(client: MLClient, kind: Kind) -> str:
    """Register the environment of a kind, unless this very one is there; return its reference."""
    from azure.ai.ml.entities import BuildContext, Environment
    from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

    found = reference(kind)
    name, _, version = found.partition(":")
    try:
        client.environments.get(name, version)
    except ResourceNotFoundError:
        with tempfile.TemporaryDirectory(prefix="credit-default-") as folder:
            for file, content in build_files(kind).items():
                Path(folder, file).write_bytes(content)
            described = f"What steps of the kind {kind} need, from the project's lock."
            environment = Environment(
                name=name, version=version, description=described, build=BuildContext(path=folder)
            )
            # When somebody else was faster: the version is a hash, so theirs is the same.
            with suppress(ResourceExistsError):
                client.environments.create_or_update(environment)
    return found
