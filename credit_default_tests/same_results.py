"""Whether two lakes hold the same results, as far as two trainings and two runs can make the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from credit_default.core.plurals import plural

#: Largest difference between two figures that are the same.
SAME = 1e-9
#: Tables of a day and where their files land; results of a day.
TABLES = {
    "predictions": "landing/inference/batch",
    "inference_data": "landing/inference/batch",
    "outcomes": "landing/outcomes",
}
RESULTS = ("drift", "performance")
#: What two fits of one model, or two runs, cannot share: files of models are never the same twice.
OF_THE_FIT = {"model_sha256", "model_id", "mlflow_run_id", "files", "predictions_data_version"}
OF_THE_RUN = ["prediction_id", "model_sha256", "run_id", "scored_at"]
_PROBABILITY = "probability_of_default"


def compare(here: Path, there: Path) -> int:
    """Print what two lakes of the same sample have in common; returns how much differs.

    Days that only one of them has are named: a person may have scored days of their own, or played fewer. Returns 0
    when there is no first lake, or it holds another sample.
    """
    marker = "landing/.sample.json"
    if not (here / marker).is_file() or (here / marker).read_text() != (there / marker).read_text():
        print(f"There is no demo of the same days in {here} to compare with; `make demo` plays one.")
        return 0
    for alone in in_one_lake(here, there):
        print(f"not compared: {alone}")
    found = list(in_lakes(here, there))
    for difference in found:
        print(f"differs: {difference}")
    days = sorted(_days(here, "predictions") & _days(there, "predictions"))
    rows = sum(table_of(there, f"predictions/{day}").num_rows for day in days)
    told = "differs from" if found else "is the same as"
    print(
        f"Compared with {here}: {plural(len(days), 'day')}, {plural(rows, 'prediction')} to {SAME:g}, "
        "rows taken in, drift, performance "
        f"and content hash of the model: this {told} what this machine made."
    )
    return len(found)


def in_lakes(here: Path, there: Path) -> Iterator[str]:
    """Name everything in which two lakes differ, of the days that both have or should have."""
    for table, landing in TABLES.items():
        in_both = _days(here, table) & _days(there, table)
        for day in sorted(in_both):
            yield from in_tables(table_of(here, f"{table}/{day}"), table_of(there, f"{table}/{day}"), f"{table}/{day}")
        landed = _days(here, landing) & _days(there, landing)
        yield from (f"{table}/{day}: not in both, although it has landed in both" for day in sorted(landed - in_both))
    for result in RESULTS:
        for day in sorted(_days(here, result) & _days(there, result)):
            key = f"{result}/{day}/{result}.json"
            yield from in_figures(*(json.loads((lake / key).read_text()) for lake in (here, there)), key)
    hashes = [newest_model(lake)["content_hash"] for lake in (here, there)]
    if hashes[0] != hashes[1]:
        yield f"content hash of the model: {hashes[0]} here, {hashes[1]} there"


def in_one_lake(here: Path, there: Path) -> Iterator[str]:
    """Name the days that only one of two lakes has."""
    for table in (*TABLES, *RESULTS):
        days = {"here": _days(here, table), "there": _days(there, table)}
        for one, other in (("here", "there"), ("there", "here")):
            alone = sorted(days[one] - days[other])
            if alone:
                yield f"{table} of {', '.join(alone)}, only {one}"


def _days(lake: Path, folder: str) -> set[str]:
    return {path.name for path in (lake / folder).glob("*-*-*") if path.is_dir()}


def in_tables(here: pa.Table, there: pa.Table, path: str) -> Iterator[str]:
    """Name in what two tables differ, but for what two runs cannot share."""
    if here.schema != there.schema or here.num_rows != there.num_rows:
        yield f"{path}: {here.num_rows} rows here, {there.num_rows} there, or other columns"
        return
    own = [name for name in [*OF_THE_RUN, _PROBABILITY] if name in here.column_names]
    if not here.drop_columns(own).equals(there.drop_columns(own)):
        yield f"{path}: other values"
    if _PROBABILITY in here.column_names:
        pairs = zip(here[_PROBABILITY].to_pylist(), there[_PROBABILITY].to_pylist(), strict=True)
        largest = max((abs(a - b) for a, b in pairs), default=0.0)
        if not largest <= SAME:
            yield f"{path}: probabilities differ by up to {largest:.3g}"


def in_figures(here: Any, there: Any, path: str = "") -> Iterator[str]:
    """Name each place where two results differ; figures differ from 1e-9 on."""
    if isinstance(here, dict) and isinstance(there, dict):
        for name in sorted({*here, *there} - OF_THE_FIT):
            yield from in_figures(here.get(name), there.get(name), f"{path}/{name}")
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for number, pair in enumerate(zip(here, there, strict=True)):
            yield from in_figures(*pair, f"{path}/{number}")
    elif isinstance(here, float) and isinstance(there, float):
        if not math.isclose(here, there, rel_tol=0, abs_tol=SAME):
            yield f"{path}: {here} here, {there} there"
    elif here != there:
        yield f"{path}: {here} here, {there} there"


def table_of(lake: Path, folder: str) -> pa.Table:
    """Return the one table of a folder."""
    (path,) = (lake / folder).glob("*.parquet")
    return pq.read_table(path)


def newest_model(lake: Path) -> dict[str, Any]:
    """Return what is written about the model that was trained last."""
    model_id = json.loads((lake / "models/newest.json").read_text())["model_id"]
    return json.loads((lake / f"models/{model_id}/manifest.json").read_text())
