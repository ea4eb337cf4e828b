"""Sign-in to Azure by `DefaultAzureCredential`, or by the identity of a job of GitHub Actions."""

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
    from azure.identity import DefaultAzureCredential

    from credit_default.resources.azure.client.github_identity import GitHubCredential

_Token = TypeVar("_Token")


class Credential:
    """DefaultAzureCredential that can be told to forget its tokens; in a job of GitHub Actions, the job's identity.

    It keeps a token until the moment that is written on it. When Azure refuses one earlier (a clock that is off, a
    role that was changed), asking again would only give the same token again.

    It says in one way, too, that we are nobody and that nobody could be asked who we are. Once there was a token, it
    is the latter: an outage, as which it is raised then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._source: DefaultAzureCredential | GitHubCredential | None = None
        self._proven = False

    def get_token(self, *scopes: str, **options: Any) -> "AccessToken":
        """Return a token, as azure-core asks for it."""
        return self._asked(lambda: self._opened().get_token(*scopes, **options))

    def get_token_info(self, *scopes: str, options: "TokenRequestOptions | None" = None) -> "AccessTokenInfo":
        """Return a token, as newer versions of azure-core ask for it."""
        return self._asked(lambda: self._opened().get_token_info(*scopes, options=options))

    def forget(self) -> None:
        """Ask for fresh tokens from now on."""
        with self._lock:
            self._source = None

    def _asked(self, question: Callable[[], _Token]) -> _Token:
        from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

        try:
            token = question()
        except ClientAuthenticationError as error:
            if self._proven and error.response is None:
                raise ServiceRequestError("no token for now, from an identity that had got one before") from error
            raise
        self._proven = True
        return token

    def _opened(self) -> "DefaultAzureCredential | GitHubCredential":
        with self._lock:
            if self._source is None:
                from azure.identity import DefaultAzureCredential

                from credit_default.resources.azure.client.github_identity import found_in

                self._source = found_in(os.environ) or DefaultAzureCredential(
                    exclude_interactive_browser_credential=True
                )
            return self._source
