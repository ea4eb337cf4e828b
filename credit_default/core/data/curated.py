"""The training table: a base of labelled clients, and the arrivals whose outcome is known by now.

It grows from `inference_data` joined with `outcomes` and never from predictions: a model that learns from its
own predictions would confirm itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core import tables
from credit_default.core.contract import made_ids
from credit_default.core.contract.contract import accept
from credit_default.core.contract.rejected import Rejected
from credit_default.core.data.sample import development_clients
from credit_default.core.schema import AS_OF, CLIENT_ID, TARGET

SCHEMA = tables.schema(target=True, as_of=True, source=True)


def curate(
    own_files: Sequence[Path], labelled: Iterable[tuple[date, pa.Table, pa.Table]]
) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Put the training table together.

    Parameters
    ----------
    own_files
        The user's own labelled files; the bundled development clients are used when there are none.
    labelled
        Day, ``inference_data`` and ``outcomes`` of days that have both.

    Returns
    -------
    table
        ``client_id``, ``as_of`` (null for the base), features, target, ``source_file``, ``source_row``: base
        first, then day by day, by client id, so that the same rows make the same content hash.
    rejected
        Rows of the own files that broke the contract (`rejected.Rejected`).
    counts
        ``rows``, ``origins`` (rows by origin: bundled, own, labelled arrivals), ``target_rate``,
        ``missing_share`` (of feature values), ``rejected``, ``by_reason``, ``files`` (own ones, see
        `contract.accept`), ``labelled_days``, ``outcomes_without_row`` (outcomes of clients that are not among
        the day's rows).

    Raises
    ------
    UnreadableFile, ContractError
        One of the own files cannot be used, see `contract.accept`.
    """
    own = accept(own_files, dataset="curated") if own_files else None
    base = own.table if own else development_clients()
    parts = [_dated(base, None)]
    days = unmatched = 0
    for day, arrived, outcomes in sorted(labelled, key=lambda item: item[0]):
        known = _labelled(arrived, outcomes, day.isoformat())
        parts.append(_dated(known, day))
        days += 1
        unmatched += outcomes.num_rows - known.num_rows
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    features = table.select([field.name for field in tables.schema()][1:])
    missing = sum(column.null_count for column in features.columns)
    counts = {
        "rows": table.num_rows,
        "origins": {
            "bundled": 0 if own else base.num_rows,
            "own": base.num_rows if own else 0,
            "labelled_arrivals": table.num_rows - base.num_rows,
        },
        "target_rate": pc.mean(table[TARGET]).as_py(),
        "missing_share": missing / max(features.num_rows * features.num_columns, 1),
        "rejected": own.rejected.num_rows if own else 0,
        "by_reason": own.counts["by_reason"] if own else {},
        "files": own.counts["files"] if own else {},
        "labelled_days": days,
        "outcomes_without_row": unmatched,
    }
    return table, own.rejected if own else Rejected(), counts


def _labelled(arrived: pa.Table, outcomes: pa.Table, day: str) -> pa.Table:
    """Join the rows of a day with their outcomes."""
    clients, known = (made_ids.join_keys(table[CLIENT_ID], day).combine_chunks() for table in (arrived, outcomes))
    places = pc.index_in(clients, value_set=known)
    # Several rows of a client are of the time when its ids were written in several ways; the contract refuses them now.
    codes = clients.dictionary_encode().indices.to_numpy()
    joins = pc.and_(pc.is_valid(places), pa.array(np.bincount(codes)[codes] == 1))
    return arrived.filter(joins).append_column(TARGET, outcomes[TARGET].take(places.filter(joins)))


def _dated(clients: pa.Table, day: date | None) -> pa.Table:
    dates = pa.repeat(pa.scalar(day, pa.date32()), clients.num_rows)
    table = clients.append_column(AS_OF, dates)
    table = table.set_column(table.column_names.index(CLIENT_ID), CLIENT_ID, made_ids.lasting_ids(table))
    return table.select(SCHEMA.names).cast(SCHEMA).sort_by(CLIENT_ID)
