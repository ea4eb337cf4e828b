"""How the predictions of a day turned out, once its outcomes are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core.contract import made_ids
from credit_default.core.plurals import plural, verb
from credit_default.core.schema import CLIENT_ID, TARGET
from credit_default.core.statistics.bins import to_floats
from credit_default.core.statistics.metrics import evaluate, score_bands

PROBABILITY = "probability_of_default"
DECISION = "predicted_default"
#: Cuts between the score bands: fixed, so that a band means the same on every day.
BAND_EDGES = (0.05, 0.10, 0.15, 0.20, 0.30, 0.40, 0.60)

#: Of a day's outcomes, the share that should have a prediction at least: below it the ids are not the same ids.
MIN_JOINED_SHARE = 0.1

_NOTHING_JOINED = "no prediction has an outcome"
_ONE_CLASS = "all joined clients are of one class"
_TOO_FEW = "the joined rows do not determine it"
_NO_DECISION = "no client was predicted to default"


def measure_performance(predictions: pa.Table, outcomes: pa.Table, *, day: str | None = None) -> dict[str, Any]:
    """Join predictions and outcomes by client and measure, as plain JSON without NaN.

    Parameters
    ----------
    predictions
        `CLIENT_ID`, `PROBABILITY` and `DECISION` of one day.
    outcomes
        `CLIENT_ID` and `TARGET` (0 or 1) of the same day, each client once.
    day
        That day, when either table may be of the time before ids were written as now (`core.contract.made_ids`).

    Returns
    -------
    ``n_predictions``, ``n_outcomes``, ``n_joined``, ``n_predictions_without_outcome``,
    ``n_outcomes_without_prediction``; ``joined_share`` of the outcomes (null when there are none) and ``warning``, what
    to look at when that is below `MIN_JOINED_SHARE` (else null); ``metrics`` as of `evaluate`; ``undefined``, the
    reason for each of them that is null; ``bands``, bad rate beside mean probability in fixed bands.
    """
    scored, known = predictions.column(CLIENT_ID), outcomes.column(CLIENT_ID)
    if day is not None:
        scored, known = made_ids.join_keys(scored, day), made_ids.join_keys(known, day)
    position = pc.index_in(scored, value_set=known.combine_chunks())
    joined = predictions.filter(position.is_valid())
    labels = to_floats(outcomes.column(TARGET).take(position.drop_null())).astype(np.int8)
    probabilities = to_floats(joined.column(PROBABILITY))
    decided = joined.column(DECISION).cast(pa.bool_()).to_numpy().astype(bool)
    # The cut is read off the decisions themselves: they were made with the model's own threshold, on these rows.
    threshold = float(probabilities[decided].min()) if decided.any() else 1.1
    metrics = evaluate(labels, probabilities, threshold)
    # It is one client's probability here, not the model's threshold.
    del metrics["threshold"]
    bands = score_bands(labels, probabilities, BAND_EDGES)
    unpredicted = pc.index_in(known, value_set=scored.combine_chunks()).null_count
    predicted = outcomes.num_rows - unpredicted
    share = predicted / outcomes.num_rows if outcomes.num_rows else None
    return {
        "n_predictions": predictions.num_rows,
        "n_outcomes": outcomes.num_rows,
        "n_joined": joined.num_rows,
        "n_predictions_without_outcome": predictions.num_rows - joined.num_rows,
        "n_outcomes_without_prediction": unpredicted,
        "joined_share": share,
        "warning": None if share is None or share >= MIN_JOINED_SHARE else _warning(predicted, outcomes.num_rows),
        "metrics": metrics,
        "undefined": {name: _why(name, metrics) for name, value in metrics.items() if value is None},
        "bands": [{"rows" if key == "n" else key: value for key, value in band.items()} for band in bands],
    }


def _why(name: str, metrics: dict[str, Any]) -> str:
    if metrics["n"] == 0:
        return _NOTHING_JOINED
    if name == "precision":
        return _NO_DECISION
    return _ONE_CLASS if metrics["bad_rate"] in {0.0, 1.0} else _TOO_FEW


def _warning(predicted: int, outcomes: int) -> str:
    return (
        f"{predicted:,} of {plural(outcomes, 'outcome')} {verb(predicted, 'has', 'have')} a "
        "prediction; expected most of them. Look whether outcomes and scored files name clients by the same ids (a "
        "file without an id column gets ids that no outcome has), and whether the outcomes are in the folder of the "
        "day that was scored."
    )
