r"""Step: drift of days against the reference of the model that scored each of them.

::

    python -m credit_default.steps.drift --models LAKE/models --registered SHA256:MANIFEST_SHA256 \
        --predictions LAKE/predictions --inference-data LAKE/inference_data --days 2026-01-01,2026-01-02 --output DIR

Writes ``<day>/drift.json`` and ``<day>/report.html``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from credit_default.core import model_folder, tables
from credit_default.core.drift import SCORE, Drift, measure, without_rows
from credit_default.core.references import References
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES
from credit_default.errors import CreditDefaultError, ModelError, NotThere
from credit_default.steps._daily import parser_of, refuse_malformed, write_result
from credit_default.steps.reporting import reporting

_OF_THE_DAY = ("model_name", "model_version", "model_sha256")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the days that were asked for."""
    parser = parser_of(
        "Measure the drift of days against the reference of the model that scored them.",
        models="folder of model directories",
        predictions="daily predictions",
        inference_data="daily inference_data",
    )
    parser.add_argument(
        "--registered",
        type=model_folder.read_text,
        required=True,
        help="what the registry says of each model: the sha256 of its file and of its manifest, SHA256:SHA256,...",
    )
    given = parser.parse_args(arguments)
    with reporting() as report:
        references = References(given.models, given.registered)
        for day in given.days:
            try:
                drift, identity = _measured(day, given.predictions, given.inference_data, references)
            except CreditDefaultError as error:
                report.refused(day, error)
                continue
            files = {"drift": f"{day}/drift.json", "report": f"{day}/report.html"}
            result = drift.as_json(**identity)
            data_version = write_result(given.output / files["drift"], result)
            (given.output / files["report"]).write_text(drift.html, encoding="utf-8")
            overall = result["overall"]
            report.info(
                f"{day}: {overall['n_drifted_features']} of {overall['n_features']} features drifted, "
                f"{len(overall['violating_features'])} in violation"
            )
            report.stored(partition=day, data_version=data_version, files=files, result=result)


def _measured(
    day: str, predictions_folder: Path, inference_folder: Path, references: References
) -> tuple[Drift, dict[str, Any]]:
    refuse_malformed(day)
    predictions_file = predictions_folder / day / "predictions.parquet"
    if not predictions_file.is_file():
        raise NotThere(f"{day} has no predictions: {predictions_file} is not there; score the day first")
    predictions = tables.read(predictions_file)
    identity: dict[str, Any] = {
        "partition": day,
        **{name: _one(predictions, name, day) for name in _OF_THE_DAY},
        "predictions_data_version": tables.data_version_of(predictions_file),
    }
    if predictions.num_rows == 0:
        return without_rows(), identity
    current = _scored(day, predictions, tables.read(inference_folder / day / "inference_data.parquet"))
    return measure(references.of(identity["model_sha256"]), current), identity


def _scored(day: str, predictions: pa.Table, rows: pa.Table) -> pa.Table:
    """Features of a day and the score that each row got."""
    if not rows.column(CLIENT_ID).equals(predictions.column(CLIENT_ID)):
        raise NotThere(
            f"{day} has no predictions of its present rows: got {predictions.num_rows} predictions of other clients "
            f"than the {rows.num_rows} rows of inference_data, expected one for each row in order; score the day again"
        )
    return rows.select(FEATURE_NAMES).append_column(SCORE, predictions.column(SCORE))


def _one(predictions: pa.Table, name: str, day: str) -> str | None:
    """Give what all predictions of a day say, None for a day without rows."""
    found = predictions.column(name).unique().to_pylist()
    if len(found) > 1:
        raise ModelError(f"the predictions of {day} have {len(found)} values of {name}, expected one; score it again")
    return str(found[0]) if found else None


if __name__ == "__main__":
    main()
