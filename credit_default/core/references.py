"""References of models by lineage: predictions name the model that made them, and the model holds its reference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from credit_default.core.drift import Reference
from credit_default.errors import HashMismatch, ModelError, NotThere

MODEL_ID_LENGTH = 16
MANIFEST_FILE = "manifest.json"
REFERENCE_FILE = "reference.parquet"
BINS_FILE = "bins.json"


class References:
    """References of the models below a folder, each read and verified once.

    Parameters
    ----------
    models
        Folder with one folder for each model, named by the first 16 digits of the sha256 of its model file.
    """

    def __init__(self, models: Path) -> None:
        self._models = models
        self._known: dict[str, Reference] = {}

    def of(self, model_sha256: str) -> Reference:
        """Give the reference of a model.

        Raises
        ------
        NotThere
            The model, or a file of it, is not in the folder.
        HashMismatch
            The folder holds another model, or a file is not the one that its manifest names.
        ModelError
            The manifest or the bins cannot be read, or the reference cannot be used.
        """
        if model_sha256 not in self._known:
            self._known[model_sha256] = self._read(model_sha256)
        return self._known[model_sha256]

    def _read(self, model_sha256: str) -> Reference:
        directory = self._models / model_sha256[:MODEL_ID_LENGTH]
        manifest = _parsed(_bytes(directory / MANIFEST_FILE), directory / MANIFEST_FILE)
        if manifest.get("model_sha256") != model_sha256:
            raise HashMismatch(
                f"{directory / MANIFEST_FILE} is of model {manifest.get('model_sha256')}, expected {model_sha256} as "
                "in the predictions; put the model that scored the day back in its place"
            )
        files = manifest.get("files", {})
        bins = _parsed(_verified(directory, BINS_FILE, files), directory / BINS_FILE)
        table = pq.read_table(BytesIO(_verified(directory, REFERENCE_FILE, files)))
        return Reference(table, bins)


def _verified(directory: Path, name: str, files: Mapping[str, str]) -> bytes:
    """Read a file whose hash the manifest names; what is checked is what is used."""
    content = _bytes(directory / name)
    found = hashlib.sha256(content).hexdigest()
    if files.get(name) != found:
        raise HashMismatch(
            f"{directory / name}: got sha256 {found}, expected {files.get(name)} as in {MANIFEST_FILE}; the file was "
            "changed after training; fetch the model again from the registry"
        )
    return content


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise NotThere(f"{path} is not there; expected the model that scored the day; fetch it from the registry")
    return path.read_bytes()


def _parsed(content: bytes, path: Path) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(content)
    except ValueError as error:
        raise ModelError(f"{path}: expected JSON; fetch the model again from the registry") from error
    return parsed
