"""The Azure ML workspace: one client and one credential, opened when they are first needed."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr

from credit_default.core.model import quiet_mlflow
from credit_default.resources.azure.client.credential import Credential
from credit_default.resources.azure.client.request_options import REQUEST_OPTIONS, bound_pause

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

_CLOUD_VARIABLE = "AZUREML_CURRENT_CLOUD"


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
