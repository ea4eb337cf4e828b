"""Scoring: Parquet streamed into the classifier, beside ``mlflow.pyfunc`` on CSV mini-batches with the same model.

The second is what a no-code batch deployment does with a folder of CSV files: each file is a mini-batch that is
read by pandas, handed to the model, and appended to a CSV of results.

    python -m credit_default_tests.benchmarks.scoring [--rows 300000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from credit_default.core import tables
from credit_default.core.data import sample
from credit_default.core.model import model_directory
from credit_default.core.schema import CLIENT_ID, NUMBERS
from credit_default.core.scoring.scoring import score_file
from credit_default_tests import trained

MINI_BATCH_ROWS = 10_000


def synthetic(rows: int) -> pa.Table:
    """Real arrivals drawn with replacement, their amounts jittered so that rows differ."""
    source = np.random.default_rng(0)
    arrivals = sample.arrivals().select(tables.schema().names)
    table = arrivals.take(pa.array(source.integers(0, arrivals.num_rows, rows)))
    for name in NUMBERS:
        at = table.schema.get_field_index(name)
        jittered = np.round(table[name].to_numpy() * source.uniform(0.9, 1.1, rows), 2)
        table = table.set_column(at, table.schema.field(at), pa.array(jittered))
    at = table.schema.get_field_index(CLIENT_ID)
    ids = pa.array(np.arange(rows)).cast(pa.string())
    return table.set_column(at, pa.field(CLIENT_ID, pa.string(), nullable=False), ids)


def ours(model: model_directory.LoadedModel, source: Path, destination: Path) -> None:
    score_file(
        model,
        source,
        destination,
        as_of=date(2026, 1, 1),
        model_name="credit-card-default",
        model_version="1",
        input_data_version="benchmark",
        run_id="benchmark",
        scored_at=datetime.now(UTC),
    )


def pyfunc(directory: Path, mini_batches: list[Path], destination: Path) -> None:
    import mlflow.pyfunc
    import pandas as pd

    model = mlflow.pyfunc.load_model(str(directory))
    numbers = dict.fromkeys(NUMBERS, "float64")
    inputs = model.metadata.get_input_schema().input_names()
    for number, path in enumerate(mini_batches):
        rows = pd.read_csv(path, dtype=numbers, usecols=[CLIENT_ID, *inputs])
        found = pd.DataFrame(
            {CLIENT_ID: rows[CLIENT_ID], "probability_of_default": np.asarray(model.predict(rows[inputs]))[:, 1]}
        )
        found.to_csv(destination, mode="a", header=not number, index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        trained.save(root / "model")
        model = model_directory.load(root / "model", trained.registered(root / "model"))
        table = synthetic(options.rows)
        tables.write(table, root / "rows.parquet")
        mini_batches = []
        for start in range(0, options.rows, MINI_BATCH_ROWS):
            mini_batches.append(root / f"{start:09d}.csv")
            table.slice(start, MINI_BATCH_ROWS).to_pandas().to_csv(mini_batches[-1], index=False)
        import mlflow.pyfunc  # noqa: F401 - imported before the clock starts, for both

        seconds: dict[str, list[float]] = {"ours": [], "pyfunc": []}
        for _ in range(options.repeats):
            for name, run in {
                "ours": lambda: ours(model, root / "rows.parquet", root / "ours.parquet"),
                "pyfunc": lambda: pyfunc(root / "model", mini_batches, root / "pyfunc.csv"),
            }.items():
                (root / "pyfunc.csv").unlink(missing_ok=True)
                started = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - started)
        for name, measured in seconds.items():
            median = statistics.median(measured)
            print(f"{name:8} {median:7.2f} s  {options.rows / median:10,.0f} rows/s")
        ratios = [theirs / mine for mine, theirs in zip(seconds["ours"], seconds["pyfunc"], strict=True)]
        print(f"ratio    {statistics.median(ratios):7.2f} times faster (median of {options.repeats} pairs)")


if __name__ == "__main__":
    main()
