"""Rows that were not taken, kept as they came: what quarantine holds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from credit_default.core.contract.rules import Broken, any_of
from credit_default.core.files.plain_columns import is_text
from credit_default.core.files.raw_file import MalformedRow, RawFile
from credit_default.core.files.row_sizes import row_sizes
from credit_default.core.printable import shortened
from credit_default.core.schema import SOURCE_FILE, SOURCE_ROW

REJECTED_SCHEMA = pa.schema(
    [
        (SOURCE_FILE, pa.string()),
        (SOURCE_ROW, pa.int64()),
        ("line", pa.int64()),
        ("reasons", pa.string()),
        ("row", pa.string()),
    ]
)
_SEPARATOR = "; "
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'
#: What becomes JSON at once, in bytes of values and names of columns.
_BATCH_BYTES = 16 << 20
#: Characters of a column's name that every row repeats at most.
_MAX_KEY = 80


@dataclass(frozen=True)
class _Refused:
    """Rows of a file that broke a rule, in their order, and its malformed ones."""

    name: str
    table: pa.Table
    rows: NDArray[np.int64]
    lines: NDArray[np.int64] | None
    broken: Broken
    malformed: Sequence[MalformedRow]

    def batches(self) -> Iterator[pa.Table]:
        keys = _keys(self.table.column_names)
        sizes = row_sizes(self.table.columns, self.table.num_rows) + sum(map(len, keys))
        sizes = np.concatenate([sizes, np.array([len(row.text) for row in self.malformed], np.int64)])
        order = np.argsort(np.concatenate([self.rows, np.array([row.row for row in self.malformed], np.int64)]))
        number = np.cumsum(sizes[order]) // _BATCH_BYTES
        for places in np.split(order, np.flatnonzero(np.diff(number)) + 1):
            judged = places[places < len(self.rows)]
            parts = [self._malformed(places[places >= len(self.rows)] - len(self.rows))]
            if len(judged):
                parts.append(self._judged(slice(judged[0], judged[-1] + 1), keys))
            yield pa.concat_tables(parts).sort_by(SOURCE_ROW)

    def _judged(self, part: slice, keys: Sequence[str]) -> pa.Table:
        rows = self.table.slice(part.start, part.stop - part.start)
        lines = pa.nulls(rows.num_rows, pa.int64()) if self.lines is None else pa.array(self.lines[part], pa.int64())
        reasons = pa.nulls(rows.num_rows, pa.string())
        for reason, mask in self.broken:
            other = pc.if_else(pa.array(mask[part]), pa.scalar(reason), pa.scalar(None, pa.string()))
            reasons = pc.coalesce(pc.binary_join_element_wise(reasons, other, _SEPARATOR), reasons, other)
        return self._part(pa.array(self.rows[part]), lines, reasons, _as_json(rows, keys))

    def _malformed(self, places: NDArray[np.int64]) -> pa.Table:
        bad = [self.malformed[place] for place in places]
        texts = pa.array([json.dumps({"text": row.text}, ensure_ascii=False) for row in bad], pa.string())
        rules = pa.array([row.rule for row in bad], pa.string())
        return self._part([row.row for row in bad], [row.line for row in bad], rules, texts)

    def _part(self, rows: Any, lines: Any, reasons: pa.Array, texts: pa.Array) -> pa.Table:
        file = pa.repeat(pa.scalar(self.name), len(reasons))
        return pa.table([file, rows, lines, reasons, texts], schema=REJECTED_SCHEMA)


class Rejected:
    """Rows that were not taken, of some files: as they came, until they are written."""

    def __init__(self) -> None:
        self._files: list[_Refused] = []

    def add(self, raw: RawFile, broken: Broken) -> None:
        """Add the rows of a file that broke a rule, and its malformed ones."""
        refused = any_of(broken, raw.table.num_rows)
        table = raw.table if refused.all() else raw.table.filter(pa.array(refused))
        lines = None if raw.lines is None else raw.lines[refused]
        masks = [(reason, mask[refused]) for reason, mask in broken if mask.any()]
        self._files.append(_Refused(raw.name, table, raw.rows[refused], lines, masks, raw.malformed))

    @property
    def num_rows(self) -> int:
        """Count the rows."""
        return sum(self.by_file().values())

    def by_file(self) -> dict[str, int]:
        """Count the rows of each file."""
        return {file.name: len(file.rows) + len(file.malformed) for file in self._files}

    def by_reason(self) -> Counter[str]:
        """Count the rows that broke each rule."""
        counts: Counter[str] = Counter()
        for file in self._files:
            counts.update({reason: int(mask.sum()) for reason, mask in file.broken})
            counts.update(row.rule for row in file.malformed)
        return counts

    def batches(self) -> Iterator[pa.Table]:
        """Give the rows in the order of files and rows (`REJECTED_SCHEMA`), a batch of bounded size at a time."""
        for file in self._files:
            if len(file.rows) or file.malformed:
                yield from file.batches()

    def table(self) -> pa.Table:
        """Give all rows at once, for few of them."""
        return pa.concat_tables([REJECTED_SCHEMA.empty_table(), *self.batches()])


def _keys(names: Sequence[str]) -> list[str]:
    """Give each column its name in JSON; a long one is short, with its position, since every row repeats it."""
    short = (
        name if len(name) <= _MAX_KEY else f"{shortened(name)} (column {place})"
        for place, name in enumerate(names, start=1)
    )
    return [json.dumps(name, ensure_ascii=False) for name in short]


def _as_json(rows: pa.Table, keys: Sequence[str]) -> pa.Array:
    """Each row as a JSON object, column by column: a million rows may be rejected at once."""
    members = [
        pc.binary_join_element_wise(key, _json_values(column), ": ")
        for key, column in zip(keys, rows.columns, strict=True)
    ]
    text = pc.binary_join_element_wise("{", pc.binary_join_element_wise(*members, ", "), "}", "")
    return pa.concat_arrays(text.chunks)


def _json_values(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type) and not pc.any(pc.match_substring_regex(column, _NEEDS_ESCAPE)).as_py():
        quoted = pc.binary_join_element_wise('"', column.cast(pa.string()), '"', "")
        return pc.fill_null(quoted, "null")
    if pa.types.is_integer(column.type):
        return pc.fill_null(column.cast(pa.string()), "null")
    if pa.types.is_floating(column.type):
        numbers = column.cast(pa.float64())
        text = numbers.cast(pa.string())
        # JSON knows no NaN and no infinity.
        quoted = pc.binary_join_element_wise('"', text, '"', "")
        return pc.fill_null(pc.if_else(pc.is_finite(numbers), text, quoted), "null")
    texts = [json.dumps(_plain(value), ensure_ascii=False, default=str) for value in column]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _plain(value: pa.Scalar[Any]) -> Any:
    """Return a value as Python has it; Parquet's dates and times reach further, and are kept as their numbers then."""
    try:
        return value.as_py()
    except Exception:  # noqa: BLE001 - an unknown time zone is a KeyError, and no value loses a day
        return getattr(value, "value", f"a {shortened(str(value.type))} that cannot be shown")
