"""The scoring script of an online deployment: Azure ML calls `init` once in each process, and `run` for each request.

A request is a JSON array of clients, or ``{"data": [...]}``; its answer has a prediction for each, in the same order.
What it held is sealed with a public key and told to telemetry (`credit_default.core.collected_inputs`): the process
that scores cannot read it again, and no value of a client is written anywhere in clear.

Source: https://learn.microsoft.com/azure/machine-learning/how-to-deploy-online-endpoints
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple, NoReturn

import flask

from credit_default.core import collected_inputs, json_rows
from credit_default.core.collected_inputs import Request
from credit_default.core.model_directory import LoadedModel
from credit_default.core.sealing import PublicKey
from credit_default.errors import SettingsError
from credit_default.resources.collector import Collector
from credit_default.resources.destinations import collector_of
from credit_default.settings import COLLECTION_PUBLIC_KEY_VARIABLE
from credit_default.steps._deployed import MODEL_NAME, MODEL_VERSION, given, registered_model

MOST_CLIENTS = 1_000
#: With this the server of Azure ML sends every answer in clear to Application Insights, and on request the bodies too.
_CLEAR_LOGGING = "AML_APP_INSIGHTS_ENABLED"
_FORM = 'a JSON array of clients, or {"data": [...]}, in that form optionally with "smoke_test": true'
_log = logging.getLogger("credit_default")


@dataclass(frozen=True)
class _Deployment:
    """What a process that serves was given."""

    model: LoadedModel
    model_name: str
    model_version: str
    key: PublicKey
    collector: Collector


class _Asked(NamedTuple):
    """What a request asks for."""

    clients: Sequence[Mapping[str, Any]]
    smoke_test: bool


class _Refusal(Exception):
    """A request that is answered with what is wrong with it."""

    def __init__(self, status: HTTPStatus, message: str, problems: Sequence[json_rows.Problem] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.problems = problems


_deployment: _Deployment | None = None


def init() -> None:
    """Load the model, once it is known to be the registered one, and get ready to collect.

    Raises
    ------
    SettingsError
        A variable of the deployment is missing or malformed, or lets the server log values of clients.
    NotThere
        Azure ML put no model of ours there.
    ModelError
        The model is another one, or not to be trusted.
    """
    global _deployment  # noqa: PLW0603 - Azure ML's contract: what `init` makes is there for `run`
    if os.environ.get(_CLEAR_LOGGING, "").strip().lower() in {"1", "on", "t", "true", "y", "yes"}:
        raise SettingsError(
            f"{_CLEAR_LOGGING} is true, with which the server logs clients in clear to Application Insights; set "
            "`app_insights_enabled: false` in the deployment: collected inputs are sent there all the same, sealed"
        )
    _deployment = _Deployment(
        model_name=given(MODEL_NAME),
        model_version=given(MODEL_VERSION),
        key=PublicKey.read(given(COLLECTION_PUBLIC_KEY_VARIABLE), COLLECTION_PUBLIC_KEY_VARIABLE),
        collector=collector_of(os.environ),
        model=registered_model(),
    )


def run(raw_data: str) -> flask.Response:
    """Score the clients of one request."""
    assert _deployment is not None
    try:
        return _answer(_deployment, _asked(raw_data))
    except _Refusal as refusal:
        problems = [problem._asdict() for problem in refusal.problems]
        return _response(refusal.status, {"message": str(refusal), "problems": problems})
    except TimeoutError:  # raised into this by the server when it has waited long enough
        raise
    except Exception as error:  # noqa: BLE001 - the server would log its text, which may quote a value
        told = f"Scoring ended in {type(error).__name__}, a defect of this program"
        _log.error(told)
        return _response(HTTPStatus.INTERNAL_SERVER_ERROR, {"message": told, "problems": []})


def close() -> None:
    """Return when what was collected is sent, or kept to be sent later. Nothing is asked of this process any more."""
    if _deployment is not None:
        _deployment.collector.close()


def _asked(raw_data: str) -> _Asked:
    if flask.has_request_context() and flask.request.method != "POST":  # what is in an address is in logs, too
        raise _Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"got {flask.request.method}; expected POST with {_FORM}")
    try:
        body = json.loads(raw_data, parse_constant=_no_json, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise _Refusal(HTTPStatus.BAD_REQUEST, f"the body is no JSON document; expected {_FORM}") from None
    smoke_test = False
    if isinstance(body, dict):
        if unknown := body.keys() - {"data", "smoke_test"}:
            raise _Refusal(HTTPStatus.BAD_REQUEST, f"got {len(unknown)} member(s) of another name; expected {_FORM}")
        smoke_test = body.get("smoke_test", False)
        body = body.get("data")
    if not isinstance(body, list) or not isinstance(smoke_test, bool):
        raise _Refusal(HTTPStatus.BAD_REQUEST, f"the body is of another form; expected {_FORM}")
    if len(body) > MOST_CLIENTS:
        message = f"got {len(body):,} clients; expected at most {MOST_CLIENTS:,} in a request; ask several times"
        raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    others = [number for number, client in enumerate(body, 1) if not isinstance(client, dict)]
    if others:
        problems = [json_rows.Problem(number, "row: not an object") for number in others]
        raise _Refusal(HTTPStatus.BAD_REQUEST, f"{len(others)} client(s) are no objects; expected {_FORM}", problems)
    return _Asked(body, smoke_test)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(constant)


def _once_each(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a name occurs twice in an object")
    return found


def _answer(deployment: _Deployment, asked: _Asked) -> flask.Response:
    requested_at = datetime.now(UTC)
    table, problems = json_rows.judge(asked.clients)
    if problems:
        rows = len({problem.row for problem in problems})
        message = f"{rows} of {len(asked.clients)} client(s) break the contract; nothing was scored"
        raise _Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message, problems)
    request = Request(uuid.uuid4().hex, deployment.model_name, deployment.model_version, requested_at)
    probabilities = deployment.model.probabilities(table).tolist() if asked.clients else []
    if not asked.smoke_test:
        _collect(deployment, request, table)
    predictions = [
        {
            "client_id": json_rows.client_id_of(client),
            "probability_of_default": probability,
            "predicted_default": probability >= deployment.model.threshold,
        }
        for client, probability in zip(asked.clients, probabilities, strict=True)
    ]
    told = {
        "request_id": request.request_id,
        "model_name": request.model_name,
        "model_version": request.model_version,
        "predictions": predictions,
    }
    return _response(HTTPStatus.OK, told)


def _collect(deployment: _Deployment, request: Request, table: Any) -> None:
    try:
        deployment.collector.collect(collected_inputs.seal(table, request, deployment.key))
    except Exception as error:  # noqa: BLE001 - a full disk is no reason not to answer
        _log.error(f"Request {request.request_id} was answered and not collected: {type(error).__name__}")


def _response(status: HTTPStatus, content: Mapping[str, Any]) -> flask.Response:
    return flask.Response(json.dumps(content, allow_nan=False), status=status, mimetype="application/json")
