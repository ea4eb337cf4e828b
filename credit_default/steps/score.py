"""Score the accepted clients of some days with a registered model."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from credit_default.core import lake, tables
from credit_default.core.model import model_directory
from credit_default.core.plurals import plural
from credit_default.core.scoring.scoring import score_file
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting
from credit_default.steps import _models
from credit_default.steps._daily import day_list, each_day


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the step: every day by itself; a day that cannot be scored does not stop the others."""
    options = _arguments(arguments)
    with reporting(options.output) as report:
        model = model_directory.load(options.model, _models.expectation(options))
        scored_at = datetime.now(UTC)

        def score(day: str) -> None:
            source = options.inference_data / day / lake.table_file(lake.INFERENCE_DATA)
            path = f"{day}/{lake.table_file(lake.PREDICTIONS)}"
            summary = score_file(
                model,
                source,
                options.output / path,
                as_of=date.fromisoformat(day),
                model_name=options.model_name,
                model_version=options.model_version,
                input_data_version=tables.data_version_of(source),
                run_id=options.run_id,
                scored_at=scored_at,
            )
            report.info(f"{day}: {plural(summary['rows'], 'row')} scored in {summary['seconds']:.2f} s")
            report.stored(
                partition=day, data_version=summary["data_version"], result=summary, files={"predictions": path}
            )

        each_day(report, options.days, score)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    _models.add_model(parser)
    parser.add_argument("--model-name", required=True, help="name of the registered model")
    parser.add_argument("--model-version", required=True, help="its registered version")
    parser.add_argument("--run-id", required=True, help="kept with every prediction")
    parser.add_argument("--inference-data", type=Path, required=True, help="folder with a sub-folder for each day")
    parser.add_argument("--days", type=day_list, required=True, help="YYYY-MM-DD, separated by commas")
    parser.add_argument("--output", type=Path, required=True, help="folder to write <day>/predictions.parquet to")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
