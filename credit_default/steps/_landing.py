"""What the two steps share that turn a day's landing folder into a typed table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from credit_default.core import lake, tables
from credit_default.core.contract import acceptance
from credit_default.core.contract.contract import Accepted, Dataset, accept, write_rejected
from credit_default.core.files.landing_folder import list_landed
from credit_default.core.plurals import plural, verb
from credit_default.core.printable import printable, shortlist
from credit_default.core.schema import ID_COLUMNS
from credit_default.errors import NotThere
from credit_default.pipes.reporting import Reporter
from credit_default.steps._daily import day_list, each_day


def daily_arguments(description: str, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read ``--landing``, ``--days`` (a list of texts) and ``--output``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--landing", type=Path, required=True, help="folder with one folder of files for each day")
    parser.add_argument("--days", type=day_list, required=True, help="days to take in, as 2026-01-01,2026-01-02")
    parser.add_argument("--output", type=Path, required=True, help="folder to write below")
    return parser.parse_args(arguments)


def ingest(
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

    def store(day: str) -> None:
        accepted = _accept_day(given.landing, day, dataset)
        data_version = tables.content_hash(accepted.table)
        files = {"table": f"{day}/{file_name}"}
        tables.write(accepted.table, given.output / files["table"], data_version=data_version)
        if accepted.rejected.num_rows:
            files["quarantine"] = f"{day}/{lake.REJECTED_FILE}"
            write_rejected(accepted.rejected, given.output / files["quarantine"])
        verdict = acceptance.evaluate_share(accepted.counts["rows"], accepted.counts["accepted"])
        result = {**accepted.counts, **verdict, **figures(accepted.table)}
        say = {"ok": report.info, "warning": report.warning, "error": report.error}[result["acceptance"]]
        say(f"{day}: {_summary(result)}")
        if result["id_like_columns"]:
            report.warning(f"{day}: {_without_ids(result)}")
        report.stored(partition=day, data_version=data_version, files=files, result=result)

    each_day(report, given.days, store)


def unread(files: Mapping[str, Mapping[str, Any]], companions: Mapping[str, str]) -> str:
    """Name the files of a landing folder that were not read, each with the reason; empty when all were."""
    same = {name: f"has the same bytes as {about['same_as']}" for name, about in files.items() if "same_as" in about}
    reasons = {**same, **companions}
    return shortlist((f"{name} ({reason})" for name, reason in sorted(reasons.items())), len(reasons))


def _summary(result: Mapping[str, Any]) -> str:
    read = sum("same_as" not in about for about in result["files"].values())
    counts = f"{result['accepted']} of {plural(result['rows'], 'row')} accepted, from {plural(read, 'file')}"
    if result["not_read"]:
        counts += f"; not read: {result['not_read']}"
    if result["acceptance"] == "ok":
        return counts
    if not result["rows"]:
        return f"{counts}; expected rows below the header. Land the day again, whole."
    rule, rows = next(iter(result["by_reason"].items()))
    return (
        f"{counts}; expected at least {acceptance.MIN_ACCEPTED_SHARE:.0%}. Most often ({plural(rows, 'time')}): "
        f"{rule}. The rejected rows are kept with their reasons in quarantine: mend them "
        "where they come from, and land the day again."
    )


def _without_ids(result: Mapping[str, Any]) -> str:
    count, rows = result["id_like_columns_count"], result["rows_without_client_id"]
    shown = shortlist(result["id_like_columns"], count)
    return (
        f"no id column in some files, and {shown} {verb(count, 'looks', 'look')} like one; expected "
        f"{', '.join(ID_COLUMNS[:-1])} or {ID_COLUMNS[-1]}. {rows:,} of {plural(result['accepted'], 'accepted row')} "
        f"{verb(rows, 'has an id', 'have ids')} made of day, file and row, which no outcome has. Name the column as "
        "expected and land the file again."
    )


def _accept_day(landing: Path, day: str, dataset: Dataset) -> Accepted:
    landed = list_landed(landing, day)
    if not landed.files:
        folder = landing / day
        state = "is empty" if folder.is_dir() else "is not there"
        if landed.companions:
            state = f"holds no data yet, only {unread({}, landed.companions)}"
        raise NotThere(f"nothing landed: {printable(str(folder))} {state}; put CSV or Parquet files into it.")
    accepted = accept(landed.files, dataset=dataset, day=day, root=landing)
    not_read = unread(accepted.counts["files"], landed.companions)
    return replace(accepted, counts={**accepted.counts, "not_read": not_read})
