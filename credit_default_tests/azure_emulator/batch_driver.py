"""What runs on the node of a batch job: the scoring script over mini-batches of files, as Azure ML's parallel run does.

A program of its own, started in the folder of the deployment's code. It knows the documented part of the contract:
``init()`` once, ``run(mini_batch)`` with a list of paths, mini-batches that are tried again, files that count as failed
when their mini-batch failed or returned too few results, and the error threshold. Microsoft's samples import what lies
beside their script, so that folder is on the path; nothing says that any other is, nor that anything of the project is
installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any


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

    _leave_only(options.script.resolve().parent)
    spec = importlib.util.spec_from_file_location("scoring_script", options.script)
    assert spec is not None
    assert spec.loader is not None
    script: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.init()
    mount = options.input.parent if options.input.is_file() else options.input
    found = [options.input] if options.input.is_file() else sorted(p for p in mount.rglob("*") if p.is_file())
    files = [file.relative_to(mount) for file in found]
    size = options.mini_batch_size
    failed, results = 0, []
    for start in range(0, len(files), size):
        batch = files[start : start + size]
        done = _tried(script, mount, batch, options.retries)
        failed += len(batch) - len(done)
        results += done
    if options.rows_to:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / options.rows_to).write_text("".join(f"{result}\n" for result in results))
    if 0 <= options.error_threshold < failed:
        sys.exit(f"Failed files: {failed}; the error threshold is {options.error_threshold}.")


def _leave_only(folder: Path) -> None:
    """Put the script's folder on the path, and take away the checkout, which this interpreter has as a package."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
    others = [entry for entry in sys.path if not Path(entry, "credit_default").exists()]
    sys.path[:] = [str(folder), *others]


def _tried(script: Any, mount: Path, batch: list[Path], retries: int) -> list[Any]:
    for attempt in range(retries + 1):
        folder = _mounted_again(mount, attempt) if attempt else mount
        try:
            return list(script.run([str(folder / file) for file in batch]))
        except Exception:  # noqa: BLE001 - whatever the script raises fails its mini-batch
            traceback.print_exc()
    return []


def _mounted_again(mount: Path, attempt: int) -> Path:
    """Return the same files below another path: a mini-batch may be tried again on another node."""
    again = mount.with_name(f"{mount.name}-{attempt}")
    if not again.exists():
        again.symlink_to(mount)
    return again


if __name__ == "__main__":
    main()
