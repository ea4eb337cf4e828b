"""A model in the Azure ML registry through which workspaces share it: uploaded and downloaded as a verified folder.

A version is uploaded by a client of the registry. `models.share`, which lets Azure copy it from the workspace, is
documented for datastores with credentials only, and the lake's has none.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from credit_default.core import lake
from credit_default.core.model.model_folder import MANIFEST_TAG, ModelFolder, open_folder
from credit_default.core.stored_json import read_object
from credit_default.errors import DamagedFile, HashMismatch, ModelError
from credit_default.ports import ModelVersion
from credit_default.resources.azure.client.retries import RetryPolicy, unless_missing, within
from credit_default.resources.azure.client.workspace import AzureWorkspace
from credit_default.resources.azure.storage import AzureStorage
from credit_default.resources.model_versions import KEY, SHA256, expectation_of

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Model

_Result = TypeVar("_Result")

#: Beside the files of a shared model: the tags of the version as the workspace that shared it had them.
REGISTRATION_FILE = "registration.json"
#: Tags that decide what a version is and whether it may go live: registry and folder must say the same of them.
_DECISIVE = (SHA256, MANIFEST_TAG, "verdict")
_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class SharedModels:
    """The versions of one model in an Azure ML registry.

    Attributes
    ----------
    registry, name
        Of the registry, and of the model in it.
    time_limit
        Seconds that an upload or a download may take.
    unreachable_limit
        Seconds that Azure may fail to answer.
    """

    workspace: AzureWorkspace
    registry: str
    name: str
    time_limit: float
    unreachable_limit: float

    def address(self, version: str) -> str:
        """Return the name by which every workspace means a version."""
        return f"azureml://registries/{self.registry}/models/{self.name}/versions/{version}"

    def find(self, version: str) -> ModelVersion | None:
        """Return a version, or None when the registry does not have it.

        Its tags are those of the registry. When that has dropped them all, they are those that lie in the folder.

        Raises
        ------
        ModelError
            Neither says what the version is.
        """
        found = self._find(version)
        if found is None:
            return None
        tags = dict(found.tags or {})
        if not tags.keys() & {KEY, SHA256, MANIFEST_TAG}:
            with self._files(version) as folder:
                tags = self._registration(folder, version) or {}
        if not tags.get(SHA256):
            raise ModelError(
                f"{self.address(version)} has no tag {SHA256}, by which its files could be held to what was trained; "
                "share the model again under a new version"
            )
        return ModelVersion(self.name, version, "", tags[SHA256], tags)

    def upload(self, model: ModelVersion, folder: ModelFolder) -> None:
        """Upload a version of the workspace: the files that its manifest names, and the tags of the version."""
        from azure.ai.ml.constants import AssetTypes
        from azure.ai.ml.entities import Model

        tags = dict(model.tags)
        with tempfile.TemporaryDirectory(prefix="credit-default-") as temporary:
            # Its last part is the name of the folder in the registry.
            copy = Path(temporary) / "model"
            registration = {"model": model.name, "version": model.version, "tags": tags}
            contents = {name: folder.read(name) for name in folder.manifest["files"]}
            contents[lake.MANIFEST_FILE] = folder.content
            contents[REGISTRATION_FILE] = json.dumps(registration, indent=2).encode()
            for name, content in contents.items():
                path = copy / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

            def upload() -> None:
                self._client().models.create_or_update(
                    Model(
                        name=self.name,
                        version=model.version,
                        path=str(copy),
                        type=AssetTypes.MLFLOW_MODEL,
                        description="Probability of default of card clients.",
                        tags=tags,
                    )
                )

            self._bounded(f"uploading version {model.version} to registry {self.registry}", upload)

    @contextmanager
    def download(self, shared: ModelVersion) -> Iterator[ModelFolder]:
        """Hold a copy of a version on this machine's disk, each file of it as it was trained.

        Raises
        ------
        HashMismatch
            A file is not what it was when it was trained, or a tag is not what it was when the version was shared.
        """
        with self._files(shared.version) as folder:
            registration = self._registration(folder, shared.version)
            other = [name for name in _DECISIVE if registration and registration.get(name) != shared.tags.get(name)]
            if other:
                raise HashMismatch(
                    f"{self.address(shared.version)} has other tags than when it was shared, as its "
                    f"{REGISTRATION_FILE} says: {', '.join(other)}; find out who changed them and put them back, or "
                    "share the model again under a new version"
                )
            yield open_folder(folder, expectation_of(shared, None), where=self.address(shared.version))

    def _find(self, version: str) -> Model | None:
        nothing: Model | None = None
        return self._ask(
            f"looking for version {version} in registry {self.registry}",
            lambda: unless_missing(lambda: self._client().models.get(self.name, version), nothing),
        )

    def _registration(self, folder: Path, version: str) -> dict[str, str] | None:
        """Return the tags that lie in a folder; None when it was shared by a release that left none there."""
        path, where = folder / REGISTRATION_FILE, f"{self.address(version)}/{REGISTRATION_FILE}"
        if not path.is_file():
            return None
        remedy = "share the model again under a new version"
        try:
            tags: Mapping[str, object] = read_object(path.read_bytes(), where, remedy, tags=dict)["tags"]
        except DamagedFile as error:
            raise ModelError(str(error)) from None
        if not all(isinstance(tag, str) for tag in tags.values()):
            raise ModelError(f"{where} is damaged: got a tag that is no text; {remedy}")
        return {name: str(tag) for name, tag in tags.items()}

    @contextmanager
    def _files(self, version: str) -> Iterator[Path]:
        """Hold a copy of the folder of a version, whatever is in it."""
        with tempfile.TemporaryDirectory(prefix="credit-default-") as temporary:
            if self._downloads(version, temporary):
                yield self._root(Path(temporary), version)
                return
        with self._read_unsigned(version) as folder:
            yield self._root(folder, version)

    def _downloads(self, version: str, folder: str) -> bool:
        """Download a version; False when the registry hands out no signature, where the SDK trips over its absence."""
        try:
            self._bounded(
                f"downloading version {version} from registry {self.registry}",
                lambda: self._client().models.download(self.name, version, download_path=folder),
            )
        except KeyError as error:
            if error.args != ("sasUri",):
                raise
            return False
        return True

    @contextmanager
    def _read_unsigned(self, version: str) -> Iterator[Path]:
        """Hold a copy that is read with our own identity, from a registry that hands out no signatures."""
        found = self._find(version)
        address = urlsplit(str(found.path) if found is not None else "")
        container, _, key = unquote(address.path).strip("/").partition("/")
        account = address.netloc.partition(".")[0]
        if not (address.scheme == "https" and account and container):
            raise ModelError(f"{self.address(version)} does not say where its files are; share the model again")
        storage = AzureStorage(
            account=account, container=container, time_limit=self.time_limit, workspace=self.workspace
        )
        with storage.on_disk(key) as folder:
            yield folder

    def _client(self) -> MLClient:
        return self.workspace.registry_client(self.registry)

    def _bounded(self, what: str, work: Callable[[], _Result]) -> _Result:
        """Do something of the SDK that may hang for ever, and repeat it when Azure has an outage."""

        def late() -> ModelError:
            return ModelError(
                f"Azure ML was still {what} after {self.time_limit:g} s; see that the storage account of the "
                "registry allows shared access signatures, by which files travel, or raise CREDIT_DEFAULT_UPLOAD_LIMIT"
            )

        return self._ask(what, lambda: within(self.time_limit, lambda _: work(), late))

    def _ask(self, what: str, question: Callable[[], _Result]) -> _Result:
        return RetryPolicy(self.workspace.credential(), self.unreachable_limit, _PAUSE_SECONDS).ask(what, question)

    def _root(self, folder: Path, version: str) -> Path:
        manifests = sorted(folder.rglob(lake.MANIFEST_FILE))
        if not manifests:
            raise ModelError(
                f"{self.address(version)} holds no {lake.MANIFEST_FILE}; it was not shared by this project"
            )
        return manifests[0].parent
