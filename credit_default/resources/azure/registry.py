"""The model registry of an Azure ML workspace, and the Azure ML registry by which workspaces share models."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import dagster as dg
from pydantic import Field

from credit_default.core import lake
from credit_default.core.model.model_folder import MODEL_ID_LENGTH, open_folder
from credit_default.errors import CreditDefaultError, HashMismatch, ModelError, NotThere, StorageError
from credit_default.ports import ModelRegistry, ModelVersion
from credit_default.resources.azure.assets import datastore
from credit_default.resources.azure.assets.aliases import Aliases
from credit_default.resources.azure.assets.shared_models import SharedModels
from credit_default.resources.azure.client.retries import RetryPolicy, unless_missing
from credit_default.resources.azure.client.workspace import AzureWorkspace
from credit_default.resources.azure.storage import AzureStorage
from credit_default.resources.model_versions import (
    KEY,
    SHA256,
    expectation_of,
    is_ours,
    no_such_version,
)

if TYPE_CHECKING:
    from azure.ai.ml.entities import Model

_Result = TypeVar("_Result")

#: Tag of a version that came from a registry: its id there.
IMPORTED_FROM = "taken_from"
#: Aliases that are shown as tags of the versions too, for whoever looks at them in the studio.
_MARKS = ("champion", "challenger")
_PAUSE_SECONDS = 2.0
_TRIES = 20
_LOGGER = logging.getLogger(__name__)


class AzureModelRegistry(ModelRegistry):
    """Registers model folders of the lake as versions of one Azure ML model, and shares them with other workspaces.

    A version points at its folder in the lake, which never changes. Which versions are champion and challenger is kept
    in a blob of the lake, since changes of tags can overwrite each other; the tags follow.
    """

    name: str = Field(description="Name of the registered model, in the workspace and in the shared registry.")
    registry: str = Field(description="Azure ML registry that environments share models through.")
    unreachable_limit: float = Field(default=900.0, description="Seconds that Azure ML may fail to answer.")
    time_limit: float = Field(default=600.0, description="Seconds that a copy to or from the registry may take.")
    workspace: dg.ResourceDependency[AzureWorkspace]
    storage: dg.ResourceDependency[AzureStorage]

    def register(self, key: str, *, sha256: str, tags: Mapping[str, str]) -> ModelVersion:  # noqa: D102 - see the port
        for _ in range(_TRIES):
            twins = [version for version in self.versions() if version.sha256 == sha256]
            if twins:
                # Of two runs that registered the same file at the same time, the first one counts.
                *later, first = twins
                for twin in later:
                    self._archive(twin.version)
                return first
            self._create(self.next_number(), key, {**tags, KEY: key, SHA256: sha256})
        raise StorageError(f"Others register versions of {self.name} all the time ({_TRIES} tries); try again")

    def get(self, version_or_alias: str) -> ModelVersion:  # noqa: D102 - see the port
        versions, lost = self._split()
        for known in versions:
            if version_or_alias in (known.version, *known.aliases):
                return known
        raise no_such_version(self.name, version_or_alias, (known.version for known in versions), lost)

    def versions(self) -> list[ModelVersion]:  # noqa: D102 - see the port
        return self._split()[0]

    def set_alias(self, alias: str, version: str) -> None:  # noqa: D102 - see the port
        self.get(version)
        self._ask(f"making version {version} {alias}", lambda: self._aliases.set(alias, version))
        self._show_aliases()

    def next_number(self) -> str:
        """Return the number of the version that is registered next; one that was archived is not given again."""
        return str(max(self._numbers(), default=0) + 1)

    def asset_id(self, version: str) -> str:
        """Return the name by which deployments of this workspace mean a version."""
        return f"azureml:{self.name}:{version}"

    def shared_id(self, version: str) -> str:
        """Return the name by which every workspace means a version that was shared."""
        return self._shared.address(version)

    def share(self, version: str) -> str:
        """Upload a version to the shared registry, under the same number, unless it is there; return its id there.

        Nothing is uploaded before every file is the one that was registered.

        Raises
        ------
        NotThere
            The workspace has no such version.
        HashMismatch
            A file in the lake is not what it was when it was trained.
        ModelError
            The registry holds another model under this number, or did not take this one.
        """
        model = self.get(version)
        if self.is_shared(model):
            return self.shared_id(version)
        with self.storage.on_disk(model.key) as path:
            folder = open_folder(path, expectation_of(model, self.storage, _LOGGER.warning), where=model.key)
            try:
                self._shared.upload(model, folder)
            except HashMismatch:
                raise
            except Exception as error:
                # Somebody else may have shared it meanwhile, or only the answer was lost.
                if self.is_shared(model):
                    return self.shared_id(version)
                if isinstance(error, CreditDefaultError):
                    raise
                raise ModelError(
                    f"Registry {self.registry} did not take version {version} of {self.name} "
                    f"({type(error).__name__}); give the identity that runs this the role AzureML Registry User on "
                    "it, and see that its storage account allows shared access signatures, by which files arrive"
                ) from error
        return self.shared_id(version)

    def take(self, version: str) -> ModelVersion:
        """Bring a version from the shared registry into this workspace and its lake, unless it is here.

        Nothing is registered before every file is the one that its manifest and its tag name.

        Raises
        ------
        NotThere
            The registry has no such version.
        HashMismatch
            A file in the registry is not what it was when it was trained, or a tag not what it was when it was shared.
        """
        shared = self.shared(version)
        if shared is None:
            raise NotThere(
                f"Registry {self.registry} has no version {version} of {self.name}; share it from the workspace that "
                "trained it"
            )
        for known in self.versions():
            if known.sha256 == shared.sha256:
                return known
        with self._shared.download(shared) as folder:
            key = lake.model(shared.sha256[:MODEL_ID_LENGTH])
            staged = lake.taken(self.name, version, shared.sha256[:MODEL_ID_LENGTH])
            for name in folder.manifest["files"]:
                self.storage.write(f"{staged}/{name}", folder.read(name))
            self.storage.write(f"{staged}/{lake.MANIFEST_FILE}", folder.content)
        self.storage.publish(staged, key)
        tags = {name: value for name, value in shared.tags.items() if name not in (*_MARKS, KEY, SHA256)}
        return self.register(key, sha256=shared.sha256, tags={**tags, IMPORTED_FROM: self.shared_id(version)})

    def is_shared(self, model: ModelVersion) -> bool:
        """Whether a version of this workspace is in the shared registry, under the same number.

        Raises
        ------
        ModelError
            The registry holds another model under this number.
        """
        shared = self.shared(model.version)
        if shared is None:
            return False
        if shared.sha256 != model.sha256:
            raise ModelError(
                f"Registry {self.registry} holds another model as version {model.version} of {self.name} (sha256 "
                f"{shared.sha256[:12]}..., here {model.sha256[:12]}...); only one workspace may share under a name: "
                "archive that version or use a registry of your own (AZURE_ML_REGISTRY)"
            )
        return True

    def shared(self, version: str) -> ModelVersion | None:
        """Return a version as the shared registry has it, or None."""
        return self._shared.find(version)

    @property
    def _shared(self) -> SharedModels:
        return SharedModels(self.workspace, self.registry, self.name, self.time_limit, self.unreachable_limit)

    @property
    def _aliases(self) -> Aliases:
        return Aliases(self.storage.blobs, lake.aliases(self.name))

    def _split(self) -> tuple[list[ModelVersion], list[str]]:
        """Return the versions, newest first, and the numbers of those that lack the tags that count."""
        aliases: dict[str, list[str]] = {}
        for alias, version in self._ask("reading aliases", self._aliases.read).items():
            aliases.setdefault(version, []).append(alias)
        # Others made those whose version is no number. As text, 10 would come before 9.
        numbered = [model for model in self._listed() if str(model.version).isdecimal()]
        numbered.sort(key=lambda model: int(str(model.version)), reverse=True)
        ours = [_model_version(model, aliases) for model in numbered if is_ours(model.tags)]
        return ours, [str(model.version) for model in numbered if not is_ours(model.tags)]

    def _listed(self, *, archived: bool = False) -> "list[Model]":
        """Return the versions of the model as the workspace has them, those that are archived too if asked for."""
        from azure.ai.ml.constants import ListViewType

        client = self.workspace.client()
        view = ListViewType.ALL if archived else ListViewType.ACTIVE_ONLY
        none: list[Model] = []
        return self._ask(
            f"listing versions of {self.name}",
            lambda: unless_missing(lambda: list(client.models.list(self.name, list_view_type=view)), none),
        )

    def _numbers(self) -> list[int]:
        """Return every number that was ever given."""
        return [int(str(model.version)) for model in self._listed(archived=True) if str(model.version).isdecimal()]

    def _create(self, version: str, key: str, tags: Mapping[str, str]) -> None:
        """Register a version, unless somebody else took the number; whoever calls this looks what came of it."""
        from azure.ai.ml.constants import AssetTypes
        from azure.ai.ml.entities import Model
        from azure.ai.ml.exceptions import AssetPathException
        from azure.core.exceptions import HttpResponseError

        model = Model(
            name=self.name,
            version=version,
            path=self.storage.datastore_uri(key),
            type=AssetTypes.MLFLOW_MODEL,
            description="Probability of default of card clients.",
            tags=dict(tags),
        )
        client, storage = self.workspace.client(), self.storage

        def create() -> None:
            datastore.ensure(client, storage.datastore, account=storage.account, container=storage.container)
            client.models.create_or_update(model)

        try:
            self._ask(f"registering version {version}", create)
        except (HttpResponseError, AssetPathException) as error:
            if int(version) not in self._numbers():
                raise ModelError(
                    f"Azure ML did not register {key} as version {version} of {self.name} "
                    f"({getattr(error, 'status_code', None) or type(error).__name__}); give the identity that runs "
                    "this the role AzureML Data Scientist on the workspace"
                ) from error

    def _archive(self, version: str) -> None:
        client = self.workspace.client()
        self._ask(f"archiving version {version}", lambda: client.models.archive(self.name, version))

    def _show_aliases(self) -> None:
        """Let the tags of the versions say what the aliases are now; they only show it, so a failure is only told."""
        client = self.workspace.client()
        shown: dict[str, str] | None = None
        while shown != (aliases := self._aliases.read()):
            shown = aliases
            try:
                for model in client.models.list(self.name):
                    marks = {mark: "yes" for mark in _MARKS if aliases.get(mark) == str(model.version)}
                    tags = dict(model.tags or {})
                    if {mark: tags[mark] for mark in _MARKS if mark in tags} != marks:
                        model.tags = {name: value for name, value in tags.items() if name not in _MARKS} | marks
                        client.models.create_or_update(model)
            except Exception as error:  # noqa: BLE001 - the aliases themselves are set
                _LOGGER.warning("Tags of %s do not show its aliases for now (%s).", self.name, type(error).__name__)
                return

    def _ask(self, what: str, question: Callable[[], _Result]) -> _Result:
        return RetryPolicy(self.workspace.credential(), self.unreachable_limit, _PAUSE_SECONDS).ask(what, question)


def _model_version(model: Any, aliases: Mapping[str, list[str]]) -> ModelVersion:
    return ModelVersion(
        name=model.name,
        version=str(model.version),
        key=model.tags[KEY],
        sha256=model.tags[SHA256],
        tags={name: value for name, value in model.tags.items() if name not in _MARKS},
        aliases=tuple(sorted(aliases.get(str(model.version), ()))),
    )
