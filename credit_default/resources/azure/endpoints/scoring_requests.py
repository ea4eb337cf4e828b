"""Requests to online endpoints.

The SDK has a way of its own, which keeps the deployment and the token of one request for every later one of the process
and takes the body from a file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from credit_default.resources.azure.client.credential import Credential
from credit_default.resources.azure.client.request_options import REQUEST_OPTIONS, bound_pause

if TYPE_CHECKING:
    from azure.core import PipelineClient

_SCOPE = "https://ml.azure.com/.default"
#: Sends a request to one deployment, whatever the traffic.
_DEPLOYMENT = "azureml-model-deployment"
#: What Azure makes of anything but a 200 of the scoring script, with what that was in a header.
_MODEL_ERROR, _MODEL_STATUS = 424, "ms-azureml-model-error-statuscode"
_OK = 200


class Refused(Exception):
    """The scoring script answered, and not with scores; ``message`` is its reason."""

    def __init__(self, status: str, body: bytes) -> None:
        super().__init__(f"status {status}")
        try:
            self.message = str(json.loads(body)["message"])
        except (ValueError, TypeError, KeyError):
            self.message = "it gave no reason"


def post(credential: Credential, address: str, deployment: str, body: bytes, *, seconds: float) -> bytes:
    """Return what a deployment answers.

    Raises
    ------
    Refused
        The scoring script refused it, or failed.
    HttpResponseError
        Azure did.
    """
    from azure.core.exceptions import HttpResponseError
    from azure.core.rest import HttpRequest

    headers = {"Content-Type": "application/json", _DEPLOYMENT: deployment}
    with _client(credential, seconds) as client:
        response = client.send_request(HttpRequest("POST", address, headers=headers, content=body))
    if response.status_code == _OK:
        return bytes(response.content)
    if response.status_code == _MODEL_ERROR:
        raise Refused(response.headers.get(_MODEL_STATUS, "unknown"), bytes(response.content))
    told = HttpResponseError(f"the endpoint answered with status {response.status_code}")
    told.status_code = response.status_code
    raise told


def _client(credential: Credential, seconds: float) -> PipelineClient[Any, Any]:
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import BearerTokenCredentialPolicy, CustomHookPolicy, RetryPolicy
    from azure.core.pipeline.transport import RequestsTransport

    options = {**REQUEST_OPTIONS, "read_timeout": seconds}
    return PipelineClient(
        "",
        policies=[
            RetryPolicy(**options),
            BearerTokenCredentialPolicy(credential, _SCOPE),
            CustomHookPolicy(raw_response_hook=bound_pause),
        ],
        transport=RequestsTransport(**options),
    )
