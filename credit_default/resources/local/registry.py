"""The model registry of an MLflow: a database of this machine, or a server."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import Field

from credit_default.core.system_errors import retried
from credit_default.ports import ModelRegistry, ModelVersion
from credit_default.resources.local.registry_database import StoredVersion, read_versions
from credit_default.resources.model_versions import KEY, SHA256, is_ours, no_such_version

if TYPE_CHECKING:
    from mlflow import MlflowClient


class LocalModelRegistry(ModelRegistry):
    """Registers model folders of the lake as versions of one MLflow registered model."""

    name: str = Field(description="Name of the registered model.")
    tracking_uri: str = Field(description="MLflow tracking URI; its store holds the registry too.")
    files: str = Field(description="Address below which MLflow finds the folders of storage.")

    def register(self, key: str, *, sha256: str, tags: Mapping[str, str]) -> ModelVersion:  # noqa: D102 - see the port
        for known in self.versions():
            if known.sha256 == sha256:
                return known
        client = self._client()
        self._ensure_model(client)
        retried(
            lambda: client.create_model_version(
                self.name,
                source=f"{self.files}/{quote(key)}",
                run_id=tags.get("mlflow_run_id") or None,
                tags={**tags, KEY: key, SHA256: sha256},
            )
        )
        # MLflow's client asks again when an answer is lost, and another run may register the same file meanwhile.
        *twins, first = (version for version in self.versions() if version.sha256 == sha256)
        for twin in twins:
            self._remove(client, twin.version)
        return first

    def get(self, version_or_alias: str) -> ModelVersion:  # noqa: D102 - see the port
        versions, lost = self._split()
        for known in versions:
            if version_or_alias in (known.version, *known.aliases):
                return known
        raise no_such_version(self.name, version_or_alias, (known.version for known in versions), lost)

    def versions(self) -> list[ModelVersion]:  # noqa: D102 - see the port
        return self._split()[0]

    def set_alias(self, alias: str, version: str) -> None:  # noqa: D102 - see the port
        client, found = self._client(), self.get(version)
        retried(lambda: client.set_registered_model_alias(self.name, alias, found.version))

    def _split(self) -> tuple[list[ModelVersion], list[str]]:
        """Return the versions, newest first, and the numbers of those that have lost the tags that count."""
        from credit_default.core.model.tracking import database_of

        database = database_of(self.tracking_uri)
        if database is None:
            found = self._ask_server()
        elif not database.exists():
            return [], []  # a question makes none
        else:
            stored = read_versions(database, self.name)
            found = self._ask_server() if stored is None else stored
        ours = [self._model_version(one) for one in found if is_ours(one.tags)]
        return ours, [str(one.version) for one in found if not is_ours(one.tags)]

    def _ask_server(self) -> list[StoredVersion]:
        """Return the versions, newest first, from MLflow itself."""
        client = self._client()
        # Asked for by name: a shared server answers with its first hundred models otherwise.
        named = f"name = '{self.name}'"
        models = retried(lambda: client.search_registered_models(filter_string=named))
        found = {
            int(one.version): StoredVersion(int(one.version), dict(one.tags))
            for one in retried(lambda: client.search_model_versions(named))
        }
        for model in models:
            for alias, version in model.aliases.items():
                if int(version) in found:
                    found[int(version)].aliases.add(alias)
        return [found[version] for version in sorted(found, reverse=True)]

    def _model_version(self, stored: StoredVersion) -> ModelVersion:
        return ModelVersion(
            name=self.name,
            version=str(stored.version),
            key=stored.tags[KEY],
            sha256=stored.tags[SHA256],
            tags=stored.tags,
            aliases=tuple(sorted(stored.aliases)),
        )

    def _remove(self, client: MlflowClient, version: str) -> None:
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):  # the other one removes it too
            client.delete_model_version(self.name, version)

    def _ensure_model(self, client: MlflowClient) -> None:
        from mlflow.exceptions import MlflowException

        try:
            retried(
                lambda: client.create_registered_model(self.name, description="Probability of default of card clients.")
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _client(self) -> MlflowClient:
        # MLflow takes seconds to import: only a run that needs the registry pays for it.
        from credit_default.core.model.tracking import open_client

        return open_client(self.tracking_uri)
