"""The datastore by which jobs reach the lake: an address book entry without any credential."""

from __future__ import annotations

from typing import TYPE_CHECKING

from credit_default.errors import SettingsError

if TYPE_CHECKING:
    from azure.ai.ml import MLClient


def is_there(client: MLClient, name: str, *, account: str, container: str) -> bool:
    """Whether the lake's container is registered under a name.

    Raises
    ------
    SettingsError
        The name is taken by another container.
    """
    from azure.core.exceptions import ResourceNotFoundError

    try:
        found = client.datastores.get(name)
    except ResourceNotFoundError:
        return False
    held = (getattr(found, "account_name", None), getattr(found, "container_name", None))
    if held != (account, container):
        raise SettingsError(
            f"The datastore {name} of the workspace is container {held[1]} of account {held[0]}; expected container "
            f"{container} of {account}, as AZURE_STORAGE_CONTAINER and AZURE_STORAGE_ACCOUNT say; remove the "
            "datastore (that deletes no data) or change the settings"
        )
    return True


def ensure(client: MLClient, name: str, *, account: str, container: str) -> None:
    """Register the lake's container under a name, unless it is. Jobs read it with the identity that they run as.

    Raises
    ------
    SettingsError
        The name is taken by another container.
    """
    from azure.ai.ml.entities import AzureBlobDatastore

    if is_there(client, name, account=account, container=container):
        return
    client.datastores.create_or_update(
        AzureBlobDatastore(
            name=name,
            account_name=account,
            container_name=container,
            description="The lake of credit-default; no key and no signature, jobs use their own identity.",
        )
    )
