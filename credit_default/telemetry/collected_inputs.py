"""What online requests held, on its way through telemetry: anybody may carry it, only the private key opens it.

A request becomes one message or several, none longer than Application Insights keeps::

    {"model_name": ..., "type": "InputData",
     "data": {"request_id", "part", "rows", "model_version", "requested_at", "sealed"}}

``sealed`` holds the rows, and once more what stands in clear beside it, so that nothing of a message can be changed or
put together anew unnoticed. Nothing in clear says anything about a client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from credit_default.errors import UnreadableMessage
from credit_default.telemetry.encryption import PrivateKeys, PublicKey
from credit_default.telemetry.records import EVENT_KEY, LONGEST_MESSAGE, TraceRecord

INPUT_DATA = "InputData"
#: Rows that are tried as one message first: real clients, at some 65 characters each, fit.
_ROWS_A_MESSAGE = 400
_REQUEST_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Request:
    """What is told in clear about a request."""

    request_id: str
    model_name: str
    model_version: str
    requested_at: datetime


@dataclass(frozen=True)
class Part:
    """Some rows of a request, as they were accepted.

    Attributes
    ----------
    number
        Of the part among those of its request, from 1.
    first_row
        Number of its first row among those of the request, from 1.
    """

    request: Request
    number: int
    first_row: int
    rows: Sequence[Mapping[str, Any]]


def seal(table: pa.Table, request: Request, key: PublicKey) -> list[TraceRecord]:
    """Seal the rows of a request into records, in parts that are short enough."""
    starts = range(0, table.num_rows, _ROWS_A_MESSAGE)
    waiting = [table.slice(start, _ROWS_A_MESSAGE) for start in reversed(starts)]
    records: list[TraceRecord] = []
    first_row = 1
    while waiting:
        rows = waiting.pop()
        message = _message(rows, request, key, part=len(records) + 1, first_row=first_row)
        if len(message) > LONGEST_MESSAGE and rows.num_rows > 1:
            half = rows.num_rows // 2
            waiting += [rows.slice(half), rows.slice(0, half)]
            continue
        dimensions = {
            EVENT_KEY: f"{request.request_id}/{len(records) + 1}",
            "type": INPUT_DATA,
            "model_version": request.model_version,
        }
        records.append(TraceRecord(message, custom_dimensions=dimensions))
        first_row += rows.num_rows
    return records


def requested_at(message: str) -> datetime | None:
    """Return when a request was made, as its message tells in clear; None when that cannot be read."""
    try:
        moment = datetime.fromisoformat(json.loads(message)["data"]["requested_at"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return moment if moment.tzinfo is not None else None


def open_message(message: str, keys: PrivateKeys) -> Part:
    """Open one message.

    Raises
    ------
    UnreadableMessage
        It is none of ours, was changed, or is sealed for another key. Its request is named, its content is not.
    """
    try:
        told = json.loads(message)
        about = {"model_name": told["model_name"], **told["data"]}
        inside = _opened(about, keys)
        rows = [dict(zip(inside["columns"], values, strict=True)) for values in inside["values"]]
        moment = datetime.fromisoformat(about["requested_at"])
        request = Request(about["request_id"], about["model_name"], about["model_version"], moment)
        return Part(request, int(about["part"]), int(inside["first_row"]), rows)
    except UnreadableMessage as error:
        raise UnreadableMessage(f"{_named(message)} cannot be opened: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UnreadableMessage(f"{_named(message)} is none that the scoring script writes") from None


def _opened(about: dict[str, Any], keys: PrivateKeys) -> Mapping[str, Any]:
    """Return what was sealed, and leave in `about` what stands in clear."""
    inside: Mapping[str, Any] = json.loads(keys.open(about.pop("sealed")))
    if about != inside["about"]:
        raise UnreadableMessage("what stands in clear was changed")
    return inside


def _message(rows: pa.Table, request: Request, key: PublicKey, *, part: int, first_row: int) -> str:
    about = {
        "request_id": request.request_id,
        "part": part,
        "rows": rows.num_rows,
        "model_version": request.model_version,
        "requested_at": request.requested_at.isoformat(),
    }
    # Names once and values row by row: half as long as an object for each row, sealed and compressed.
    inside = {
        "about": {"model_name": request.model_name, **about},
        "first_row": first_row,
        "columns": rows.column_names,
        "values": [list(row.values()) for row in rows.to_pylist()],
    }
    sealed = key.seal(json.dumps(inside, allow_nan=False, separators=(",", ":")).encode())
    return json.dumps({"model_name": request.model_name, "type": INPUT_DATA, "data": {**about, "sealed": sealed}})


def _named(message: str) -> str:
    """Name the request of a message by its id; anything else that stands there may be somebody's data."""
    try:
        data = json.loads(message)["data"]
        request_id, part = str(data["request_id"]), data["part"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "A collected message"
    known = _REQUEST_ID.fullmatch(request_id) and isinstance(part, int)
    return f"Part {part} of request {request_id}" if known else "A collected message"
