"""What runs on the node of a batch job: the scoring script over mini-batches of files, as Azure ML's parallel run does.

A program of its own, started in the folder of the deployment's code. It knows the documented part of the contract:
``init()`` once, ``run(mini_batch)`` with a list of paths, mini-batches that are tried again, files that count as failed
when their mini-batch failed or returned too few results, and the error threshold.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

from credit_default.core.plurals import plural


def main() -> None:
    """Score every file of a folder; exit with 1 when more failed than may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--mini-batch-size", type=int, required=True, help="files")
    parser.add_argument("--error-threshold", type=int, required=True, help="files that may fail; -1 for any number")
    parser.add_argument("--retries", type=int, required=True)
    parser.add_argument("--rows-to", help="name of the file that gets the results, if they are kept")
    options = parser.parse_args()

    sys.path.insert(0, str(Path.cwd()))
    spec = importlib.util.spec_from_file_location("scoring_script", options.script)
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.init()
    files = [options.input] if options.input.is_file() else sorted(p for p in options.input.rglob("*") if p.is_file())
    size = options.mini_batch_size
    failed, results = 0, []
    for start in range(0, len(files), size):
        batch = [str(file) for file in files[start : start + size]]
        done = _tried(script, batch, options.retries)
        failed += len(batch) - len(done)
        results += done
    if options.rows_to:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / options.rows_to).write_text("".join(f"{result}\n" for result in results))
    if 0 <= options.error_threshold < failed:
        sys.exit(
            f"The run has {plural(failed, 'failed file')}, more than the error threshold of {options.error_threshold}."
        )


def _tried(script: Any, batch: list[str], retries: int) -> list[Any]:
    for _ in range(retries + 1):
        try:
            return list(script.run(batch))
        except Exception:  # noqa: BLE001 - whatever the script raises fails its mini-batch
            traceback.print_exc()
    return []


if __name__ == "__main__":
    main()
