r"""Step: the curated table becomes development, calibration and test parts, and bins of the development part.

::

    python -m credit_default.steps.prepared_data --curated LAKE/curated_data/curated_data.parquet --output DIR

Writes ``development.parquet``, ``calibration.parquet``, ``test.parquet``, ``bins.json`` and ``manifest.json`` below
``prepared/``, and ``recent.parquet`` if the newest days are kept apart. Failed checks are reported, not raised: whoever
started the step decides what is published.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from credit_default.core import lake, tables
from credit_default.core.data.prepared import prepare
from credit_default.core.data.quality import prepared_checks
from credit_default.core.data.splits import PARTS
from credit_default.pipes.program import run
from credit_default.pipes.reporting import Check, reporting


def main(arguments: Sequence[str] | None = None) -> None:
    """Deal, bin and check."""
    parser = argparse.ArgumentParser(description="Deal the curated table into parts and bin the development part.")
    parser.add_argument("--curated", type=Path, required=True, help="the curated table, a Parquet file")
    parser.add_argument("--output", type=Path, required=True, help="folder to write below")
    parser.add_argument(
        "--recent-rows", type=int, default=0, help="rows of the newest days kept out of training; 0: none (default)"
    )
    given = parser.parse_args(arguments)
    with reporting(given.output) as report:
        curated = tables.read(given.curated)
        made = prepare(
            curated, curated_data_version=tables.data_version_of(given.curated), recent_rows=given.recent_rows
        )
        made.write(given.output / lake.PREPARED)
        checks = [
            Check(check.name, check.passed, check.description, check.severity, check.metadata)
            # The newest days may well differ from the others: that is what they are kept apart to show.
            for check in prepared_checks({name: made.parts[name] for name in PARTS}, made.bins)
        ]
        counted = ", ".join(f"{part.num_rows} {name}" for name, part in made.parts.items())
        report.info(f"version {made.version}: {counted}")
        report.stored(data_version=made.version, files={"prepared": lake.PREPARED}, result=made.manifest, checks=checks)


if __name__ == "__main__":
    run(main)
