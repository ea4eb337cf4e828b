"""The hosts of the blob store: a thin front that passes everything on to Azurite.

It is there so that requests for blobs appear in the journal, can be given faults, and come with a token that we signed.
"""

import ssl
from pathlib import Path
from xml.sax.saxutils import escape

import aiohttp
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from yarl import URL

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
        self._azurite = azurite
        self._trusted = ssl.create_default_context(cafile=str(bundle))
        self._client: aiohttp.ClientSession | None = None

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
        target = request.scope["raw_path"] + (b"?" + query if query else b"")
        try:
            answer = await self._asked(request, target.decode("ascii"))
        except aiohttp.ClientError as error:
            raise AzureError(503, "ServerBusy", f"Azurite does not answer: {type(error).__name__}") from error
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_CONNECTION}
        return StreamingResponse(
            answer.content.iter_any(), answer.status, headers, background=BackgroundTask(answer.release)
        )

    async def _asked(self, request: Request, target: str) -> aiohttp.ClientResponse:
        """Send the request on as it came."""
        return await self._session().request(
            request.method,
            URL(self._azurite + target, encoded=True),
            headers=[(name, value) for name, value in request.headers.items() if name != "connection"],
            data=request.stream() if _has_body(request) else None,
            allow_redirects=False,
        )

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                # Shorter than Azurite's own five seconds, so that no request meets a connection that just closes.
                connector=aiohttp.TCPConnector(ssl=self._trusted, limit=64, keepalive_timeout=2),
                timeout=aiohttp.ClientTimeout(total=300),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._client

    def refused(self, error: AzureError) -> Response:
        """Return an error as Azure Storage words it."""
        body = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        headers = {"Content-Type": "application/xml", "x-ms-error-code": error.code}
        return Response(f'<?xml version="1.0" encoding="utf-8"?>{body}', error.status, headers | error.headers)

    async def close(self) -> None:
        """Close the connections to Azurite."""
        if self._client:
            await self._client.close()


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
