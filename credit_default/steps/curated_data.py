r"""Step: the training table, from the user's own files or the bundled table, and arrivals with a known outcome.

::

    python -m credit_default.steps.curated_data --landing LAKE/landing/curated \
        --inference-data LAKE/inference_data --outcomes LAKE/outcomes --output DIR

Writes ``curated_data.parquet`` and, when rows of own files were rejected, ``rejected.csv``. Failed checks are
reported, not raised: whoever started the step decides what is published.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa

from credit_default.core import lake, tables
from credit_default.core.contract.contract import write_rejected
from credit_default.core.data.curated import curate
from credit_default.core.data.quality import curated_checks
from credit_default.core.files.landing_folder import list_landed
from credit_default.core.plurals import plural
from credit_default.core.schema import CLIENT_ID, TARGET
from credit_default.core.sentences import sentence
from credit_default.errors import CreditDefaultError
from credit_default.pipes.program import run
from credit_default.pipes.reporting import Check, reporting
from credit_default.steps._daily import try_day
from credit_default.steps._landing import unread

TABLE = lake.table_file(lake.CURATED_DATA)


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the training table together."""
    parser = argparse.ArgumentParser(description="Put the training table together.")
    parser.add_argument("--landing", type=Path, required=True, help="folder of own labelled files; may be absent")
    parser.add_argument("--inference-data", type=Path, required=True, help="daily inference_data; may be absent")
    parser.add_argument("--outcomes", type=Path, required=True, help="daily outcomes; may be absent")
    parser.add_argument("--output", type=Path, required=True, help="folder to write below")
    given = parser.parse_args(arguments)
    with reporting(given.output) as report:
        labelled, left_out = _labelled_days(given.inference_data, given.outcomes)
        for day, error in left_out.items():
            report.warning(sentence(f"{day} is left out of the training data: {error}"))
        landed = list_landed(given.landing)
        table, rejected, counts = curate(landed.files, labelled)
        counts["not_read"] = unread(counts["files"], landed.companions)
        result = {**counts, "labelled_days_left_out": {day: str(error) for day, error in left_out.items()}}
        data_version = tables.content_hash(table)
        tables.write(table, given.output / TABLE, data_version=data_version)
        files = {"table": TABLE}
        if rejected.num_rows:
            files["quarantine"] = lake.REJECTED_FILE
            write_rejected(rejected, given.output / lake.REJECTED_FILE)
        origins = ", ".join(f"{rows} {origin.replace('_', ' ')}" for origin, rows in counts["origins"].items() if rows)
        not_read = f"; not read: {counts['not_read']}" if counts["not_read"] else ""
        report.info(f"{plural(counts['rows'], 'row')}: {origins}{not_read}")
        checks = [
            Check(check.name, check.passed, check.description, check.severity, check.metadata)
            for check in curated_checks(table)
        ]
        report.stored(data_version=data_version, files=files, result=result, checks=checks)


def _labelled_days(
    inference_data: Path, outcomes: Path
) -> tuple[list[tuple[date, pa.Table, pa.Table]], dict[str, CreditDefaultError]]:
    """Days that have both rows and outcomes, oldest first, and why others that do cannot be used."""
    known_file = lake.table_file(lake.OUTCOMES)
    labelled: list[tuple[date, pa.Table, pa.Table]] = []
    left_out: dict[str, CreditDefaultError] = {}

    def read(day: str) -> None:
        arrived = inference_data / day / lake.table_file(lake.INFERENCE_DATA)
        if arrived.is_file():
            rows = tables.read(arrived)
            tables.refuse_older(arrived, rows.column_names, tables.schema().names)
            known = tables.read(outcomes / day / known_file).select([CLIENT_ID, TARGET])
            labelled.append((date.fromisoformat(day), rows, known))

    for day in sorted(path.parent.name for path in outcomes.glob(f"????-??-??/{known_file}")):
        error = try_day(day, read)
        if error is not None:
            left_out[day] = error
    return labelled, left_out


if __name__ == "__main__":
    run(main)
