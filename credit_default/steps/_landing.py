"""What the two steps share that turn a day's landing folder into a typed table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from credit_default.core import tables
from credit_default.core.contract import Accepted, Dataset, accept, write_rejected
from credit_default.core.files import landing_files, sha256_of
from credit_default.core.plurals import plural
from credit_default.errors import CreditDefaultError, NotThere, UnreadableFile
from credit_default.steps._daily import day_list, refuse_malformed
from credit_default.steps.reporting import Reporter

REJECTED = "rejected.csv"


def daily_arguments(description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read ``--landing``, ``--days`` (a list of texts) and ``--output``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--landing", type=Path, required=True, help="folder with one folder of files for each day")
    parser.add_argument("--days", type=day_list, required=True, help="days to take in, as 2026-01-01,2026-01-02")
    parser.add_argument("--output", type=Path, required=True, help="folder to write below")
    return parser.parse_args(arguments)


def take_in(
    report: Reporter,
    dataset: Dataset,
    given: argparse.Namespace,
    *,
    file_name: str,
    figures: Callable[[pa.Table], Mapping[str, Any]] = lambda _: {},
) -> None:
    """Store each day that can be made and refuse the others, each with its reason.

    Parameters
    ----------
    given
        See `daily_arguments`.
    file_name
        Name of a day's table, below ``<output>/<day>``.
    figures
        What else to say about a day's table.
    """
    for day in given.days:
        try:
            accepted = _accept_day(given.landing, day, dataset)
        except CreditDefaultError as error:
            report.refused(day, error)
            continue
        except Exception as error:  # noqa: BLE001 - a file that we did not think of must not take the other days along
            # Its message may quote a cell, so only its kind is told.
            told = f"reading {given.landing / day} ended in {type(error).__name__}, a defect of this program"
            report.refused(day, UnreadableFile(f"{told}; please report it with the shape of the file"))
            continue
        data_version = tables.content_hash(accepted.table)
        files = {"table": f"{day}/{file_name}"}
        tables.write(accepted.table, given.output / files["table"], data_version=data_version)
        if accepted.rejected.num_rows:
            files["quarantine"] = f"{day}/{REJECTED}"
            write_rejected(accepted.rejected, given.output / files["quarantine"])
        result = {**accepted.counts, **figures(accepted.table)}
        of_files = plural(len(result["files"]), "file")
        report.info(f"{day}: {result['accepted']} of {plural(result['rows'], 'row')} accepted, from {of_files}")
        report.stored(partition=day, data_version=data_version, files=files, result=result)


def _accept_day(landing: Path, day: str, dataset: Dataset) -> Accepted:
    refuse_malformed(day)
    folder = landing / day
    paths = landing_files(folder)
    if not paths:
        state = "is empty" if folder.is_dir() else "is not there"
        raise NotThere(f"nothing landed: {folder} {state}; put CSV or Parquet files into it")
    accepted = accept(paths, dataset=dataset)
    # By which a file that is edited later is found, even where the row in question stayed the same.
    files = {path.name: {**accepted.counts["files"][path.name], "sha256": sha256_of(path)} for path in paths}
    return replace(accepted, counts={**accepted.counts, "files": files})
