"""Where in the blob store the addresses of inputs, outputs and code lie."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from credit_default_tests.azure_emulator.azure_errors import bad_request, not_found
from credit_default_tests.azure_emulator.store import Workspace

_DATASTORE = re.compile(
    r"azureml:(?://.*?|.*?/)datastores/(?P<name>[\w-]+)(?:/paths)?(?:/(?P<path>.*))?$", re.IGNORECASE
)
_ASSET = re.compile(r"(?:azureml:)?(?P<id>/subscriptions/.*)$", re.IGNORECASE)


class Location(NamedTuple):
    """A blob, or a folder of blobs."""

    container: str
    path: str


def locate(workspace: Workspace, address: str) -> Location:
    """Return where an address lies: a path on a datastore, a data asset, or a blob's own address."""
    if match := _DATASTORE.match(address):
        return Location(container_of(workspace, match["name"]), match["path"] or "")
    if match := _ASSET.match(address):
        data = asset(workspace, match["id"], "data")
        return locate(workspace, data["properties"]["dataUri"])
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.netloc == f"{workspace.account}.blob.core.windows.net":
        container, _, path = unquote(parts.path).lstrip("/").partition("/")
        return Location(container, path)
    raise bad_request(f"The path '{address}' is on no datastore of this workspace and in none of its blob containers.")


def container_of(workspace: Workspace, datastore: str) -> str:
    """Return the container that a datastore stands for; Azure's 404 when there is no such datastore."""
    return _named(workspace, datastore)["properties"]["containerName"]


def datastore_of(workspace: Workspace, address: str) -> dict:
    """Return the datastore that an address is on."""
    match = _DATASTORE.match(address)
    if match is None:
        raise bad_request(f"The path '{address}' is on no datastore.")
    return _named(workspace, match["name"])


def _named(workspace: Workspace, datastore: str) -> dict:
    found = workspace.tables["datastores"].get(datastore)
    if found is None:
        raise not_found("Datastore", datastore)
    return found


def asset(workspace: Workspace, arm_id: str, kind: str) -> dict:
    """Return a version of an asset by its id in Azure Resource Manager.

    Parameters
    ----------
    kind
        What it must be: ``environments``, ``codes``, ``components``, ``data``.
    """
    _, found, tail = arm_id.removeprefix("azureml:").partition(f"{workspace.arm_id}/{kind}/")
    parts = tail.split("/")
    if not found or len(parts) != 3 or parts[1] != "versions":
        raise bad_request(f"'{arm_id}' is not the id of a version of one of this workspace's {kind}.")
    name, _, version = parts
    try:
        return workspace.tables[kind][name][version]
    except KeyError:
        raise not_found(kind.capitalize().rstrip("s"), f"{name}:{version}") from None
