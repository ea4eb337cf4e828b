r"""Step: drift of days against the reference of the model that scored each of them.

::

    python -m credit_default.steps.drift --models LAKE/models --registered SHA256:MANIFEST_SHA256 \
        --predictions LAKE/predictions --inference-data LAKE/inference_data --days 2026-01-01,2026-01-02 --output DIR

Writes ``<day>/drift.json`` and ``<day>/report.html``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from credit_default.core import lake, tables
from credit_default.core.model import model_folder
from credit_default.core.monitoring.drift import SCORE, Drift, measure, without_rows
from credit_default.core.monitoring.references import References
from credit_default.core.plurals import plural
from credit_default.core.schema import CLIENT_ID
from credit_default.errors import NotThere
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting
from credit_default.steps._daily import common_value, each_day, parser_of, write_result

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
    with reporting(given.output) as report:
        references = References(given.models, given.registered)

        def store(day: str) -> None:
            drift, identity = _measured(day, given.predictions, given.inference_data, references)
            files = {"drift": f"{day}/{lake.DRIFT_FILE}", "report": f"{day}/{lake.REPORT_FILE}"}
            result = drift.as_json(**identity)
            data_version = write_result(given.output / files["drift"], result)
            (given.output / files["report"]).write_text(drift.html, encoding="utf-8")
            report.info(f"{day}: {_summary(result)}")
            report.stored(partition=day, data_version=data_version, files=files, result=result)

        each_day(report, given.days, store)


def _measured(
    day: str, predictions_folder: Path, inference_folder: Path, references: References
) -> tuple[Drift, dict[str, Any]]:
    predictions_file = predictions_folder / day / lake.table_file(lake.PREDICTIONS)
    if not predictions_file.is_file():
        raise NotThere(f"{day} has no predictions: {predictions_file} is not there; score the day first")
    predictions = tables.read(predictions_file)
    identity: dict[str, Any] = {
        "partition": day,
        **{name: common_value(predictions, name) for name in _OF_THE_DAY},
        "predictions_data_version": tables.data_version_of(predictions_file),
    }
    if predictions.num_rows == 0:
        return without_rows(), identity
    reference = references.of(identity["model_sha256"])
    rows_file = inference_folder / day / lake.table_file(lake.INFERENCE_DATA)
    rows = tables.read(rows_file)
    # Those of the model's reference: a model may be older than a feature.
    features = [name for name in reference.kinds if name != SCORE]
    tables.refuse_older(rows_file, rows.column_names, features)
    return measure(reference, _scored(day, predictions, rows, features)), identity


def _scored(day: str, predictions: pa.Table, rows: pa.Table, features: Sequence[str]) -> pa.Table:
    """Features of a day and the score that each row got."""
    if not rows.column(CLIENT_ID).equals(predictions.column(CLIENT_ID)):
        got, expected = plural(predictions.num_rows, "prediction"), plural(rows.num_rows, "row")
        raise NotThere(
            f"{day} has no predictions of its present rows: got {got} of other clients than the {expected} of "
            "inference_data, expected one for each row in order; score the day again"
        )
    return rows.select(features).append_column(SCORE, predictions.column(SCORE))


def _summary(result: Mapping[str, Any]) -> str:
    overall = result["overall"]
    if not result["n_rows"]:
        return str(overall["note"])
    drifted = f"{overall['n_drifted_features']} of {overall['n_features']} features drifted"
    return f"{drifted}, {len(overall['violating_features'])} in violation"


if __name__ == "__main__":
    run(main)
