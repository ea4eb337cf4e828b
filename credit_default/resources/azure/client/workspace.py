"""The Azure ML workspace: one client and one credential, opened when they are first needed."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from credit_default.core.model import quiet_mlflow

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
    from azure.core.pipeline import PipelineResponse
    from azure.identity import DefaultAzureCredential

    from credit_default.resources.azure.client.github_identity import GitHubCredential

_Token = TypeVar("_Token")

#: Options of azure-core for every request: a call ends within about a minute, whoever polls decides what then.
REQUEST_OPTIONS: dict[str, Any] = {
    "retry_total": 4,
    "retry_connect": 2,
    "retry_backoff_max": 20,
    "connection_timeout": 10,
    "read_timeout": 30,
}
#: For how long one call waits at most when Azure says by Retry-After how long it should.
LONGEST_PAUSE = 60.0
_CLOUD_VARIABLE = "AZUREML_CURRENT_CLOUD"


def bound_pause(response: "PipelineResponse[Any, Any]") -> None:
    """Shorten what an answer says by Retry-After: azure-core would sleep an hour inside one call.

    For azure-core's `raw_response_hook`. A policy for repeating that is handed to `MLClient` would be one object in all
    its pipelines, each of which links it to its own next policy.
    """
    from azure.core.pipeline.policies import RetryPolicy

    told = RetryPolicy().get_retry_after(response)
    if told is not None and told > LONGEST_PAUSE:
        headers = response.http_response.headers
        for name in ("retry-after-ms", "x-ms-retry-after-ms"):
            headers.pop(name, None)
        headers["Retry-After"] = f"{LONGEST_PAUSE:g}"


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


class AzureWorkspace(dg.ConfigurableResource[Any]):
    """An Azure ML workspace. Nothing is imported and nobody is asked before the first use."""

    subscription_id: str = Field(description="Azure subscription that the workspace belongs to.")
    resource_group: str = Field(description="Resource group that the workspace belongs to.")
    name: str = Field(description="Name of the workspace.")
    _credential: Credential = PrivateAttr(default_factory=Credential)
    _client: Any = PrivateAttr(default=None)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def arm_id(self) -> str:
        """Azure's own name of the workspace, from the subscription down."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    def credential(self) -> Credential:
        """Return who we are to Azure; never asks a person."""
        return self._credential

    def client(self) -> "MLClient":
        """Return the SDK's client of this workspace; it opens no connection by itself."""
        with self._lock:
            if self._client is None:
                self._client = self.new_client()
            return self._client  # type: ignore[no-any-return] # a private attribute of pydantic is Any

    def new_client(self) -> "MLClient":
        """Return a client of its own: some calls of the SDK turn the whole client to a registry meanwhile."""
        return self._made(
            subscription_id=self.subscription_id, resource_group_name=self.resource_group, workspace_name=self.name
        )

    def registry_client(self, registry: str) -> "MLClient":
        """Return a client of an Azure ML registry; asks at once where that is."""
        return self._made(registry_name=registry)

    def _made(self, **scope: str) -> "MLClient":
        # At INFO, azure-core logs every request with its headers; urllib3 at DEBUG whole signed addresses.
        for logger in ("azure", "urllib3", "msal"):
            logging.getLogger(logger).setLevel(logging.WARNING)
        # It names classes of the SDK's own that are "experimental", used or not.
        logging.getLogger("azure.ai.ml._utils._experimental").setLevel(logging.ERROR)
        # To look at a workspace, the SDK loads MLflow with its plugin if it can, for an address that nobody asks for.
        quiet_mlflow.settle(os.environ.get("MLFLOW_TRACKING_URI", ""))
        from azure.ai.ml import MLClient

        with _cloud_kept():
            return MLClient(
                self._credential,
                **scope,
                enable_telemetry=False,
                show_progress=False,
                raw_response_hook=bound_pause,
                **REQUEST_OPTIONS,
            )


@contextmanager
def _cloud_kept() -> Iterator[None]:
    """Undo what `MLClient` writes into the environment, which every process that we start would inherit."""
    before = os.environ.get(_CLOUD_VARIABLE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_CLOUD_VARIABLE, None)
