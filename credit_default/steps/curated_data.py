r"""Step: the training table, from the user's own files or the bundled table, and arrivals with a known outcome.

::

    python -m credit_default.steps.curated_data --landing LAKE/landing/curated \
        --inference-data LAKE/inference_data --outcomes LAKE/outcomes --output DIR

Writes ``curated_data.parquet`` and, when rows of own files were rejected, ``rejected.csv``. Failed checks are
reported, not raised: whoever started the step decides what is published.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa

from credit_default.core import tables
from credit_default.core.contract import write_rejected
from credit_default.core.curated import curate
from credit_default.core.landing_folder import list_landed
from credit_default.core.quality import curated_checks
from credit_default.steps._landing import REJECTED, unread
from credit_default.steps.reporting import Check, reporting

TABLE = "curated_data.parquet"


def main(arguments: Sequence[str] | None = None) -> None:
    """Put the training table together."""
    parser = argparse.ArgumentParser(description="Put the training table together.")
    parser.add_argument("--landing", type=Path, required=True, help="folder of own labelled files; may be absent")
    parser.add_argument("--inference-data", type=Path, required=True, help="daily inference_data; may be absent")
    parser.add_argument("--outcomes", type=Path, required=True, help="daily outcomes; may be absent")
    parser.add_argument("--output", type=Path, required=True, help="folder to write below")
    given = parser.parse_args(arguments)
    with reporting() as report:
        labelled = _labelled_days(given.inference_data, given.outcomes)
        landed = list_landed(given.landing)
        table, rejected, counts = curate(landed.files, labelled)
        counts["not_read"] = unread(counts["files"], landed.companions)
        data_version = tables.content_hash(table)
        tables.write(table, given.output / TABLE, data_version=data_version)
        files = {"table": TABLE}
        if rejected.num_rows:
            files["quarantine"] = REJECTED
            write_rejected(rejected, given.output / REJECTED)
        origins = ", ".join(f"{rows} {origin.replace('_', ' ')}" for origin, rows in counts["origins"].items() if rows)
        not_read = f"; not read: {counts['not_read']}" if counts["not_read"] else ""
        report.info(f"{counts['rows']} rows: {origins}{not_read}")
        checks = [
            Check(check.name, check.passed, check.description, check.severity, check.metadata)
            for check in curated_checks(table)
        ]
        report.stored(data_version=data_version, files=files, result=counts, checks=checks)


def _labelled_days(inference_data: Path, outcomes: Path) -> Iterator[tuple[date, pa.Table, pa.Table]]:
    """Days that have both rows and outcomes, oldest first."""
    for known in sorted(outcomes.glob("????-??-??/outcomes.parquet")):
        arrived = inference_data / known.parent.name / "inference_data.parquet"
        if arrived.is_file():
            yield date.fromisoformat(known.parent.name), tables.read(arrived), tables.read(known)


if __name__ == "__main__":
    main()
