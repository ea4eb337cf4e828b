"""From a prediction to the row it was made of and to the file that this came in: whether anything was altered.

Everything is worked out again from what is stored and held to what other places say of it: the file's own metadata,
the event log, the landed files. To forge a prediction without being found, all of them have to be forged alike.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from credit_default.core import lake, tables
from credit_default.core.contract import made_ids
from credit_default.core.contract.contract import accept
from credit_default.core.files.landing_folder import sha256_of
from credit_default.core.lineage.evidence import Finding, IngestionRecord, Recorded, Step
from credit_default.core.schema import CLIENT_ID, PROBABILITY, SOURCE_FILE, SOURCE_ROW
from credit_default.core.scoring.predictions import PREDICTED, PREDICTIONS, data_version, id_prefix, origin_key
from credit_default.errors import InputError

PREDICTION, INPUT, LANDED = Step("prediction"), Step("input row"), Step("landing file")
_ID = "prediction_id"
#: Columns that every row of a day's predictions has in common.
SHARED = tuple(name for name in PREDICTIONS.names if name not in (_ID, CLIENT_ID, PROBABILITY, PREDICTED))
#: What an id is made of, besides the number of the row.
_MADE_OF = ("as_of", "model_sha256", "input_data_version")
_INPUTS = [(field.name, field.type) for field in tables.schema(source=True)]
_FORM = re.compile(r"([0-9a-f]{16})-([1-9][0-9]{0,17})")

Row = Mapping[str, Any]


def parse_id(prediction_id: str) -> tuple[str, int] | None:
    """Return the prefix of an id and the number of its row, or None when it is no id."""
    found = _FORM.fullmatch(prediction_id)
    return (found[1], int(found[2])) if found else None


def first_row(path: Path) -> Row:
    """Read the first row of a file of predictions, and no other; empty when there is none that can be read."""
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            first = next(file.iter_batches(1), None)
    except (pa.ArrowException, OSError):
        return {}
    return first.to_pylist()[0] if first is not None and first.num_rows else {}


def prefixes_of(first: Row) -> set[str]:
    """Return what the ids in a file begin with, by its first row: what its id says, and what its other columns say.

    The two are one, unless somebody edited that row.
    """
    found = {str(first.get(_ID)).split("-", 1)[0]}
    as_of, sha256, version = (first.get(name) for name in _MADE_OF)
    if isinstance(as_of, date):
        found.add(id_prefix(origin_key(as_of, str(sha256), str(version))))
    return found


def shared_values(predictions: pa.Table) -> dict[str, Any]:
    """Return the value that most rows have, for each column that all rows have in common."""
    counted = {name: pc.value_counts(predictions[name]).to_pylist() for name in SHARED}
    return {name: max(counts, key=lambda one: one["counts"])["values"] for name, counts in counted.items()}


def of_columns(predictions: pa.Table) -> Finding | None:
    """Find a table that is none of ours; nothing else can be said about it."""
    if _columns(predictions) != [(field.name, field.type) for field in PREDICTIONS]:
        return PREDICTION.altered("columns", "not those of predictions, or of other types")
    empty = [name for name in predictions.column_names if predictions[name].null_count]
    return PREDICTION.altered("columns", f"rows without {', '.join(empty)}") if empty else None


def of_prediction(
    predictions: pa.Table, told_version: str | None, *, prediction_id: str, row: int, day: str
) -> Iterator[Finding]:
    """Look at a row of a day's predictions.

    Parameters
    ----------
    predictions
        The whole file.
    told_version
        The data version in the file's metadata; None when it holds none.
    row
        Number of the row, from 1, by the id.
    """
    told: Row = predictions.slice(row - 1, 1).to_pylist()[0]
    if told[_ID] == prediction_id:
        yield PREDICTION.ok("id", f"row {row} of {predictions.num_rows}")
    else:
        yield PREDICTION.altered("id", f"row {row} holds another prediction_id")
    prefix = id_prefix(origin_key(*(told[name] for name in _MADE_OF)))
    if prefix == prediction_id.split("-", 1)[0] and told["as_of"].isoformat() == day:
        yield PREDICTION.ok("origin", "the id follows from day, model and input")
    else:
        yield PREDICTION.altered(
            "origin", "as_of, model_sha256 and input_data_version are not those of the id, or of this day"
        )
    mixed = [name for name in SHARED if pc.count_distinct(predictions[name]).as_py() > 1]
    if mixed:
        yield PREDICTION.altered("rows", f"the rows of the file have several values of {', '.join(mixed)}")
    else:
        yield PREDICTION.ok("rows", "all rows of the file have model, input, run and time in common")
    version = version_of(predictions)
    if told_version is None:
        yield PREDICTION.altered("data version", "the file holds none; expected one, as scoring writes it")
    else:
        yield PREDICTION.equal("data version", version, told_version, by="the file's metadata")


def version_of(predictions: pa.Table) -> str:
    """Work out the data version of a file of predictions from its rows."""
    shared = shared_values(predictions)
    with np.errstate(invalid="ignore"):  # what is no number was put there, and gives another version
        return data_version(origin_key(*(shared[name] for name in _MADE_OF)), predictions[PROBABILITY].to_numpy())


def of_prediction_record(
    shared: Row, version: str, recorded: Sequence[Recorded], *, attempts: Collection[str], log_is_empty: bool
) -> Finding:
    """Hold a file of predictions to what the event log says of its day.

    Parameters
    ----------
    shared
        See `shared_values`.
    version
        The data version that its rows have.
    recorded
        Every materialisation of the day.
    attempts
        The run that the rows name and its other attempts: which of them recorded what it had made depends on crashes.
    log_is_empty
        Whether the log has no materialisation of any day.
    """
    if not recorded:
        if log_is_empty:
            return PREDICTION.unchecked("event log", "this Dagster instance has recorded no predictions at all")
        return PREDICTION.missing("event log", "this day was never recorded as scored")
    same = [one for one in recorded if one.data_version == version]
    if not same:
        return PREDICTION.altered("event log", f"no predictions of this day were recorded with data version {version}")
    of_run = [one for one in same if one.run_id in attempts]
    if not of_run:
        return PREDICTION.altered(
            "event log", f"run {shared['run_id']} did not record these predictions; run {same[0].run_id} did"
        )
    other = [
        name
        for name in ("model_version", "model_sha256", "input_data_version")
        if of_run[0].metadata.get(name) != shared[name]
    ]
    if other:
        return PREDICTION.altered("event log", f"other {', '.join(other)} were recorded with these predictions")
    return PREDICTION.ok("event log", f"recorded by run {of_run[0].run_id} at {of_run[0].at:%Y-%m-%d %H:%M:%S} UTC")


def of_input(
    inputs: pa.Table, *, version: str, row: int, client_id: str, recorded: Sequence[Recorded]
) -> Iterator[Finding]:
    """Look at the row that was scored.

    Parameters
    ----------
    version
        The data version that the prediction names.
    row
        Its number, which is that of the prediction.
    client_id
        The client of the prediction.
    recorded
        Every materialisation of the day's ``inference_data``.
    """
    if _columns(inputs) != _INPUTS:
        yield INPUT.altered("columns", "not those of inference_data, or of other types")
        return
    yield INPUT.equal("content", tables.content_hash(inputs), version, by="the prediction")
    if any(one.data_version == version for one in recorded):
        yield INPUT.ok("event log", f"data version {version} was recorded")
    elif recorded:
        yield INPUT.altered("event log", f"no table of this day was recorded with data version {version}")
    else:
        yield INPUT.unchecked("event log", "this Dagster instance has never taken this day in")
    if row > inputs.num_rows:
        yield INPUT.altered("client", f"there is no row {row}: the table has {inputs.num_rows}")
    elif inputs[CLIENT_ID][row - 1].as_py() == client_id:
        yield INPUT.ok("client", f"row {row} is the client of the prediction")
    else:
        yield INPUT.altered("client", f"row {row} is another client than the prediction's")


def of_taken_in(
    kept: IngestionRecord | None, *, is_there: bool, version: str, newest: Recorded | None, landed: str
) -> Finding:
    """Hold what is kept in ``taken_in/`` about the present table of a day to the table and to the event log.

    Parameters
    ----------
    kept
        None when nothing is kept that can be read.
    is_there
        Whether anything is.
    version
        The data version of the table.
    newest
        The newest materialisation of the day's ``inference_data``.
    landed
        The fingerprint of the landing folder as it is now.
    """
    what = "taken in"
    if kept is None:
        if is_there:
            return INPUT.altered(what, "what is kept in taken_in/ about this day cannot be read")
        tell = INPUT.missing if newest is not None else INPUT.unchecked
        return tell(what, "nothing is kept in taken_in/ about the files that this table was made from")
    recorded = newest.metadata.get("landing_fingerprint") if newest is not None else None
    if kept.data_version != version:
        tell = INPUT.altered if newest is not None else INPUT.unchecked
        return tell(what, f"{lake.TAKEN_IN}/ is about a table with data version {kept.data_version}")
    if recorded not in {None, kept.fingerprint}:
        return INPUT.altered(
            what, f"{lake.TAKEN_IN}/ has fingerprint {kept.fingerprint}, expected {recorded} by the event log"
        )
    since = "are as they were" if landed == kept.fingerprint else "came, went or were touched since"
    return INPUT.ok(what, f"made from files with fingerprint {kept.fingerprint}; those in the landing folder {since}")


def input_row(inputs: pa.Table | None, row: int) -> pa.Table | None:
    """Return the one row that was scored, or None when the table holds no such row."""
    if inputs is None or _columns(inputs) != _INPUTS or row > inputs.num_rows:
        return None
    return inputs.slice(row - 1, 1)


def of_landing(
    path: Path | None, inputs: Row, *, day: str, taken_in: Sequence[Recorded], newest: Recorded | None
) -> Iterator[Finding]:
    """Look at the landed file that a row came in.

    Parameters
    ----------
    path
        The file; None when it is gone.
    inputs
        The row of ``inference_data``.
    day
        Its day.
    taken_in
        Materialisations of the table that the row is in.
    newest
        The newest materialisation of its day.
    """
    name, row = inputs[SOURCE_FILE], inputs[SOURCE_ROW]
    since = newest if newest is not None and newest not in taken_in else None
    expected = {sha256 for one in taken_in if (sha256 := _landed(one).get(name))}
    if path is None:
        if since is not None and name not in _landed(since):
            yield LANDED.unchecked("file", f"{name} was taken away, and the day was taken in again without it")
        else:
            yield LANDED.missing("file", f"{name} is gone from the landing folder")
        return
    try:
        got = sha256_of(path, follow_links=False)
    except InputError as error:
        yield LANDED.altered("file", str(error))
        return
    if not expected:
        yield LANDED.unchecked("file", f"no sha256 of {name} was recorded when it was taken in")
    elif got in expected:
        yield LANDED.ok("file", f"{name} has sha256 {got}, as recorded when it was taken in")
    elif since is not None and _landed(since).get(name) == got:
        yield LANDED.unchecked("file", f"another {name} took its place, and the day was taken in again since")
        return
    else:
        yield LANDED.altered("file", f"{name} has sha256 {got}, and had another one when it was taken in")
    yield _row_again(path, row, inputs, day)


def _columns(table: pa.Table) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in table.schema]


def _landed(recorded: Recorded) -> Mapping[str, str]:
    """Return the sha256 of each landed file; platforms before this one recorded names alone."""
    files = recorded.metadata.get("files")
    return {file["file"]: file["sha256"] for file in files} if isinstance(files, list) else {}


def _row_again(path: Path, row: int, inputs: Row, day: str) -> Finding:
    name = inputs[SOURCE_FILE]
    try:
        accepted = accept([path], dataset="inference", day=day).table
    except InputError as error:
        return LANDED.altered("row", f"{name} cannot be taken in any more ({type(error).__name__})")
    found = accepted.filter(pc.equal(accepted[SOURCE_ROW], row)).to_pylist()
    if not found:
        return LANDED.altered("row", f"row {row} of {name} is not there, or breaks the contract")
    ids = made_ids.join_keys(pa.chunked_array([[found[0][CLIENT_ID], inputs[CLIENT_ID]]]), day).to_pylist()
    other = [CLIENT_ID] if ids[0] != ids[1] else []
    other += [column for column, value in found[0].items() if column != CLIENT_ID and value != inputs[column]]
    if other:
        return LANDED.altered("row", f"row {row} of {name} differs from the input row in {', '.join(other)}")
    return LANDED.ok("row", f"row {row} of {name} is the input row")
