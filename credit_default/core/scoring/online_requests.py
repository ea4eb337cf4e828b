"""What is asked of an online deployment: the body of a request, and why it is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn

from credit_default.core.contract.json_rows import RowProblem
from credit_default.core.plurals import plural

MAX_CLIENTS = 1_000
FORM = 'a JSON array of clients, or {"data": [...]}'


class Refusal(Exception):
    """Why a request is not answered with predictions; holds no value of it."""

    def __init__(self, status: HTTPStatus, message: str, problems: Sequence[RowProblem] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.problems = problems


def read(body: str) -> list[Mapping[str, Any]]:
    """Return the clients that the body of a request asks about.

    Raises
    ------
    Refusal
        It is no JSON, of another form, or asks for too many clients at once.
    """
    try:
        told = json.loads(body, parse_constant=_no_json, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        message = f"the body is no JSON document, or it holds a name twice, NaN or Infinity; expected {FORM}"
        raise Refusal(HTTPStatus.BAD_REQUEST, message) from None
    clients = told
    if isinstance(told, dict):
        if unknown := told.keys() - {"data"}:
            message = f"got an object with {plural(len(unknown), 'member')} of another name; expected {FORM}"
            raise Refusal(HTTPStatus.BAD_REQUEST, message)
        clients = told.get("data")
    if not isinstance(clients, list):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"the body is of another form; expected {FORM}")
    if len(clients) > MAX_CLIENTS:
        message = f"got {len(clients):,} clients; expected at most {MAX_CLIENTS:,} in a request; ask several times"
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    problems = [
        RowProblem(row, "row: not an object") for row, client in enumerate(clients, 1) if not isinstance(client, dict)
    ]
    if problems:
        message = f"got {plural(len(problems), 'client')} of another form than an object; expected {FORM}"
        raise Refusal(HTTPStatus.BAD_REQUEST, message, problems)
    return clients


def _no_json(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(constant)


def _once_each(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object with a name that occurs twice: as in a file, nobody knows which of the two is meant."""
    found = dict(members)
    if len(found) < len(members):
        raise ValueError
    return found
