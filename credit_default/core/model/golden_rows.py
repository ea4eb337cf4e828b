"""A model's golden rows as a request to whatever is to score with it, and the answer held to what the training had."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from credit_default.core import lake, tables
from credit_default.core.model.model_folder import ModelFolder
from credit_default.core.schema import FEATURE_NAMES, PROBABILITY
from credit_default.errors import ModelError, SmokeTestFailed

#: Largest difference between a probability and the same one in training.
TOLERANCE = 1e-9


def read(folder: ModelFolder) -> pa.Table:
    """Read the golden rows of a model.

    Raises
    ------
    ModelError
        They are not the registered ones, or no table of golden rows.
    """
    content = folder.read(lake.GOLDEN_FILE)
    try:
        table = pq.read_table(BytesIO(content), columns=[*FEATURE_NAMES, PROBABILITY])
    except (pa.ArrowException, OSError) as error:
        raise ModelError(
            f"{folder.path / lake.GOLDEN_FILE}: expected golden rows of the train step; train again"
        ) from error
    return tables.with_categories(table)


def as_clients(golden: pa.Table) -> list[dict[str, Any]]:
    """Return the golden rows as the clients of a request, without ids.

    A deployment knows the request of a smoke test by these rows and does not collect it. A mark in the request would
    let every caller keep what they ask from being collected.
    """
    clients: list[dict[str, Any]] = golden.select(FEATURE_NAMES).to_pylist()
    return clients


def as_request(golden: pa.Table) -> bytes:
    """Return the body of a request to an online deployment, which does not collect it."""
    return json.dumps({"data": as_clients(golden)}, allow_nan=False).encode()


def held_to_answer(answer: bytes, golden: pa.Table, *, version: str, where: str) -> dict[str, Any]:
    """Hold what an online deployment answered to what the training had.

    Parameters
    ----------
    version
        Of the model that was to answer.
    where
        What answered, for the message.

    Raises
    ------
    SmokeTestFailed
        It is no answer, one of another version, or its probabilities are others.
    """
    try:
        told = json.loads(answer)
        answered = str(told["model_version"])
        probabilities = [float(prediction["probability_of_default"]) for prediction in told["predictions"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise SmokeTestFailed(
            f"{where} did not answer golden rows with predictions; look whether its scoring script is this project's"
        ) from None
    if answered != version:
        raise SmokeTestFailed(f"{where} answered with version {answered} of the model, expected version {version}")
    return check_against(probabilities, golden, where=where)


def check_against(probabilities: ArrayLike, golden: pa.Table, *, where: str) -> dict[str, Any]:
    """Hold probabilities of the golden rows, in their order, to those of the training.

    Returns
    -------
    ``rows``, ``largest_difference`` and the ``tolerance`` that it is within.

    Raises
    ------
    SmokeTestFailed
        A probability differs by more than `TOLERANCE`, or one is missing.
    """
    got, wanted = np.asarray(probabilities), golden[PROBABILITY].to_numpy()
    differences = np.abs(got - wanted) if len(got) == len(wanted) else np.array([])
    # A NaN is no small difference either.
    if not len(differences) or not differences.max() <= TOLERANCE:
        told = f"differ by {differences.max():.3g}" if len(differences) else f"are {len(got)} of {len(wanted)}"
        raise SmokeTestFailed(
            f"Golden rows, scored by {where}, {told}, expected at most {TOLERANCE:g}; the environment of the "
            "deployment scores differently from that of the training: look at the packages of both"
        )
    return {"rows": len(got), "largest_difference": float(differences.max()), "tolerance": TOLERANCE}
