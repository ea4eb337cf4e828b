"""The address of an online endpoint: who may ask, which deployment answers, and what Azure makes of its answer."""

from __future__ import annotations

import hmac
import random
from http import HTTPStatus

import httpx

from credit_default_tests.azure_emulator.azure_errors import AzureError
from credit_default_tests.azure_emulator.batch_endpoints import SCORING_HOST, addressed
from credit_default_tests.azure_emulator.job import seconds_of
from credit_default_tests.azure_emulator.online_endpoints import Deployment, Endpoint, deployment_of, endpoint_of
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import State

ROUTING_HEADER = "azureml-model-deployment"
_AUDIENCES = ("https://ml.azure.com",)
#: What is between client and endpoint, and not for the model's program.
_KEPT_BACK = {"host", "authorization", "content-length", "connection", "accept-encoding", ROUTING_HEADER}
_OF_THE_TRANSPORT = {"connection", "content-length", "content-type", "date", "server", "transfer-encoding"}


def routes(state: State) -> list[Route]:
    """Return the one route of this module. Who may ask is up to the endpoint."""
    del state
    return [Route("POST", "/score", _score, host=SCORING_HOST, audiences=(), parsed=False)]


def _score(call: Call) -> Answer:
    endpoint = endpoint_of(*addressed(call))
    _authorise(call, endpoint)
    deployment = _routed(call, endpoint)
    settings = deployment.resource["properties"]["requestSettings"]
    instances = deployment.resource["sku"]["capacity"]
    with call.state.lock:
        if deployment.waiting >= 2 * settings["maxConcurrentRequestsPerInstance"] * instances:
            raise AzureError(429, "TooManyRequests", "Too many pending requests.")
        deployment.waiting += 1
    try:
        return _handed_on(call, deployment, seconds_of(settings["requestTimeout"]) or 0.0)
    finally:
        with call.state.lock:
            deployment.waiting -= 1


def _authorise(call: Call, endpoint: Endpoint) -> None:
    authorization = call.headers.get("authorization")
    mode = endpoint.resource["properties"]["authMode"]
    if mode == "Key":
        given = (authorization or "").removeprefix("Bearer ").encode()
        if not any(hmac.compare_digest(given, key.encode()) for key in endpoint.keys):
            raise AzureError(401, "Unauthorized", "The key is missing or wrong.")
    else:
        call.state.identity.check(authorization, _AUDIENCES if mode == "AADToken" else (endpoint.audience,))


def _routed(call: Call, endpoint: Endpoint) -> Deployment:
    """Return the deployment that the request names, or one that traffic is sent to, by its share."""
    traffic = {name: share for name, share in endpoint.resource["properties"]["traffic"].items() if share}
    name = call.headers.get(ROUTING_HEADER)
    if name is None:
        if not traffic:
            raise AzureError(404, "NotFound", "The endpoint has no deployment with traffic.")
        (name,) = random.choices(list(traffic), list(traffic.values()))
    deployment = deployment_of(endpoint.workspace, endpoint.name, name)
    if deployment.server is None:
        raise AzureError(404, "NotFound", f"Deployment '{name}' is not ready.")
    return deployment


def _handed_on(call: Call, deployment: Deployment, seconds: float) -> Answer:
    assert deployment.server is not None
    headers = {name: value for name, value in call.headers.items() if name.lower() not in _KEPT_BACK}
    try:
        answer = deployment.server.post(call.raw, headers, seconds)
    except httpx.TimeoutException:
        raise AzureError(408, "RequestTimeout", "The model took longer than the timeout of requests.") from None
    except httpx.TransportError:
        raise AzureError(503, "ServiceUnavailable", "The model's program does not answer.") from None
    shown = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_TRANSPORT}
    shown |= {"Content-Type": answer.headers.get("content-type", ""), ROUTING_HEADER: deployment.name}
    if answer.status_code == HTTPStatus.OK:
        return Answer(answer.content, headers=shown)
    # Whatever else the model's program says is a 424 to the client, with the same body: Azure's proxy does so.
    shown["ms-azureml-model-error-reason"] = "model_error"
    shown["ms-azureml-model-error-statuscode"] = str(answer.status_code)
    return Answer(answer.content, HTTPStatus.FAILED_DEPENDENCY, shown)
