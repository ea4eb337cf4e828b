"""Opens a model folder: every file is held to the manifest, and the manifest to the registry, before one is parsed.

A program that can change a file of the folder can change the manifest beside it. So the hashes that everything is
checked against come from outside, from the registry, and are an argument of opening a folder (`Expectation`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credit_default.core import lake
from credit_default.core.files.landing_folder import sha256_of
from credit_default.core.stored_json import read_object
from credit_default.errors import DamagedFile, HashMismatch, ModelError, NotThere, StorageError

#: How many hex digits of the sha256 name a model.
MODEL_ID_LENGTH = 16
#: Tag of a registered version with the sha256 of its manifest, and one that versions have only since they have that.
MANIFEST_TAG, _YOUNGER_TAG = "manifest_sha256", "trained_at"
#: How the hash of a manifest is written that the registry does not know.
UNKNOWN = "none"
_REMEDY = "fetch the model again from the registry, or train and register anew"


@dataclass(frozen=True)
class Expectation:
    """Hashes that the registry holds of a model folder.

    Attributes
    ----------
    sha256
        Of the model file.
    manifest_sha256
        Of the manifest; None for a version from before the registry had a tag for it, whose manifest is held to the
        model file alone.
    """

    sha256: str
    manifest_sha256: str | None

    @classmethod
    def of(cls, sha256: str, manifest_sha256: str) -> Expectation:
        """Return what options or variables say; `UNKNOWN` stands for a manifest that the registry does not know."""
        return cls(sha256, None if manifest_sha256 == UNKNOWN else manifest_sha256)

    @property
    def manifest_text(self) -> str:
        """The hash of the manifest as an option or a variable says it."""
        return self.manifest_sha256 or UNKNOWN


def has_lost_tag(tags: Mapping[str, str]) -> bool:
    """Whether somebody removed the hash of the manifest from the tags of a version."""
    return not tags.get(MANIFEST_TAG) and _YOUNGER_TAG in tags


def as_text(expectations: Mapping[str, Expectation]) -> str:
    """Return what the registry says about several models as one option; `read_text` reads it."""
    pairs = (f"{one.sha256}:{one.manifest_text}" for one in expectations.values())
    return ",".join(pairs) or UNKNOWN


def read_text(text: str) -> dict[str, Expectation]:
    """Return what `as_text` wrote, by the sha256 of the model file."""
    pairs = [pair.split(":") for pair in text.split(",") if pair and pair != UNKNOWN]
    return {sha256: Expectation.of(sha256, manifest) for sha256, manifest in pairs}


@dataclass(frozen=True)
class ModelFolder:
    """A model folder that is the registered one; what is read of it was held to its manifest."""

    path: Path
    #: How messages name the folder.
    where: str
    manifest: Mapping[str, Any]
    #: The manifest as it was read.
    content: bytes

    def read(self, name: str) -> bytes:
        """Read a file; what is checked is what is returned, even if the file changes meanwhile.

        Raises
        ------
        HashMismatch
            The manifest does not name the file, or it is another one.
        """
        expected = self.manifest["files"].get(name)
        content = _bytes(self.path / name)
        found = hashlib.sha256(content).hexdigest()
        if found != expected:
            raise _mismatch(f"{self.where}/{name}", found, expected, f"in {lake.MANIFEST_FILE}")
        return content

    def read_object(self, name: str) -> dict[str, Any]:
        """Read a file that holds a JSON object."""
        try:
            return read_object(self.read(name), f"{self.where}/{name}", _REMEDY)
        except DamagedFile as error:
            raise ModelError(str(error)) from None


def open_folder(directory: str | Path, expectation: Expectation, *, where: str = "") -> ModelFolder:
    """Open a model folder, provided that every file of it is the one that was registered.

    Files that the manifest does not name are never used.

    Parameters
    ----------
    where
        How messages name the folder; its path by default.

    Raises
    ------
    NotThere
        There is no model in this folder, or a file of it is gone.
    HashMismatch
        A file is another one. Nothing but the manifest was parsed, and that only if it is the registered one.
    ModelError
        The manifest cannot be used.
    """
    root = Path(directory)
    if not root.is_dir():
        raise NotThere(f"{root} is not there; expected a model folder that the train step wrote")
    where = where or str(root)
    content = _bytes(root / lake.MANIFEST_FILE)
    manifest = read_manifest(content, expectation, f"{where}/{lake.MANIFEST_FILE}")
    for name, found in differences(root, manifest["files"]):
        raise _mismatch(f"{where}/{name}", found, manifest["files"][name], f"in {lake.MANIFEST_FILE}")
    return ModelFolder(root, where, manifest, content)


def differences(folder: Path, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each file that is not the one that a manifest names, with the sha256 that it has.

    Raises
    ------
    NotThere
        A file is gone.
    """
    for name, expected in files.items():
        found = sha256_of(_existing(folder / name))
        if found != expected:
            yield name, found


def read_manifest(content: bytes, expectation: Expectation, where: str) -> dict[str, Any]:
    """Read a manifest, provided that it is the registered one.

    Parameters
    ----------
    where
        What was read, for the message.

    Raises
    ------
    HashMismatch
        It is another one, or one of another model.
    ModelError
        It is damaged, or names files outside its folder.
    """
    found = hashlib.sha256(content).hexdigest()
    if expectation.manifest_sha256 is not None and found != expectation.manifest_sha256:
        raise _mismatch(where, found, expectation.manifest_sha256, "registered")
    try:
        manifest = read_object(content, where, _REMEDY, model_sha256=str, files=dict)
        files: Mapping[str, Any] = manifest["files"]
        for name, expected in files.items():
            if not isinstance(expected, str) or not name or lake.checked_key(name) == lake.MANIFEST_FILE:
                raise ModelError(f"{where} is damaged: got no sha256 for a file of the folder; {_REMEDY}")
    except (DamagedFile, StorageError) as error:
        raise ModelError(str(error)) from None
    for sha256 in (manifest["model_sha256"], files.get(lake.MODEL_FILE)):
        if sha256 != expectation.sha256:
            got = ascii(sha256).strip("'")[:64]
            raise HashMismatch(f"{where} is of model {got}, expected {expectation.sha256} as registered; {_REMEDY}")
    return manifest


def threshold_of(folder: ModelFolder) -> float:
    """Return the probability from which on a model calls a default.

    Raises
    ------
    ModelError
        It is no number from 0 to 1.
    """
    threshold = folder.manifest.get("threshold")
    # A NaN is not between any two numbers.
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise ModelError(
            f"{folder.where}/{lake.MANIFEST_FILE}: the threshold is no number from 0 to 1, so nothing can be decided "
            f"by it; {_REMEDY}"
        )
    return float(threshold)


def _mismatch(where: str, found: str, expected: str | None, source: str) -> HashMismatch:
    return HashMismatch(
        f"{where}: got sha256 {found}, expected {expected} as {source}; the file was changed or damaged after "
        f"training; {_REMEDY}"
    )


def _bytes(path: Path) -> bytes:
    return _existing(path).read_bytes()


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise NotThere(f"{path} is not there; expected a model folder that the train step wrote; {_REMEDY}")
    return path
