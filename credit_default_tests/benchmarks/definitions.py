"""What loading the definitions costs beside `import dagster`, which no project on Dagster can avoid.

``python -m credit_default_tests.benchmarks.definitions [PAIRS]`` times whole processes, in pairs that take turns, so
that whatever else the machine does weighs on both sides of a ratio.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

TARGET = 1.2
PAIRS = 15


def seconds(statement: str, home: str) -> float:
    """Time a fresh process that runs one statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env={**os.environ, "CREDIT_DEFAULT_HOME": home})
    return time.perf_counter() - start


def measure(pairs: int) -> tuple[list[float], list[float]]:
    """Return the seconds of `import dagster` and of loading the definitions, pair by pair."""
    statements = ("import dagster", "import credit_default.definitions")
    times: dict[str, list[float]] = {statement: [] for statement in statements}
    with tempfile.TemporaryDirectory() as home:
        for statement in statements:
            seconds(statement, home)  # fills the caches of the file system and of byte code
        for number in range(pairs):
            for statement in statements if number % 2 else statements[::-1]:
                times[statement].append(seconds(statement, home))
    return times[statements[0]], times[statements[1]]


def main() -> None:
    dagster, ours = measure(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
    ratios = sorted(mine / theirs for mine, theirs in zip(ours, dagster, strict=True))
    ratio = statistics.median(ratios)
    print(f"import dagster                     {statistics.median(dagster):.2f} s (median of {len(dagster)})")
    print(f"import credit_default.definitions  {statistics.median(ours):.2f} s")
    print(f"ratio, median of the pairs         {ratio:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}); target {TARGET}")
    sys.exit(0 if ratio <= TARGET else 1)


if __name__ == "__main__":
    main()
