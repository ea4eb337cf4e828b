"""The registry of models trained on Azure: an MLflow server, whose versions point into Blob Storage."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import Field

from credit_default.resources.local.registry import LocalModelRegistry


class AzureModelRegistry(LocalModelRegistry):
    """Keeps versions as the local registry does; only where their files are differs."""

    account: str = Field(description="Storage account of the lake.")
    container: str = Field(description="Blob container of the lake.")

    def _source(self, key: str) -> str:
        # MLflow loads models from Blob Storage by this scheme; an https address it would take for a server of its own.
        return f"wasbs://{self.container}@{self.account}.blob.core.windows.net/{quote(key)}"
