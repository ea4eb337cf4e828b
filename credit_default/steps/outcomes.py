"""Step: the outcomes that arrived become one typed table a day, the day being the one they judge.

::

    python -m credit_default.steps.outcomes --landing LAKE/landing/outcomes --days 2026-01-01,2026-01-02 --output DIR

Writes ``<day>/outcomes.parquet`` (``client_id``, ``default_payment_next_month``) and, when rows were rejected,
``<day>/rejected.csv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core import lake
from credit_default.core.schema import TARGET
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting
from credit_default.steps._landing import daily_arguments, ingest


def main(arguments: Sequence[str] | None = None) -> None:
    """Take in the days that were asked for."""
    given = daily_arguments("Turn the outcomes that arrived into one typed table a day.", arguments)
    with reporting(given.output) as report:
        ingest(report, "outcomes", given, file_name=lake.table_file(lake.OUTCOMES), figures=_figures)


def _figures(table: pa.Table) -> dict[str, Any]:
    return {"target_rate": pc.mean(table[TARGET]).as_py()}


if __name__ == "__main__":
    run(main)
