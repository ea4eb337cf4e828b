"""Prepared data: the curated table dealt into parts, and the bins of its development part.

The newest labelled days are kept apart, as the part `RECENT`: a model is trained on what is older and compared with
another on these. Later, when there are newer ones, each client of theirs goes to the part that his hash always said.

A version is the hash of its content, so it never changes: the same rows give the same version, whenever and wherever
it is made, and nothing in it tells the time.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core import lake, tables
from credit_default.core.data.splits import DEVELOPMENT, PARTS, part_of
from credit_default.core.schema import AS_OF, CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default.core.statistics.bins import make_bins
from credit_default.errors import QualityError

RECENT = "recent"
#: One row in so many that have a day may be kept apart.
_SHARE = 5


@dataclass(frozen=True)
class Prepared:
    """One version of the prepared data.

    ``parts`` has a table for each of `PARTS`, and for `RECENT` if there is one, with the columns and the order of the
    curated one; ``bins`` is that of `credit_default.core.statistics.bins`; ``version`` has 32 hex digits.
    """

    parts: Mapping[str, pa.Table]
    bins: Mapping[str, Any]
    version: str
    manifest: Mapping[str, Any]

    def write(self, directory: Path) -> None:
        """Write a Parquet file for each part, the bins and the manifest."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, part in self.parts.items():
            tables.write(part, directory / lake.table_file(name), data_version=self.version)
        for name, content in ((lake.BINS_FILE, self.bins), (lake.MANIFEST_FILE, self.manifest)):
            (directory / name).write_text(as_text(content), encoding="utf-8")


def prepare(curated: pa.Table, *, curated_data_version: str, recent_rows: int = 0) -> Prepared:
    """Deal the curated table into parts by a hash of the client id, and bin the development part.

    Parameters
    ----------
    recent_rows
        Rows that the newest days should have together that are kept out of the training: whole days, as many as it
        takes, and never more than a fifth of all rows that have a day.

    Raises
    ------
    QualityError
        When a part would be empty: there are too few clients.
    """
    older, recent = _apart(curated, recent_rows)
    dealt = part_of(older.column(CLIENT_ID).to_pylist())
    parts = {name: older.filter(pa.array(dealt == name)) for name in PARTS}
    empty = [name for name, part in parts.items() if part.num_rows == 0]
    if empty:
        raise QualityError(
            f"{curated.num_rows} curated rows leave nothing for {' and '.join(empty)}: expected enough clients for "
            f"{len(PARTS)} parts (some hundreds at least); add rows to landing/curated"
        )
    bins = make_bins(parts[DEVELOPMENT], FEATURE_NAMES)
    if recent.num_rows:
        parts[RECENT] = recent
    described = {
        name: {
            "rows": part.num_rows,
            "target_rate": float(pc.mean(part.column(TARGET)).as_py()),
            "content_hash": tables.content_hash(part),
        }
        for name, part in parts.items()
    }
    content = {"parts": {name: part["content_hash"] for name, part in described.items()}, "bins": bins}
    version = hashlib.sha256(as_text(content).encode()).hexdigest()[:32]
    manifest = {
        "data_version": version,
        "curated_data_version": curated_data_version,
        "rows": curated.num_rows,
        "columns": curated.column_names,
        "parts": described,
    }
    return Prepared(parts, bins, version, manifest)


def _apart(curated: pa.Table, recent_rows: int) -> tuple[pa.Table, pa.Table]:
    """Split off the newest days."""
    days = Counter(curated.column(AS_OF).drop_null().to_pylist()) if AS_OF in curated.column_names else Counter()
    most, rows, since = days.total() // _SHARE, 0, None
    for day in sorted(days, reverse=True):
        if rows >= recent_rows or rows + days[day] > most:
            break
        rows, since = rows + days[day], day
    if since is None:
        return curated, curated.slice(0, 0)
    recent = pc.fill_null(pc.greater_equal(curated.column(AS_OF), pa.scalar(since)), False)
    return curated.filter(pc.invert(recent)), curated.filter(recent)


def as_text(content: Any) -> str:
    """JSON that is the same for the same content, and that refuses NaN."""
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
