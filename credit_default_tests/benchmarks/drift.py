"""Time our whole drift step for one day against Evidently's ``DataDriftPreset`` on the same rows.

::

    python -m credit_default_tests.benchmarks.drift --rows 100000

Both start after the imports and end with the same kind of result: figures, verdicts and a page on disk. Ours reads
and verifies the model's reference, reads the day, adds PSI, CSI and our verdict, and writes the result as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from evidently import Report
from evidently.presets import DataDriftPreset

from credit_default.core import tables
from credit_default.core.data.sample import arrivals
from credit_default.core.model.model_folder import as_text
from credit_default.core.monitoring import evidently_reports
from credit_default.core.schema import CATEGORIES, FEATURE_NAMES, NUMBERS
from credit_default.steps import drift
from credit_default_tests.steps.days import Lake

DAY = "2026-01-01"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        clients = arrivals()
        drawn = np.random.default_rng(1).integers(0, clients.num_rows, given.rows)
        lake.day(DAY, clients.take(drawn), lake.model("benchmark"))
        took: dict[str, list[float]] = {"ours": [], "preset": []}
        # In turn, so that a slow moment of the machine hits both.
        for _ in range(given.times):
            for name, run in (("ours", _ours), ("preset", _preset)):
                started = time.process_time()
                run(lake)
                took[name].append(time.process_time() - started)
    ours, preset = median(took["ours"]), median(took["preset"])
    print(f"one day of {given.rows:,} rows, CPU seconds, median of {given.times}")
    print(f"our step                {ours:6.2f}")
    print(f"Evidently's preset      {preset:6.2f}")
    print(f"ratio                   {ours / preset:6.2f}")


def _ours(lake: Lake) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        drift.main(
            [
                *("--models", str(lake.root / "models"), "--registered", as_text(lake.registered)),
                *("--predictions", str(lake.root / "predictions")),
                *("--inference-data", str(lake.root / "inference_data")),
                *("--days", DAY, "--output", str(lake.root / "ours")),
            ]
        )
    assert (lake.root / "ours" / DAY / "drift.json").is_file()


def _preset(lake: Lake) -> None:
    reference = tables.read(next(lake.root.glob("models/*/reference.parquet")))
    current = tables.read(lake.root / "inference_data" / DAY / "inference_data.parquet")
    kinds = {name: "num" if name in NUMBERS else "cat" for name in FEATURE_NAMES}
    assert set(kinds) == {*NUMBERS, *CATEGORIES}
    preset = DataDriftPreset(num_method="wasserstein", cat_method="jensenshannon", num_threshold=0.1, cat_threshold=0.1)
    sides = [evidently_reports.dataset(table, kinds) for table in (current, reference)]
    Report([preset], include_tests=True).run(*sides).save_html(str(lake.root / "preset.html"))


if __name__ == "__main__":
    main()
