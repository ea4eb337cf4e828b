"""The hosts of the blob store: a thin front that passes everything on to Azurite.

It is there so that requests for blobs appear in the journal, can be given faults, and come with a token that we signed.
"""

import ssl
from pathlib import Path
from xml.sax.saxutils import escape

import httpx
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from credit_default_tests.azure_emulator.azure_errors import AzureError
from credit_default_tests.azure_emulator.store import State

SUFFIX = ".blob.core.windows.net"
AUDIENCES = ("https://storage.azure.com",)
# Belong to one connection, and are said anew on the next.
_OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


class StorageFront:
    """Passes requests on to Azurite.

    Parameters
    ----------
    state
        Knows the accounts and checks tokens.
    azurite
        Azurite's URL.
    bundle
        The authority that signed its certificate.
    """

    def __init__(self, state: State, azurite: str, bundle: Path) -> None:
        self._state = state
        self._client = httpx.AsyncClient(
            base_url=azurite,
            verify=ssl.create_default_context(cafile=str(bundle)),
            trust_env=False,
            timeout=300,
            limits=httpx.Limits(max_connections=64),
        )

    def serves(self, host: str) -> bool:
        """Whether the host is a storage account's."""
        return host.endswith(SUFFIX)

    async def response(self, request: Request, host: str) -> Response:
        """Return Azurite's answer.

        Raises
        ------
        AzureError
            The account does not exist, or the token is not accepted.
        """
        if host.removesuffix(SUFFIX) != self._state.blobs.account:
            raise AzureError(404, "AccountNotFound", f"The storage account of {host} does not exist.")
        if request.headers.get("authorization", "").lower().startswith("bearer"):
            audiences = (*AUDIENCES, f"https://{host}")
            self._state.identity.check(request.headers["authorization"], audiences, continuous=False)
        query = request.scope["query_string"]
        target = httpx.URL(raw_path=request.scope["raw_path"] + (b"?" + query if query else b""))
        passed = [(name, value) for name, value in request.headers.raw if name != b"connection"]
        behind = self._client.build_request(request.method, target, headers=passed, content=request.stream())
        answer = await self._client.send(behind, stream=True)
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_CONNECTION}
        return StreamingResponse(
            answer.aiter_raw(), answer.status_code, headers, background=BackgroundTask(answer.aclose)
        )

    def refused(self, error: AzureError) -> Response:
        """Return an error as Azure Storage words it."""
        body = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        headers = {"Content-Type": "application/xml", "x-ms-error-code": error.code}
        return Response(f'<?xml version="1.0" encoding="utf-8"?>{body}', error.status, headers | error.headers)

    async def close(self) -> None:
        """Close the connections to Azurite."""
        await self._client.aclose()
