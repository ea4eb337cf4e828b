"""Versioned assets: code, data, environments, components.

A version of an asset never changes once it is there, but for its description, its tags and whether it is archived.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from credit_default_tests.azure_emulator.azure_errors import bad_request, conflict, not_found
from credit_default_tests.azure_emulator.names import check_name, check_version
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import State

MAY_CHANGE = {"description", "tags", "isArchived"}


@dataclass(frozen=True)
class Kind:
    """One kind of versioned asset.

    Parameters
    ----------
    table
        Its name in paths and among a workspace's tables. A version is kept at ``tables[table][name][version]``.
    label
        What a person calls it.
    model
        The SDK's generated model of a version.
    versions
        The ``api-version`` values that the SDK asks with.
    """

    table: str
    label: str
    model: str
    versions: tuple[str, ...]

    @property
    def container_model(self) -> str:
        """The SDK's generated model of what all versions of one name have in common."""
        return self.label + "Container"

    @property
    def routes(self) -> list[Route]:
        """What a workspace serves of this kind."""
        all_versions = f"{{ws}}/{self.table}/{{name}}/versions"
        one = f"{all_versions}/{{version}}"
        return [
            Route("GET", f"{{ws}}/{self.table}/{{name}}", self.container, self.versions, answer=self.container_model),
            Route("GET", all_versions, self.list, self.versions, answer=f"{self.model}[]"),
            Route("GET", one, self.get, self.versions, answer=self.model),
            Route("PUT", one, self.put, self.versions, request=self.model, answer=self.model),
        ]

    def container(self, call: Call) -> Answer:
        """Answer what all versions of one name have in common."""
        newest = list(self._versions(call).values())[-1]
        latest = newest["name"]
        following = str(int(latest) + 1) if latest.isdecimal() else latest
        shared: dict[str, Any] = {"latestVersion": latest, "nextVersion": following, "isArchived": False}
        if "dataType" in newest["properties"]:
            shared["dataType"] = newest["properties"]["dataType"]
        path = f"{self.table}/{call.params['name']}"
        return Answer(call.workspace.resource(path, {"tags": {}, "properties": {}} | shared))

    def list(self, call: Call) -> Answer:
        """Answer the versions of one name, the newest first; of code, those that have a hash, whatever their name.

        The SDK asks with a name that it has just made up, and takes name and version from what it is told.
        """
        wanted = call.query.get("hash")
        with call.state.lock:
            table = call.workspace.tables[self.table]
            named = table.values() if wanted else [table.get(call.params["name"], {})]
            found = [one for versions in named for one in reversed(versions.values())]
        if wanted:
            found = [one for one in found if one["properties"].get("properties", {}).get("hash_sha256") == wanted]
        shown = {"ActiveOnly": (False,), "ArchivedOnly": (True,)}
        archived = shown.get(call.query.get("listViewType", ""), (True, False))
        found = [one for one in found if one["properties"].get("isArchived", False) in archived]
        if call.query.get("$orderBy", "createdtime desc") != "createdtime desc":
            raise bad_request(f"The emulator knows no order '{call.query['$orderBy']}'.")
        return Answer({"value": found[: int(call.query.get("$top", len(found)))]})

    def get(self, call: Call) -> Answer:
        """Answer one version."""
        name, version = call.params["name"], call.params["version"]
        found = call.workspace.tables[self.table].get(name, {}).get(version)
        if found is None:
            raise not_found(self.label, f"{name}:{version}")
        return Answer(found)

    def put(self, call: Call) -> Answer:
        """Store a version; refuse to change one that is there."""
        workspace = call.workspace
        name, version = check_name(self.label, call.params["name"]), check_version(call.params["version"])
        asked = call.body["properties"]
        with call.state.lock:
            versions = workspace.tables[self.table].setdefault(name, {})
            known = versions.get(version)
            if known and (changed := sorted(_changed(known["properties"], asked))):
                raise conflict(
                    f"{self.label} '{name}' version '{version}' already exists, and its {', '.join(changed)} cannot "
                    "be changed."
                )
            properties = {"isArchived": False, "isAnonymous": False, "tags": {}, "properties": {}} | asked
            stored = workspace.resource(f"{self.table}/{name}/versions/{version}", properties)
            if self.table != "data":
                properties["provisioningState"] = "Succeeded"
            if self.table == "models":
                properties.setdefault("flavors", {})
            if self.table == "environments":
                properties.setdefault("environmentType", "UserCreated")
            versions[version] = stored
        return Answer(stored, 200 if known else 201)

    def _versions(self, call: Call) -> dict[str, Any]:
        with call.state.lock:
            versions = dict(call.workspace.tables[self.table].get(call.params["name"], {}))
        if not versions:
            raise not_found(self.label, call.params["name"])
        return versions


KINDS = (
    Kind("codes", "Code", "CodeVersion", ("2023-04-01",)),
    Kind("data", "Data", "DataVersionBase", ("2023-04-01-preview",)),
    Kind("environments", "Environment", "EnvironmentVersion", ("2023-04-01-preview",)),
    Kind("components", "Component", "ComponentVersion", ("2024-01-01-preview",)),
)


def routes(state: State) -> list[Route]:
    """Return the routes of every kind, and the one that code is uploaded through."""
    del state
    upload = Route(
        "POST",
        "{ws}/codes/{name}/versions/{version}/startPendingUpload",
        _start_upload,
        ("2023-04-01",),
        request="PendingUploadRequestDto",
        answer="PendingUploadResponseDto",
    )
    return [upload, *(route for kind in KINDS for route in kind.routes)]


def _start_upload(call: Call) -> Answer:
    """Answer a container of its own for the upload of a version of code: the SDK puts the files at its root.

    In a shared one the SDK would take an older upload that lies there for this one.
    """
    workspace, blobs = call.workspace, call.state.blobs
    container = f"code-{uuid.uuid4()}"
    blobs.create_container(container)
    signature = blobs.container_signature(container)
    folder = f"https://{workspace.account}.blob.core.windows.net/{container}"
    account = (
        f"/subscriptions/{workspace.subscription}/resourceGroups/{workspace.resource_group}"
        f"/providers/Microsoft.Storage/storageAccounts/{workspace.account}"
    )
    return Answer(
        {
            "pendingUploadId": container,
            "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": {
                "blobUri": folder,
                "storageAccountArmId": account,
                "credential": {"credentialType": "SAS", "sasUri": f"{folder}?{signature}"},
            },
        }
    )


def _changed(known: dict[str, Any], asked: dict[str, Any]) -> set[str]:
    """Name the immutable properties that a second PUT would change; what it leaves out stays as it is."""
    return {name for name, value in asked.items() if name not in MAY_CHANGE and known.get(name) != value}
