"""The labelled rows by which two models are compared: the newest of those that neither was trained on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core import lake, tables
from credit_default.core.contract import made_ids
from credit_default.core.data.prepared import RECENT
from credit_default.core.data.splits import CALIBRATION, DEVELOPMENT, TEST
from credit_default.core.schema import AS_OF, CLIENT_ID

#: How many rows a comparison looks at: the newest say most about the clients to come.
ROWS = 2_000


def holdout_rows(challenger: Path, champion: Path | None, *, rows: int = ROWS) -> pa.Table:
    """Return the newest labelled rows of clients that were in the training of neither model.

    These are the test part, into which a hash puts the same clients whatever the version, and the newest days, which
    were kept apart. Whether the champion knew one of their clients is looked up in what it was trained on.

    Parameters
    ----------
    challenger, champion
        Folders of the versions of prepared data that they were trained on. The champion's is None when it was trained
        in another workspace: then the test part alone is sure to be unknown to it.

    Returns
    -------
    Rows in the order of client and day, so that the same rows are in the same order whoever looks.
    """
    names = [TEST] if champion is None else [TEST, RECENT]
    parts = [tables.read(path) for name in names if (path := challenger / lake.table_file(name)).is_file()]
    held = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    known = pa.chunked_array([_trained_on(folder) for folder in (challenger, champion) if folder is not None])
    held = held.filter(pc.invert(pc.is_in(made_ids.lasting_ids(held), value_set=known.combine_chunks())))
    newest = held.sort_by([(AS_OF, "descending"), (CLIENT_ID, "ascending")]).slice(0, rows)
    return newest.sort_by([(CLIENT_ID, "ascending"), (AS_OF, "ascending")])


def _trained_on(folder: Path) -> pa.Array:
    """Clients whose rows a model has seen, be it to fit or to calibrate it, by the ids that last (`made_ids`)."""
    return pa.chunked_array(
        [
            chunk
            for name in (DEVELOPMENT, CALIBRATION)
            for chunk in made_ids.lasting_ids(tables.read(folder / lake.table_file(name))).chunks
        ],
        pa.string(),
    ).combine_chunks()
