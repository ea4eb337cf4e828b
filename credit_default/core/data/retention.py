"""Retention: the record of what was removed because the time for which it is kept was over.

The record is in the lake, ``retention/<yyyy-mm>.jsonl``, a line for each removal, and is written before anything is
removed. So whatever is gone without a line in it was removed by something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

from credit_default.core.plurals import plural


@dataclass(frozen=True)
class Removal:
    """One file, or one job's folder, that was removed.

    Attributes
    ----------
    kept_days
        For how long such things were kept at the time.
    id_prefixes
        Beginnings of the ids of predictions that were in it.
    data_version
        Of the table that was removed; empty for anything else.
    """

    key: str
    removed_at: datetime
    kept_days: int
    id_prefixes: tuple[str, ...] = ()
    data_version: str = ""

    def __str__(self) -> str:
        kept = plural(self.kept_days, "day")
        return f"{self.key} was removed by retention on {self.removed_at:%Y-%m-%d}, after {kept}"


def kept_until(days: int | None) -> date | None:
    """Return the last day on which what is made now is kept, or None for ever."""
    return None if days is None else (datetime.now(UTC) + timedelta(days=days)).date()


def as_lines(removals: Iterable[Removal]) -> bytes:
    """Write removals as they are kept."""
    rows = ({**asdict(one), "removed_at": one.removed_at.isoformat()} for one in removals)
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def from_lines(content: bytes) -> Iterator[Removal]:
    """Read a record; a line that is none of ours says nothing."""
    for line in content.splitlines():
        try:
            row = json.loads(line)
            moment = datetime.fromisoformat(row["removed_at"])
            yield Removal(
                key=str(row["key"]),
                removed_at=moment,
                kept_days=int(row["kept_days"]),
                id_prefixes=tuple(map(str, row["id_prefixes"])),
                data_version=str(row["data_version"]),
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            continue
