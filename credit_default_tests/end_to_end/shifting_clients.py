"""Real clients for stories with a shift: some that train, and days of others, from some day on with amounts in NT$."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core.data import sample
from credit_default.core.schema import AMOUNTS, CLIENT_ID, FEATURE_NAMES, NTD_PER_CURATED_UNIT, TARGET
from credit_default_tests.strategies import csv_text

TRAINING_ROWS = 3_000
ROWS_A_DAY = 430
#: Rows of the table at which both begin. Of four places that were tried, a retrained model was found better at two,
#: and at the other two the comparison rightly held it: so few rows leave that open.
_FIRST = 3


def training_csv() -> str:
    """Labelled clients, in the curated schema."""
    table = sample.development_clients().slice(_FIRST * TRAINING_ROWS, TRAINING_ROWS)
    return csv_text(_plain(table.select([CLIENT_ID, *FEATURE_NAMES, TARGET])).to_pylist())


def day_csv(number: int, *, shifted: bool) -> str:
    """The clients of a day."""
    table = _plain(_day(number).select([CLIENT_ID, *FEATURE_NAMES]))
    for name in AMOUNTS if shifted else ():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pc.multiply(table[name], float(NTD_PER_CURATED_UNIT)))
    return csv_text(table.to_pylist())


def outcomes_csv(number: int) -> str:
    """What became of the clients of a day."""
    return csv_text(_day(number).select([CLIENT_ID, TARGET]).to_pylist())


def _day(number: int) -> pa.Table:
    first = _FIRST * 7 * ROWS_A_DAY
    return sample.arrivals().slice(first + number * ROWS_A_DAY, ROWS_A_DAY)


def _plain(table: pa.Table) -> pa.Table:
    for place, name in enumerate(table.column_names):
        if pa.types.is_dictionary(table[name].type):
            table = table.set_column(place, name, table[name].cast(pa.string()))
    return table
