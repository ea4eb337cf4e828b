"""Anything that may lie in a landing folder: hypothesis strategies for names, kinds of files, columns and values."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import reject
from hypothesis import strategies as st

from credit_default.core.schema import BY_NAME, CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default_tests.strategies import client, csv_text, texts_like_numbers

#: Values of cells that no message may repeat.
WORD, NUMBER = "Zyxwelt", 74185296
#: Stands in a Parquet file until its bytes are replaced by some that are no UTF-8.
_NAME = "QxNameOfAColumn"


@dataclass(frozen=True)
class Entry:
    """Something to put into a landing folder.

    ``name`` may hold bytes that are not UTF-8 (PEP 383). ``content`` is None for what is no regular file. ``rows`` is
    how many rows are in the file; None when it was damaged, so that nobody knows.
    """

    name: str
    kind: str
    content: bytes | None = None
    rows: int | None = None

    def put(self, folder: Path, outside: Path) -> None:
        """Put it into a folder; links lead to a file outside the landing folder, or nowhere."""
        path = folder / self.name
        if os.path.lexists(path):
            return
        if self.content is not None:
            path.write_bytes(self.content)
        elif self.kind == "folder":
            path.mkdir()
        elif self.kind == "pipe":
            os.mkfifo(path)
        elif self.kind == "socket":
            with socket.socket(socket.AF_UNIX) as server:
                # A socket's path is at most 107 bytes long, which a temporary folder may exceed.
                here = os.open(folder, os.O_RDONLY)
                try:
                    server.bind(f"/proc/self/fd/{here}/{self.name[:20]}")
                finally:
                    os.close(here)
        else:
            path.symlink_to({"link": outside, "dangling link": outside / "gone", "device": "/dev/zero"}[self.kind])


def names() -> st.SearchStrategy[str]:
    """Draw a name of a file, mostly one that is to be read."""
    usual = st.tuples(st.sampled_from(["clients", "01", "a b"]), st.sampled_from([".csv", ".parquet"]))
    stems = st.sampled_from(["clients", "\u00e9t\u00e9", "x\udce9", "a\nb", "\x1b[31m", "'; --", "a" * 200])
    endings = st.sampled_from([".csv", ".parquet", ".CSV", ".xlsx", "", ".csv.md5", ".done", ".csv.tmp"])
    odd = ["desktop.ini", "Thumbs.db", ".hidden.csv", "_SUCCESS", "-rf.csv", "con.csv", "%2e.csv", "a\\b.csv"]
    unusual = st.tuples(stems, endings).map("".join) | st.sampled_from(odd)
    return st.integers(0, 3).flatmap(lambda number: usual.map("".join) if number else unusual)


def cells() -> st.SearchStrategy[str | None]:
    """Draw the text of a cell."""
    usual = ["1", "30", "0", "-1", "1001.0", "1.001e3", "no_delay", "male", "true", "", None, f"{NUMBER}", WORD]
    odd = [f"{WORD}\n{WORD}", f'"{WORD}', f"{WORD}\x00", f"{NUMBER}.5", "1e400", "\ufffd", f" {WORD}\u202e ", "9" * 400]
    return st.sampled_from(usual) | st.sampled_from(odd) | texts_like_numbers()


@st.composite
def columns(draw: st.DrawFn, dataset: str) -> list[str]:
    """Draw the columns of a file: those that are needed, and sometimes fewer, more, or one twice."""
    needed = [CLIENT_ID, TARGET] if dataset == "outcomes" else [CLIENT_ID, *FEATURE_NAMES]
    found = list(needed)
    change = draw(
        st.sampled_from(["none"] * 12 + ["id", "id", "drop", "twice", "more", "shuffled", "none at all", "wide"])
    )
    if change == "id":
        found[0] = draw(st.sampled_from(["id", "ID", "Client_ID", "customer no", "segment", ""]))
    elif change == "drop":
        found.remove(draw(st.sampled_from(needed)))
    elif change == "twice":
        found.append(draw(st.sampled_from(needed)))
    elif change == "more":
        found += draw(st.lists(st.sampled_from(["note", "n\u00f6te", "a,b", 'q"', "x\ny", " ", "\x07"]), unique=True))
    elif change == "shuffled":
        found = draw(st.permutations(found))
    elif change == "none at all":
        found = []
    elif change == "wide":
        found += [f"extra {number}" for number in range(draw(st.sampled_from([30, 990, 3_000])))]
    return found


@st.composite
def entries(draw: st.DrawFn, dataset: str) -> Entry:
    """Draw something to put into a landing folder."""
    name = draw(names())
    kinds = ["link", "dangling link", "device", "pipe", "folder", "socket"]
    kind = draw(st.sampled_from(["file"] * 54 + kinds))
    if kind != "file":
        return Entry(name, kind)
    make = _parquet if name.endswith(".parquet") else _csv
    content, rows = draw(make(dataset))
    damage = draw(st.sampled_from(["none"] * 17 + ["cut", "flip", "empty", "noise"]))
    if damage == "none":
        return Entry(name, kind, content, rows)
    if damage == "cut":
        content = content[: draw(st.integers(0, max(len(content) - 1, 0)))]
    elif damage == "flip":
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        content = content[:place] + bytes([draw(st.integers(0, 255))]) + content[place + 1 :]
    else:
        content = b"" if damage == "empty" else draw(st.binary(max_size=300))
    return Entry(name, kind, content)


def _rows(draw: st.DrawFn, names: Sequence[str]) -> list[dict[str, Any]]:
    """Real clients, some of whose cells hold something else."""
    rows = []
    for number in range(draw(st.integers(0, 4))):
        row = {**client(draw(st.integers(0, 3))), TARGET: number % 2, **dict.fromkeys(set(names) - {CLIENT_ID}, WORD)}
        row |= {name: value for name, value in client(number % 3).items() if name in names}
        row |= {TARGET: number % 2}
        if names:
            row |= draw(st.dictionaries(st.sampled_from(list(names)), cells(), max_size=3))
        rows.append(row)
    return rows


@st.composite
def _csv(draw: st.DrawFn, dataset: str) -> tuple[bytes, int | None]:
    names = draw(columns(dataset))
    rows = _rows(draw, names)
    text = csv_text(rows, names) if names else ""
    known: int | None = len(rows)
    form = draw(
        st.sampled_from(
            ["plain"] * 12 + ["ragged"] * 5 + ["semicolon", "CRLF", "BOM", "UTF-16", "latin-1", "open quote"]
        )
    )
    if form == "semicolon":
        text, known = text.replace(",", ";"), None
    elif form == "CRLF":
        text = text.replace("\n", "\r\n") if "\r" not in text else text
    elif form == "ragged":
        bad = draw(
            st.lists(st.sampled_from([WORD, f"{WORD},{NUMBER},1", f'"{WORD}"{NUMBER},1']), min_size=1, max_size=3)
        )
        text, known = "\n".join([text.removesuffix("\n"), *bad, ""]), len(rows) + len(bad) if names else None
    elif form == "open quote":
        text, known = f'{text}"{WORD},1\n', None
    if "\r" in text.replace("\r\n", ""):
        known = None  # a lone one ends a line, and the writer does not quote it
    encoding = {"BOM": "utf-8-sig", "UTF-16": "utf-16", "latin-1": "latin-1"}.get(form, "utf-8")
    return text.encode(encoding, errors="replace"), None if form in ("UTF-16", "latin-1") else known


def _of_type(kind: pa.DataType) -> Callable[[Sequence[Any]], pa.Array]:
    """Make a column of a type out of numbers and of whatever a test draws."""

    def make(numbers: Sequence[int | None]) -> pa.Array:
        values = pa.array(numbers, pa.int64())
        if pa.types.is_decimal(kind):
            return pa.array([None if n is None else Decimal(n) / 2 for n in numbers], kind)
        if pa.types.is_floating(kind):
            drawn = [np.nan if n is None else [np.inf, 0.1, -0.0, n][n % 4] for n in numbers]
            with np.errstate(over="ignore"):
                return pa.array(np.array(drawn, np.float64).astype(kind.to_pandas_dtype()), kind)
        if pa.types.is_temporal(kind):
            return values.cast(pa.int32() if kind.bit_width == 32 else pa.int64(), safe=False).view(kind)
        return values.cast(kind, safe=False)

    return make


def _texts(kind: pa.DataType) -> Callable[[Sequence[Any]], pa.Array]:
    texts = [WORD, f"{NUMBER}", "1001.0", "", "NULL", "male", "no_delay", "\ufffd", "x\ny"]
    return lambda numbers: pa.array([None if n is None else texts[n % len(texts)] for n in numbers], pa.string()).cast(
        kind
    )


def _bytes(kind: pa.DataType, width: int) -> Callable[[Sequence[Any]], pa.Array]:
    made = [WORD.encode(), b"\xff\xfe" * width, f"{NUMBER}".encode(), b""]
    fit = [value.ljust(width, b" ")[: width or None] for value in made]
    return lambda numbers: pa.array([None if n is None else fit[n % len(fit)] for n in numbers], kind)


_COLUMNS: list[Callable[[Sequence[Any]], pa.Array]] = [
    *map(_of_type, [pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_()]),
    *map(_of_type, [pa.decimal128(38, 1), pa.decimal256(60, 10), pa.decimal32(9, 1), pa.decimal64(18, 1)]),
    *map(_of_type, [pa.date32(), pa.timestamp("s"), pa.timestamp("us", "UTC"), pa.timestamp("ns"), pa.time64("us")]),
    *map(_of_type, [pa.time32("ms"), pa.duration("ms"), pa.date64()]),
    *map(_texts, [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]),
    *(_bytes(kind, 0) for kind in (pa.binary(), pa.large_binary(), pa.binary_view())),
    *(_bytes(pa.binary(width), width) for width in (1, 12, 16)),
    lambda numbers: pa.nulls(len(numbers)),
    lambda numbers: pa.array([None if n is None else b"0123456789abcdef" for n in numbers], pa.uuid()),
    lambda numbers: pa.array([[n, None] for n in numbers], pa.list_(pa.int64())),
    lambda numbers: pa.array([{"a": n, "b": WORD} for n in numbers], pa.struct({"a": pa.int64(), "b": pa.string()})),
    lambda numbers: pa.array([[(WORD, n)] for n in numbers], pa.map_(pa.string(), pa.int64())),
    lambda numbers: pa.array([timedelta(days=1)] * len(numbers)),
]


@st.composite
def _parquet(draw: st.DrawFn, dataset: str) -> tuple[bytes, int | None]:
    names = [name or "x" for name in draw(columns(dataset))]
    rows = _rows(draw, names)
    made = {}
    for name in dict.fromkeys(names):
        values = [row.get(name) for row in rows]
        feature = BY_NAME.get(name)
        if feature is not None and feature.kind == "number":
            values = [value if isinstance(value, int | float) else None for value in values]
            made[name] = pa.array(values, pa.float64())
        else:
            made[name] = pa.array([None if value is None else str(value) for value in values], pa.string())
    is_twice = len(names) > len(made)
    numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5000) | st.just(NUMBER) | st.none()
    # A column of no use is read, whatever its type, and kept with the rows that are refused.
    for name in draw(st.lists(st.sampled_from([*made, "extra"]) | st.just("extra"), max_size=3, unique=True)):
        drawn = draw(st.lists(numbers, min_size=len(rows), max_size=len(rows)))
        column = draw(st.sampled_from(_COLUMNS))
        try:
            made[name] = column(drawn)
        except (pa.ArrowException, OverflowError, ValueError):  # a number that does not fit into the type
            made[name] = column([None if n is None else abs(n) % 100 for n in drawn])
    if draw(st.integers(0, 9)) == 0:
        made[_NAME] = pa.array([WORD] * len(rows), pa.string())
    if not made:
        made["x"] = pa.nulls(len(rows))
    table = pa.table(list(made.values()), names=list(made))
    if is_twice and rows:
        table = table.append_column(next(iter(made)), next(iter(made.values())))
    buffer = BytesIO()
    compression = draw(st.sampled_from(["none", "snappy", "zstd"]))
    version = draw(st.sampled_from(["1.0", "2.6"]))
    try:
        pq.write_table(table, buffer, compression=compression, version=version, row_group_size=2)
    except pa.ArrowException:  # Parquet, or this version of it, does not know such a time
        reject()
    content = buffer.getvalue()
    if draw(st.booleans()):
        return content.replace(_NAME.encode(), b"\xff" * len(_NAME)), len(rows)
    return content, len(rows)


def days(dataset: str) -> st.SearchStrategy[list[Entry]]:
    """Draw what landed on a day; names are different, letter by letter."""
    return st.lists(entries(dataset), min_size=1, max_size=2, unique_by=lambda entry: entry.name)
