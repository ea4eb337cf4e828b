"""What steps print, in the lake: Dagster's own log manager, with whoever the platform is to Azure.

Its own credential would be `DefaultAzureCredential`, which finds nobody in a job of GitHub Actions.
"""

from __future__ import annotations

from typing import Any

from dagster_azure.blob.compute_log_manager import AzureBlobComputeLogManager
from dagster_azure.blob.utils import create_blob_client

from credit_default.resources.azure.client.credential import Credential


class LakeComputeLogManager(AzureBlobComputeLogManager):
    """Keeps the logs of runs in a container; the configuration is `AzureBlobComputeLogManager`'s."""

    def __init__(self, storage_account: str, container: str, **more: Any) -> None:
        super().__init__(storage_account, container, **more)
        self._blob_client = create_blob_client(storage_account, Credential(), self._endpoint_suffix)
        self._container_client = self._blob_client.get_container_client(container)
