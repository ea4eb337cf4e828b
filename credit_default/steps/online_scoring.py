"""The scoring script of an online deployment: Azure ML calls `init` once in each process, and `run` for each request.

A request is a JSON array of clients, or ``{"data": [...]}``; its answer has a prediction for each, in the same order.
What it held is sealed with a public key and told to telemetry (`telemetry.collected_inputs`): the process
that scores cannot read it again, and no value of a client is written anywhere in clear. A request for
exactly the golden rows of the model is its smoke test, and is not collected; no caller can mark another one as such.

Source: https://learn.microsoft.com/azure/machine-learning/how-to-deploy-online-endpoints
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

import flask
import pyarrow as pa

from credit_default.core.contract import json_rows
from credit_default.core.model import golden_rows
from credit_default.core.model.model_directory import LoadedModel
from credit_default.core.plurals import plural, verb
from credit_default.core.scoring import online_requests
from credit_default.core.scoring.online_requests import Refusal
from credit_default.errors import SettingsError
from credit_default.pipes.process_variables import MODEL_NAME_VARIABLE, MODEL_VERSION_VARIABLE
from credit_default.settings import COLLECTION_PUBLIC_KEY_VARIABLE
from credit_default.steps._deployed import given, registered_model
from credit_default.telemetry import collected_inputs
from credit_default.telemetry.collected_inputs import Request
from credit_default.telemetry.collector import Collector
from credit_default.telemetry.destinations import collector_of
from credit_default.telemetry.encryption import PublicKey

#: With this the server of Azure ML tells Application Insights every answer in clear, and the requests if asked to.
_CLEAR_LOGGING = "AML_APP_INSIGHTS_ENABLED"
#: What that server takes for true.
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_log = logging.getLogger("credit_default")


# No dataclass: the server of Azure ML loads this file without entering it among Python's modules, where those look.
class _Deployment(NamedTuple):
    """What a process that serves was given."""

    model_name: str
    model_version: str
    key: PublicKey
    collector: Collector
    model: LoadedModel
    golden: pa.Table


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
    if os.environ.get(_CLEAR_LOGGING, "").strip().lower() in _TRUE:
        raise SettingsError(
            f"{_CLEAR_LOGGING} is true, with which the server logs clients in clear to Application Insights; set "
            "`app_insights_enabled: false` in the deployment: collected inputs are sent there all the same, sealed"
        )
    model = registered_model()
    _deployment = _Deployment(
        model_name=given(MODEL_NAME_VARIABLE),
        model_version=given(MODEL_VERSION_VARIABLE),
        key=PublicKey.read(given(COLLECTION_PUBLIC_KEY_VARIABLE), COLLECTION_PUBLIC_KEY_VARIABLE),
        collector=collector_of(os.environ),
        model=model,
        golden=json_rows.check_rows(golden_rows.as_clients(golden_rows.read(model.folder)))[0],
    )


def run(raw_data: str) -> flask.Response:
    """Score the clients of one request."""
    assert _deployment is not None
    try:
        if flask.has_request_context() and flask.request.method != "POST":
            # Clients in an address end in the logs of whoever it passes.
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"expected POST with {online_requests.FORM}")  # noqa: TRY301
        return _answer(_deployment, online_requests.read(raw_data))
    except Refusal as refusal:
        problems = [problem._asdict() for problem in refusal.problems]
        return _response(refusal.status, {"message": str(refusal), "problems": problems})
    except TimeoutError:  # the server's own, when it has waited long enough
        raise
    except Exception as error:  # noqa: BLE001 - the server would log its text, which may quote a value
        told = f"scoring ended in {type(error).__name__}, a defect of this program"
        _log.error(told)
        return _response(HTTPStatus.INTERNAL_SERVER_ERROR, {"message": told, "problems": []})


def close() -> None:
    """Return when what was collected is sent, or kept to be sent later. Nothing is asked of this process any more."""
    if _deployment is not None:
        _deployment.collector.close()


def _answer(deployment: _Deployment, clients: Sequence[Mapping[str, Any]]) -> flask.Response:
    requested_at = datetime.now(UTC)
    table, problems = json_rows.check_rows(clients)
    if problems:
        rows = len({problem.row for problem in problems})
        asked, breaks = plural(len(clients), "client"), verb(rows, "breaks", "break")
        message = f"{rows} of {asked} {breaks} the contract; nothing was scored"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message, problems)
    request = Request(uuid.uuid4().hex, deployment.model_name, deployment.model_version, requested_at)
    probabilities = deployment.model.probabilities(table).tolist() if clients else []
    predictions = [
        {
            "client_id": json_rows.client_id_of(client),
            "probability_of_default": probability,
            "predicted_default": probability >= deployment.model.threshold,
        }
        for client, probability in zip(clients, probabilities, strict=True)
    ]
    if not table.equals(deployment.golden):
        _collect(deployment, request, table)
    told = {
        "request_id": request.request_id,
        "model_name": request.model_name,
        "model_version": request.model_version,
        "predictions": predictions,
    }
    return _response(HTTPStatus.OK, told)


def _collect(deployment: _Deployment, request: Request, table: pa.Table) -> None:
    try:
        deployment.collector.collect(collected_inputs.seal(table, request, deployment.key))
    except TimeoutError:
        raise
    except Exception as error:  # noqa: BLE001 - a full disk is no reason not to answer
        _log.error(f"request {request.request_id} was answered and not collected: {type(error).__name__}")


def _response(status: HTTPStatus, content: Mapping[str, Any]) -> flask.Response:
    return flask.Response(json.dumps(content, allow_nan=False), status=status, mimetype="application/json")
