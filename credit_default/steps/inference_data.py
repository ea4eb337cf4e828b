r"""Step: the files that arrived for scoring become one typed table a day; what breaks the contract is kept apart.

::

    python -m credit_default.steps.inference_data --landing LAKE/landing/inference/batch \
        --days 2026-01-01,2026-01-02 --output DIR

Writes ``<day>/inference_data.parquet`` and, when rows were rejected, ``<day>/rejected.csv``.
"""

from __future__ import annotations

from collections.abc import Sequence

from credit_default.core import lake
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting
from credit_default.steps._landing import daily_arguments, ingest


def main(arguments: Sequence[str] | None = None) -> None:
    """Take in the days that were asked for."""
    given = daily_arguments("Turn the files that arrived for scoring into one typed table a day.", arguments)
    with reporting(given.output) as report:
        ingest(report, "inference", given, file_name=lake.table_file(lake.INFERENCE_DATA))


if __name__ == "__main__":
    run(main)
