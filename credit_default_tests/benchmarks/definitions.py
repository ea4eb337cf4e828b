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

from credit_default_tests.settings_of_azure import AZURE_SETTINGS

TARGET = 1.2
PAIRS = 15


#: What is timed, and the environment that it is timed in.
CASES = (
    ("import dagster", "local"),
    ("import credit_default.definitions", "local"),
    ("import credit_default.definitions", "development"),
)


def seconds(statement: str, environment: str, home: str) -> float:
    """Time a fresh process that runs one statement."""
    settings = {**AZURE_SETTINGS, "CREDIT_DEFAULT_HOME": home, "CREDIT_DEFAULT_ENV": environment}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, env={**os.environ, **settings})
    return time.perf_counter() - start


def measure(pairs: int) -> list[list[float]]:
    """Return the seconds of each case, in rounds that take turns."""
    times: dict[tuple[str, str], list[float]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as home:
        for case in CASES:
            seconds(*case, home)  # fills the caches of the file system and of byte code
        for number in range(pairs):
            for case in CASES if number % 2 else CASES[::-1]:
                times[case].append(seconds(*case, home))
    return list(times.values())


def main() -> None:
    dagster, *ours = measure(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)
    print(f"import dagster                     {statistics.median(dagster):.2f} s (median of {len(dagster)})")
    worst = 0.0
    for environment, mine in zip(("local", "development"), ours, strict=True):
        ratios = sorted(own / theirs for own, theirs in zip(mine, dagster, strict=True))
        ratio = statistics.median(ratios)
        worst = max(worst, ratio)
        print(
            f"import credit_default.definitions  {statistics.median(mine):.2f} s in {environment}; "
            f"ratio, median of the pairs: {ratio:.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}); target {TARGET}"
        )
    sys.exit(0 if worst <= TARGET else 1)


if __name__ == "__main__":
    main()
