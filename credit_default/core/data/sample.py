"""The bundled table, and the arrivals made from half of it.

30,000 real clients of one bank in Taiwan (UCI, see ``data/README.md``). They are one snapshot without dates:
the days on which the arrivals arrive and the change of units on the way are made up, the rows are real.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq

from credit_default.core import lake, tables
from credit_default.core.data import splits
from credit_default.core.plurals import plural
from credit_default.core.schema import (
    AMOUNTS,
    CLIENT_ID,
    FEATURE_NAMES,
    MONTHS,
    NTD_PER_CURATED_UNIT,
    SOURCE_FILE,
    SOURCE_ROW,
    TARGET,
)
from credit_default.errors import DayError

BUNDLED = "uci_credit_card_clients.parquet"
INFERENCE_FOLDER, OUTCOMES_FOLDER = (
    Path(key).relative_to(lake.LANDING) for key in (lake.LANDED_INFERENCE, lake.LANDED_OUTCOMES)
)

_SEX = {1: "male", 2: "female"}
_EDUCATION = {1: "graduate_school", 2: "university", 3: "high_school"} | dict.fromkeys((0, 4, 5, 6), "others")
_MARRIAGE = {1: "married", 2: "single"} | dict.fromkeys((0, 3), "others")
_REPAYMENT = (
    {-2: "duly_paid", -1: "duly_paid", 0: "no_delay", 1: "delay_1_month"}
    | {months: f"delay_{months}_months" for months in range(2, 9)}
)  # fmt: skip
_REPAYMENT_COLUMNS = ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")


@dataclass(frozen=True)
class SampleSummary:
    """What `write_sample` left in the landing folder; ``days`` and ``shifted_days`` in order."""

    days: tuple[date, ...]
    shifted_days: tuple[date, ...]
    rows: int
    outcomes: int
    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]


@cache
def bundled_clients() -> pa.Table:
    """Give all 30,000 clients in the curated schema, in UCI's order; ``client_id`` is UCI's ID."""
    with resources.as_file(resources.files("credit_default") / "data" / BUNDLED) as path:
        uci = pq.ParquetFile(path).read()
    columns = {
        CLIENT_ID: uci["ID"].cast(pa.string()),
        "sex": _words(uci["SEX"], _SEX, "sex"),
        "education": _words(uci["EDUCATION"], _EDUCATION, "education"),
        "marriage": _words(uci["MARRIAGE"], _MARRIAGE, "marriage"),
        "credit_limit": _curated_units(uci["LIMIT_BAL"]),
        "age": uci["AGE"].cast(pa.float64()),
        TARGET: uci["default payment next month"].cast(pa.int8()),
        SOURCE_FILE: pa.repeat(pa.scalar(BUNDLED), uci.num_rows),
        SOURCE_ROW: pa.array(np.arange(1, uci.num_rows + 1)),
    }
    for month, column in zip(MONTHS, _REPAYMENT_COLUMNS, strict=True):
        name = f"repayment_status_{month}"
        columns[name] = _words(uci[column], _REPAYMENT, name)
        columns[f"bill_amount_{month}"] = _curated_units(uci[f"BILL_AMT{month}"])
        columns[f"payment_amount_{month}"] = _curated_units(uci[f"PAY_AMT{month}"])
    schema = tables.schema(target=True, source=True)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def development_clients() -> pa.Table:
    """Give the 15,000 clients from which a first model may be made."""
    clients = bundled_clients()
    return clients.filter(pa.array(splits.deal(clients[CLIENT_ID].to_pylist())))


def arrivals() -> pa.Table:
    """Give the 15,000 clients that arrive for scoring, in the order in which they do."""
    clients = bundled_clients()
    ids = clients[CLIENT_ID].to_pylist()
    development = splits.deal(ids)
    order = splits.order(ids)
    return clients.take(pa.array(order[~development[order]]))


def write_sample(
    landing: Path,
    *,
    until: date,
    days: int = 30,
    shift_from_day: int = 19,
    rows: int | None = None,
    outcomes_to_day: int | None = None,
) -> SampleSummary:
    """Write the arrivals below a landing folder as daily CSV files, and outcomes for the first of these days.

    ``inference/batch/<day>/clients.csv`` holds the clients of a day, ``outcomes/<day>/outcomes.csv`` what
    became of them. A second call writes the same bytes and leaves files alone that already hold them; files of
    other names are never touched.

    Parameters
    ----------
    landing
        The lake's ``landing`` folder.
    until
        Last day.
    days
        Number of days.
    shift_from_day
        Day (1-based) from which amounts arrive in NT$, 20 times the curated unit: an upstream change of units.
    rows
        How many of the 15,000 arrivals to use, shared out evenly; all of them by default.
    outcomes_to_day
        Last day (1-based) whose outcomes are known; the one before the shift by default.

    Raises
    ------
    DayError
        ``days`` or ``rows`` are out of range.
    """
    clients = arrivals()
    rows = clients.num_rows if rows is None else rows
    if not 1 <= days <= rows <= clients.num_rows:
        raise DayError(
            f"got {plural(days, 'day')} and {plural(rows, 'row')}; expected at least 1 day, a row for each, "
            f"and at most {plural(clients.num_rows, 'row')}"
        )
    bounds = np.linspace(0, rows, days + 1).astype(int)
    written: list[Path] = []
    unchanged: list[Path] = []
    outcomes = 0
    known = shift_from_day - 1 if outcomes_to_day is None else outcomes_to_day
    calendar = tuple(until - timedelta(days=days - 1 - day) for day in range(days))
    for number, (day, start, end) in enumerate(zip(calendar, bounds[:-1], bounds[1:], strict=True), start=1):
        of_day = clients.slice(start, end - start)
        shifted = number >= shift_from_day
        files = {INFERENCE_FOLDER / str(day) / "clients.csv": _as_arriving(of_day, shifted=shifted)}
        if number <= known:
            files[OUTCOMES_FOLDER / str(day) / "outcomes.csv"] = of_day.select([CLIENT_ID, TARGET])
            outcomes += of_day.num_rows
        for path, table in files.items():
            (written if _write_csv(table, landing / path) else unchanged).append(landing / path)
    return SampleSummary(calendar, calendar[shift_from_day - 1 :], rows, outcomes, tuple(written), tuple(unchanged))


def _words(codes: pa.ChunkedArray, words: dict[int, str], name: str) -> pa.ChunkedArray:
    known = pa.array(list(words), pa.int64())
    positions = pc.index_in(codes.cast(pa.int64()), value_set=known)
    return tables.categorical(pa.array(list(words.values())).take(positions.combine_chunks()), name)


def _curated_units(amount: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.divide(amount.cast(pa.float64()), float(NTD_PER_CURATED_UNIT))


def _as_arriving(clients: pa.Table, *, shifted: bool) -> pa.Table:
    table = clients.select([CLIENT_ID, *FEATURE_NAMES])
    for position, name in enumerate(table.column_names):
        if pa.types.is_dictionary(table[name].type):
            table = table.set_column(position, name, table[name].cast(pa.string()))
        elif shifted and name in AMOUNTS:
            table = table.set_column(position, name, pc.multiply(table[name], float(NTD_PER_CURATED_UNIT)))
    return table


def _write_csv(table: pa.Table, path: Path) -> bool:
    """Write a file unless it already holds the same bytes; True when it was written."""
    buffer = io.BytesIO()
    arrow_csv.write_csv(table, buffer, arrow_csv.WriteOptions(quoting_style="none"))
    if path.is_file() and path.read_bytes() == buffer.getvalue():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(buffer.getvalue())
    unfinished.replace(path)
    return True
