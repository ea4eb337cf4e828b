"""A day of collected inputs as a table of clients, like any file that arrives to be scored.

Clients get pseudonyms: a client is the same one over time, is not named, and is no client of another file. Who holds
the private key can make the pseudonym of a client that is known; nobody finds a client by its pseudonym.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq

from credit_default.core import tables
from credit_default.core.contract import json_rows
from credit_default.core.schema import CLIENT_ID
from credit_default.errors import UnreadableFile, UnreadableMessage
from credit_default.telemetry.collected_inputs import Part, open_message, requested_at
from credit_default.telemetry.encryption import PrivateKeys

_PREFIX = "online-"
_PURPOSE = "credit-default: pseudonyms of online clients"


@dataclass(frozen=True)
class OnlineDay:
    """What was asked on a day.

    Attributes
    ----------
    table
        One row for each client (`tables.schema`), by pseudonym: as the client was told last.
    counts
        ``messages`` of the day, ``requests`` and ``rows`` in them, ``clients``, ``repeated`` (rows of clients that were
        told again later) and ``unreadable`` messages.
    unreadable
        Why, for each message that cannot be read; requests are named, and nothing that they held.
    """

    table: pa.Table
    counts: Mapping[str, int]
    unreadable: tuple[str, ...]


def online_day(messages: Iterable[str], day: date, keys: PrivateKeys) -> OnlineDay:
    """Open the messages of a day and put their rows together.

    Parameters
    ----------
    messages
        There may be some of other days among them, and any of them twice: telemetry that is not sure sends again.
    day
        In UTC. A request belongs to the day on which it was made, whenever it was sent.
    """
    found = [message for message in dict.fromkeys(messages) if _is_of(message, day)]
    parts: dict[tuple[str, int], Part] = {}
    unreadable: list[str] = []
    for message in found:
        try:
            part = open_message(message, keys)
        except UnreadableMessage as error:
            unreadable.append(str(error))
        else:
            parts[part.request.request_id, part.number] = part
    in_order = sorted(parts.values(), key=lambda part: (part.request.requested_at, *_place(part)))
    rows, refused = _typed(in_order)
    broken = "holds rows that break the contract"
    unreadable += [f"Part {number} of request {request} {broken}" for request, number in sorted(refused)]
    accepted = [part for part in in_order if _place(part) not in refused]
    places = [(part.request.request_id, row) for part in accepted for row, _ in enumerate(part.rows, part.first_row)]
    table = _latest(rows, list(_pseudonyms(rows[CLIENT_ID].to_pylist(), places, keys)))
    counts = {
        "messages": len(found),
        "requests": len({part.request.request_id for part in accepted}),
        "rows": rows.num_rows,
        "clients": table.num_rows,
        "repeated": rows.num_rows - table.num_rows,
        "unreadable": len(unreadable),
    }
    return OnlineDay(table, counts, tuple(unreadable))


def pseudonym(client_id: str, keys: PrivateKeys) -> str:
    """Return the name that a client has in exported days."""
    return _pseudonym(client_id, keys.derived(_PURPOSE))


def nothing_asked() -> OnlineDay:
    """Return a day on which nothing was asked; no key is needed to say so."""
    counts = dict.fromkeys(("messages", "requests", "rows", "clients", "repeated", "unreadable"), 0)
    return OnlineDay(tables.schema().empty_table(), counts, ())


def as_file(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    content = BytesIO()
    pq.write_table(table, content, compression="zstd")
    return content.getvalue()


def from_file(content: bytes, name: str) -> pa.Table:
    """Read what `as_file` made.

    Raises
    ------
    UnreadableFile
        It is no Parquet file.
    """
    try:
        return pq.read_table(BytesIO(content))
    except (pa.ArrowException, OSError):
        raise UnreadableFile(f"{name} is no Parquet file; expected what an earlier export wrote; remove it") from None


def _is_of(message: str, day: date) -> bool:
    """Whether a message says that it is of a day; one that says nothing legible is told wherever it turns up."""
    moment = requested_at(message)
    return moment is None or moment.astimezone(UTC).date() == day


def _place(part: Part) -> tuple[str, int]:
    return part.request.request_id, part.number


def _typed(parts: list[Part]) -> tuple[pa.Table, set[tuple[str, int]]]:
    """Give all rows their types at once; parts with rows that break the contract are left out and named.

    The scoring script took none that does: somebody else sealed it, or the contract has changed since.
    """
    table, problems = json_rows.check_rows([row for part in parts for row in part.rows])
    owners = [part for part in parts for _ in part.rows]
    refused = {_place(owners[problem.row - 1]) for problem in problems}
    return table.filter(pa.array([_place(owner) not in refused for owner in owners], pa.bool_())), refused


def _pseudonyms(ids: Sequence[str | None], places: Sequence[tuple[str, int]], keys: PrivateKeys) -> Iterator[str]:
    """Name each row; one without an id by its place (request and row), so that it is no other row."""
    secret = keys.derived(_PURPOSE)
    for client_id, (request_id, row) in zip(ids, places, strict=True):
        if client_id is None:
            yield f"{_PREFIX}{request_id}-{row}"
        else:
            yield _pseudonym(client_id, secret)


def _pseudonym(client_id: str, secret: bytes) -> str:
    return _PREFIX + hmac.new(secret, client_id.encode(), hashlib.sha256).hexdigest()


def _latest(rows: pa.Table, pseudonyms: list[str]) -> pa.Table:
    """Keep the last row of each client, in the order of their pseudonyms."""
    last = sorted({pseudonym: place for place, pseudonym in enumerate(pseudonyms)}.items())
    names = pa.array([pseudonym for pseudonym, _ in last], pa.string())
    kept = rows.take(pa.array([place for _, place in last], pa.int64()))
    return kept.set_column(0, tables.schema().field(CLIENT_ID), names).cast(tables.schema())
