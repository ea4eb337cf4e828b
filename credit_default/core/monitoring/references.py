"""References of models by lineage: predictions name the model that made them, and the model holds its reference."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from credit_default.core import lake
from credit_default.core.model.model_folder import MODEL_ID_LENGTH, Expectation, open_folder
from credit_default.core.monitoring.drift import Reference
from credit_default.errors import ModelError, NotThere


class References:
    """References of the models below a folder, each read and verified once.

    Parameters
    ----------
    models
        Folder with one folder for each model, named by the first 16 digits of the sha256 of its model file.
    registered
        What the registry says about each model, by the sha256 of its model file.
    """

    def __init__(self, models: Path, registered: Mapping[str, Expectation]) -> None:
        self._models = models
        self._registered = registered
        self._known: dict[str, Reference] = {}

    def of(self, model_sha256: str) -> Reference:
        """Give the reference of a model.

        Raises
        ------
        NotThere
            The registry has no such model, or a file of it is not in the folder.
        HashMismatch
            The folder holds another model, or a file is not the one that was registered.
        ModelError
            The manifest or the bins cannot be read, or the reference cannot be used.
        """
        if model_sha256 not in self._known:
            self._known[model_sha256] = self._read(model_sha256)
        return self._known[model_sha256]

    def _read(self, model_sha256: str) -> Reference:
        expectation = self._registered.get(model_sha256)
        if expectation is None:
            raise NotThere(
                f"the predictions name model {ascii(model_sha256)[1:-1][:64]}, which is none of the registered "
                "versions that scored these days; score the day again"
            )
        folder = open_folder(self._models / model_sha256[:MODEL_ID_LENGTH], expectation)
        bins = folder.read_object(lake.BINS_FILE)
        content = folder.read(lake.REFERENCE_FILE)
        try:
            return Reference(pq.read_table(BytesIO(content)), bins)
        except (pa.ArrowException, KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelError(
                f"{folder.path}: bins or reference are not what the train step writes ({type(error).__name__}); "
                "train and register the model anew"
            ) from error
