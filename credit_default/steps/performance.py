r"""Step: predictions of days against their outcomes.

::

    python -m credit_default.steps.performance --predictions LAKE/predictions --outcomes LAKE/outcomes \
        --days 2026-01-01,2026-01-02 --output DIR

Writes ``<day>/performance.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from credit_default.core import lake, tables
from credit_default.core.monitoring.performance import measure_performance
from credit_default.core.plurals import plural, verb
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting
from credit_default.steps._daily import common_value, each_day, parser_of, write_result


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the days that were asked for."""
    parser = parser_of(
        "Measure predictions of days against their outcomes.",
        predictions="daily predictions",
        outcomes="daily outcomes",
    )
    given = parser.parse_args(arguments)
    with reporting(given.output) as report:

        def measure(day: str) -> None:
            result = _measured(day, given.predictions, given.outcomes)
            name = f"{day}/{lake.PERFORMANCE_FILE}"
            data_version = write_result(given.output / name, result)
            of_all = plural(result["n_predictions"], "prediction")
            report.info(
                f"{day}: {result['n_joined']:,} of {of_all} {verb(result['n_joined'], 'has', 'have')} an outcome"
            )
            if result["warning"]:
                report.warning(f"{day}: {result['warning']}")
            report.stored(partition=day, data_version=data_version, files={"performance": name}, result=result)

        each_day(report, given.days, measure)


def _measured(day: str, predictions_folder: Path, outcomes_folder: Path) -> dict[str, Any]:
    predictions_file = predictions_folder / day / lake.table_file(lake.PREDICTIONS)
    outcomes_file = outcomes_folder / day / lake.table_file(lake.OUTCOMES)
    predictions = tables.read(predictions_file)
    outcomes = tables.read(outcomes_file)
    return {
        "partition": day,
        **{name: common_value(predictions, name) for name in ("model_name", "model_version", "model_sha256")},
        "predictions_data_version": tables.data_version_of(predictions_file),
        "outcomes_data_version": tables.data_version_of(outcomes_file),
        **measure_performance(predictions, outcomes, day=day),
    }


if __name__ == "__main__":
    run(main)
