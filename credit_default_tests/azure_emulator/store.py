"""Everything that the emulator remembers."""

import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from credit_default_tests.azure_emulator.blobs import Blobs
    from credit_default_tests.azure_emulator.execution import Runner
    from credit_default_tests.azure_emulator.faults import Faults
    from credit_default_tests.azure_emulator.identity import Identity
    from credit_default_tests.azure_emulator.operations import Operation
    from credit_default_tests.azure_emulator.registries import Registry
    from credit_default_tests.azure_emulator.tracking import Tracking

SUBSCRIPTION = "5f3a1c9e-7b42-4d0a-9c36-2e8f4b6d1a70"
RESOURCE_GROUP = "credit-default"
REGION = "westeurope"
API_HOST = f"{REGION}.api.azureml.ms"
ACCOUNT = "cdlake"


def now() -> str:
    """Return the present moment as Azure writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Workspace:
    """One Azure ML workspace.

    Attributes
    ----------
    tables
        What the workspace holds, a dictionary for each kind: ``tables["computes"]["cpu-cluster"]``. A route module
        picks the names of its own tables and what it keeps in them.
    container
        The container of the lake.
    artifacts
        The container of the default datastore ``workspaceblobstore``.
    instrumentation_key, log_analytics
        Of its Application Insights, and the id of the Log Analytics workspace behind that.
    classic_tables
        Whether queries of its Application Insights know ``traces`` and the like, or ``AppTraces`` and the like.
    """

    name: str
    container: str
    artifacts: str
    account: str = ACCOUNT
    subscription: str = SUBSCRIPTION
    resource_group: str = RESOURCE_GROUP
    guid: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: str = field(default_factory=now)
    instrumentation_key: str = field(default_factory=lambda: str(uuid.uuid4()))
    log_analytics: str = field(default_factory=lambda: str(uuid.uuid4()))
    classic_tables: bool = True
    tables: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def registry(self) -> str:
        """The registry that it is told to share models through: one of its own, unless a test says otherwise."""
        return f"{self.name}-models"

    @property
    def online_identity(self) -> str:
        """The identity made for its online endpoint, which may read its images, its lake and its registry."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-{self.name}-online"

    @property
    def arm_id(self) -> str:
        """The workspace's id in Azure Resource Manager."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    def resource(self, path: str, properties: dict[str, Any], *, created: str | None = None) -> dict[str, Any]:
        """Return a resource as Azure Resource Manager wraps it.

        Parameters
        ----------
        path
            The resource below the workspace: ``jobs/NAME``, ``data/NAME/versions/1``.
        properties
            What is particular to it.
        created
            When it was made; now when left out.
        """
        parts = path.split("/")
        moment = created or now()
        made = {"createdAt": moment, "createdBy": "emulator", "createdByType": "Application"}
        changed = {"lastModifiedAt": moment, "lastModifiedBy": "emulator", "lastModifiedByType": "Application"}
        return {
            "id": f"{self.arm_id}/{path}",
            "name": parts[-1],
            "type": "/".join(["Microsoft.MachineLearningServices/workspaces", *parts[::2]]),
            "properties": properties,
            "systemData": {**made, **changed},
        }


@dataclass
class State:
    """The one object that every part of the emulator shares.

    Handlers run in threads: whoever reads and then writes holds ``lock``.

    Attributes
    ----------
    home
        The emulator's folder; each part keeps its files in a folder of its own below it.
    tracking
        The MLflow server that jobs log to.
    urls
        Where the parts listen on loopback: ``proxy``, ``control``, ``azurite``.
    registries
        Azure ML registries by name.
    journal
        Every request that was answered.
    unknown
        Routes, api-versions and wire names that were seen and are not known.
    refused_hosts
        Hosts that somebody wanted to reach and that are no part of the emulator.
    ingested
        Envelopes that Application Insights was sent.
    job_environment
        What a job needs to reach the emulator: ``HTTPS_PROXY``, ``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE`` and the
        managed identity's ``MSI_ENDPOINT`` and ``MSI_SECRET``.
    operations
        Long-running operations that were begun, by their ids.
    runner
        Runs the jobs of every kind.
    at_stop
        Called, last first, when the emulator stops: kill what you started.
    """

    home: Path
    identity: "Identity"
    faults: "Faults"
    blobs: "Blobs"
    tracking: "Tracking | None" = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    urls: dict[str, str] = field(default_factory=dict)
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    registries: "dict[str, Registry]" = field(default_factory=dict)
    journal: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[dict[str, Any]] = field(default_factory=list)
    refused_hosts: list[str] = field(default_factory=list)
    ingested: list[dict[str, Any]] = field(default_factory=list)
    job_environment: dict[str, str] = field(default_factory=dict)
    at_stop: list[Callable[[], None]] = field(default_factory=list)
    operations: "dict[str, Operation]" = field(default_factory=dict)
    runner: "Runner" = field(init=False)
