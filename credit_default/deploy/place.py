"""The Azure environment that a deploy command works on, and how Azure's refusals are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from credit_default import settings as settings_of
from credit_default.deploy.plans.changes import Action, Change
from credit_default.errors import CreditDefaultError, DeployError, SettingsError
from credit_default.settings import ENVIRONMENT_VARIABLE, Environment, Settings

if TYPE_CHECKING:
    from credit_default.resources.azure.client.retries import RetryPolicy
    from credit_default.resources.azure.endpoint import AzureBatchEndpoint
    from credit_default.resources.azure.online_endpoint import AzureOnlineEndpoint
    from credit_default.resources.azure.registry import AzureModelRegistry
    from credit_default.resources.azure.storage import AzureStorage

_Answer = TypeVar("_Answer")

_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class AzureTarget:
    """One Azure environment: its settings and the ports that deploy commands use."""

    settings: Settings
    storage: AzureStorage
    registry: AzureModelRegistry
    endpoint: AzureBatchEndpoint
    online_endpoint: AzureOnlineEndpoint

    @property
    def environment(self) -> str:
        """Its name."""
        return self.settings.environment.value

    @property
    def workspace(self) -> str:
        """Name of its workspace."""
        return self.registry.workspace.name

    def patience(self) -> RetryPolicy:
        """Return how long Azure is borne with."""
        from credit_default.resources.azure.client.retries import RetryPolicy

        return RetryPolicy(self.registry.workspace.credential(), self.registry.unreachable_limit, _PAUSE_SECONDS)

    def must_be_there(self) -> None:
        """Ask for the workspace: what is looked for in one that is not there would only seem to be missing in it."""
        client = self.registry.workspace.client()
        self.patience().ask("looking for the workspace", lambda: client.workspaces.get(self.workspace))

    def missing_datastore(self) -> list[Change]:
        """Return the change that lets jobs of the workspace reach the lake, if they do not yet.

        Raises
        ------
        SettingsError
            The name is taken by another container.
        """
        from credit_default.resources.azure.assets import datastore

        if self._of_datastore("looking for the datastore", datastore.is_there):
            return []
        return [Change(Action.CREATE, "datastore", self.storage.datastore, self.workspace, "there is none yet")]

    def make_datastore(self) -> None:
        """Let jobs of the workspace reach the lake."""
        from credit_default.resources.azure.assets import datastore

        self._of_datastore("making the datastore", datastore.ensure)

    def _of_datastore(self, what: str, question: Callable[..., _Answer]) -> _Answer:
        client, storage = self.registry.workspace.client(), self.storage
        lake = {"account": storage.account, "container": storage.container}
        return self.patience().ask(what, lambda: question(client, storage.datastore, **lake))

    def must_be(self, environment: Environment, what: str) -> None:
        """Refuse what belongs to another environment.

        Raises
        ------
        SettingsError
            This is another one.
        """
        if self.settings.environment is not environment:
            raise SettingsError(
                f"{what}, and {ENVIRONMENT_VARIABLE} is {self.environment!r}; set it to {environment.value!r}, or name "
                "the settings of that environment by --settings"
            )


def open_place(environ: Mapping[str, str] = os.environ) -> AzureTarget:
    """Return the Azure environment that the settings name; nobody is asked yet.

    Raises
    ------
    SettingsError
        They are missing or malformed, or those of this machine.
    """
    settings = settings_of.read(environ)
    if settings.environment is Environment.LOCAL:
        raise SettingsError(
            f"Deploy commands work on an Azure environment, and {ENVIRONMENT_VARIABLE} is 'local'; set it to "
            "development, staging or production, or name a file with its settings by --settings"
        )
    from credit_default.resources.azure import azure_resources

    ports = azure_resources(settings, environ)
    names = ("storage", "registry", "endpoint", "online_endpoint")
    return AzureTarget(settings, **{name: ports[name] for name in names})


@contextmanager
def told_by_azure(what: str) -> Iterator[None]:
    """Tell a refusal of Azure in our own words; the SDK's may hold signed addresses.

    Raises
    ------
    DeployError
        Azure refused.
    """
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

    try:
        yield
    except CreditDefaultError:
        raise
    except ClientAuthenticationError as error:
        raise DeployError(
            f"Azure does not know who we are ({type(error).__name__}), so {what} failed; log in by `az login`, "
            "or give this process an identity (AZURE_CLIENT_ID, AZURE_TENANT_ID and what proves it)"
        ) from error
    except HttpResponseError as error:
        code = error.error.code if error.error is not None else error.reason
        raise DeployError(
            f"Azure refused {what} ({error.status_code} {code}); check the names in the settings, and give whoever "
            "runs this the roles AzureML Data Scientist on the workspace and AzureML Registry User on the registry"
        ) from error
    except AzureError as error:
        raise DeployError(
            f"{what.capitalize()} failed ({type(error).__name__}); its own words are the cause"
        ) from error
