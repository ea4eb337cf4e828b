r"""Step: Evidently's summary of the development part beside the test part, as a page.

::

    python -m credit_default.steps.data_quality_report --prepared LAKE/prepared/<version> --output DIR

Writes ``report.html``.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from credit_default.core import lake, tables
from credit_default.core.data.splits import DEVELOPMENT, TEST
from credit_default.core.monitoring.evidently_reports import summary
from credit_default.core.schema import FEATURE_NAMES, TARGET
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting


def main(arguments: Sequence[str] | None = None) -> None:
    """Summarise one version of the prepared data."""
    parser = argparse.ArgumentParser(description="Summarise the development part beside the test part.")
    parser.add_argument("--prepared", type=Path, required=True, help="folder of one version of the prepared data")
    parser.add_argument("--output", type=Path, required=True, help="folder to write below")
    given = parser.parse_args(arguments)
    with reporting(given.output) as report:
        files = {part: given.prepared / lake.table_file(part) for part in (DEVELOPMENT, TEST)}
        parts = {part: tables.read(path) for part, path in files.items()}
        html = summary(parts[TEST], parts[DEVELOPMENT], [*FEATURE_NAMES, TARGET])
        given.output.mkdir(parents=True, exist_ok=True)
        (given.output / lake.REPORT_FILE).write_text(html, encoding="utf-8")
        # Evidently numbers its charts anew each time, so the page's own hash would say nothing.
        prepared_version = tables.data_version_of(files[DEVELOPMENT])
        data_version = hashlib.sha256(f"data_quality_report {prepared_version}".encode()).hexdigest()[:32]
        result = {
            "prepared_data_version": prepared_version,
            **{f"{part}_rows": table.num_rows for part, table in parts.items()},
            "features": len(FEATURE_NAMES),
            **{f"{part}_missing_share": _missing_share(table) for part, table in parts.items()},
        }
        report.stored(data_version=data_version, files={"report": lake.REPORT_FILE}, result=result)


def _missing_share(table: pa.Table) -> float:
    """Share of feature cells without a value."""
    missing = sum(table.column(name).null_count for name in FEATURE_NAMES)
    return float(missing / max(table.num_rows * len(FEATURE_NAMES), 1))


if __name__ == "__main__":
    run(main)
