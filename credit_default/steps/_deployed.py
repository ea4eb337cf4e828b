"""What a deployment on Azure ML tells its scoring script by the environment, and the model that it gives it."""

from __future__ import annotations

import os
from pathlib import Path

from credit_default.core import lake
from credit_default.core.model import model_directory
from credit_default.core.model.model_directory import LoadedModel
from credit_default.core.model.model_folder import Expectation
from credit_default.errors import NotThere, SettingsError
from credit_default.pipes.process_variables import (
    MANIFEST_SHA256_VARIABLE,
    MODEL_DIR_VARIABLE,
    MODEL_SHA256_VARIABLE,
)
from credit_default.pipes.program import end_of_imports


def given(variable: str) -> str:
    """Return a variable of the deployment.

    Raises
    ------
    SettingsError
        It is not set.
    """
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SettingsError(f"{variable} is not set; the deployment of a model sets it for its scoring script")
    return value


def registered_model() -> LoadedModel:
    """Load the model, once it is known to be the registered one.

    Raises
    ------
    NotThere
        Azure ML put no model of ours there.
    ModelError
        The model is another one, or not to be trusted.
    """
    end_of_imports()
    expectation = Expectation.of(given(MODEL_SHA256_VARIABLE), given(MANIFEST_SHA256_VARIABLE))
    return model_directory.load(_model_folder(), expectation)


def _model_folder() -> Path:
    """Return the folder of the model, wherever Azure ML put it.

    Raises
    ------
    NotThere
        Azure ML put no model of ours there.
    """
    root = Path(given(MODEL_DIR_VARIABLE))
    manifests = sorted(root.rglob(lake.MANIFEST_FILE))
    if not manifests:
        raise NotThere(f"{root} holds no {lake.MANIFEST_FILE}; deploy a model that the train step wrote")
    return manifests[0].parent
