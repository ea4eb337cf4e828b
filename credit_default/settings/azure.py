"""What an Azure environment is told by environment variables, validated together.

The names of resources are held to Azure's own rules ("Naming rules and restrictions for Azure resources" on Microsoft
Learn, and the patterns of Azure ML's REST reference), so that a slip of the pen shows here and not in a job's log.
Nothing of Azure is imported, and nobody is asked whether the resources exist.

A plain dataclass: building a pydantic model of this size takes as long as a tenth of `import dagster`, each time that
the definitions are loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from credit_default.core.variables import VariableReader
from credit_default.settings import CONNECTION_STRING_VARIABLE, ENDPOINT_NAME, ONLINE_ENDPOINT_NAME, all_problems
from credit_default.settings.azure_compute import Kind, Target, read_targets

_GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
#: Of Azure ML's workspaces, and of its registries.
_WORKSPACE = r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}"
_REGISTRY = r"[a-zA-Z0-9][a-zA-Z0-9_-]{1,31}"
#: Of endpoints, batch and online.
_ENDPOINT = r"[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]"
_ENDPOINT_IN_WORDS = "3 to 32 letters, digits and hyphens, a letter first and no hyphen last"
_WORKSPACE_IN_WORDS = "3 to 33 letters, digits, hyphens and underscores, a letter or digit first"
_REGISTRY_IN_WORDS = "2 to 32 letters, digits, hyphens and underscores, a letter or digit first"
_LONGEST_SECONDS = 7 * 86_400
_MOST_SPOT_ATTEMPTS = 20
_MOST_ONLINE_INSTANCES = 50


@dataclass(frozen=True)
class AzureSettings:
    """The settings of one Azure environment; none is a secret.

    The connection string of Application Insights is one, and is validated with the others and not kept.

    Attributes
    ----------
    subscription_id, resource_group, workspace, registry
        Where Azure ML is.
    account, container
        Storage account and blob container of the lake.
    batch_endpoint, online_endpoint
        Their names.
    online_identity
        The resource id of the identity that the online endpoint acts as; empty where there is no such endpoint.
    online_instance_type, online_instance_count
        Size and number of the machines of an online deployment.
    targets
        Where each kind of step runs.
    poll_seconds
        How often a job is looked at.
    queue_limit, run_limit, not_responding_limit, paused_limit
        Seconds that a job may be in such a state.
    unreachable_limit
        Seconds that Azure may fail to answer.
    upload_limit
        Seconds that an upload or a copy may take.
    spot_attempts
        How often a job is tried on machines that may be taken away.
    """

    subscription_id: str
    resource_group: str
    workspace: str
    registry: str
    account: str
    container: str
    batch_endpoint: str
    online_endpoint: str
    online_identity: str
    online_instance_type: str
    online_instance_count: int
    targets: Mapping[Kind, Target]
    poll_seconds: float
    queue_limit: float
    run_limit: float
    unreachable_limit: float
    not_responding_limit: float
    paused_limit: float
    upload_limit: float
    spot_attempts: int


@dataclass(frozen=True)
class _Text:
    """A variable whose value has to match a pattern."""

    variable: str
    pattern: str
    expected: str
    purpose: str
    default: str = ""


_TEXTS = {
    "subscription_id": _Text(
        "AZURE_SUBSCRIPTION_ID", _GUID, "its id, a GUID", "the subscription that everything belongs to"
    ),
    "resource_group": _Text(
        "AZURE_RESOURCE_GROUP",
        r"[-\w.()]{0,89}[-\w()]",
        "1 to 90 letters, digits, hyphens, underscores, full stops and brackets, no full stop at the end",
        "the resource group of the workspace",
    ),
    "workspace": _Text("AZURE_ML_WORKSPACE", _WORKSPACE, _WORKSPACE_IN_WORDS, "the Azure ML workspace that runs jobs"),
    "registry": _Text(
        "AZURE_ML_REGISTRY",
        _REGISTRY,
        _REGISTRY_IN_WORDS,
        "the Azure ML registry that environments share models through",
    ),
    "account": _Text(
        "AZURE_STORAGE_ACCOUNT",
        "[a-z0-9]{3,24}",
        "3 to 24 lower-case letters and digits",
        "the storage account of the lake",
    ),
    "container": _Text(
        "AZURE_STORAGE_CONTAINER",
        r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*",
        "3 to 63 lower-case letters, digits and single hyphens, a letter or digit first and last",
        "the blob container of the lake",
    ),
    "batch_endpoint": _Text(
        "CREDIT_DEFAULT_BATCH_ENDPOINT",
        _ENDPOINT,
        _ENDPOINT_IN_WORDS,
        "the batch endpoint; a region of Azure has each name once",
        ENDPOINT_NAME,
    ),
    "online_endpoint": _Text(
        "CREDIT_DEFAULT_ONLINE_ENDPOINT",
        _ENDPOINT,
        _ENDPOINT_IN_WORDS,
        "the online endpoint; a region of Azure has each name once",
        ONLINE_ENDPOINT_NAME,
    ),
    "online_identity": _Text(
        "CREDIT_DEFAULT_ONLINE_IDENTITY",
        rf"(?i)(/subscriptions/{_GUID}/resourceGroups/[^/]+/providers/"
        r"Microsoft\.ManagedIdentity/userAssignedIdentities/[\w-]{3,128})?",
        "/subscriptions/.../providers/Microsoft.ManagedIdentity/userAssignedIdentities/<name>",
        "the identity that the online endpoint acts as, by its resource id",
    ),
    "online_instance_type": _Text(
        "CREDIT_DEFAULT_ONLINE_INSTANCE_TYPE",
        r"[A-Za-z][A-Za-z0-9_]{2,63}",
        "a size such as Standard_DS3_v2",
        "the machines of an online deployment",
        "Standard_DS3_v2",
    ),
    "connection_string": _Text(
        CONNECTION_STRING_VARIABLE,
        rf"(.*;)?\s*InstrumentationKey={_GUID}(;.*)?",
        "InstrumentationKey=<GUID>;IngestionEndpoint=https://..., as the Azure portal shows it",
        "where telemetry is sent",
    ),
}
#: Settings in seconds: variable, default, what for.
_SECONDS = {
    "poll_seconds": ("CREDIT_DEFAULT_POLL_SECONDS", 10, "how often a job is looked at"),
    "queue_limit": ("CREDIT_DEFAULT_QUEUE_LIMIT", 7200, "how long a job may wait for a machine"),
    "run_limit": ("CREDIT_DEFAULT_RUN_LIMIT", 14400, "how long a job may run"),
    "unreachable_limit": ("CREDIT_DEFAULT_UNREACHABLE_LIMIT", 900, "how long Azure may fail to answer"),
    "not_responding_limit": ("CREDIT_DEFAULT_NOT_RESPONDING_LIMIT", 1800, "how long a job may be NotResponding"),
    "paused_limit": ("CREDIT_DEFAULT_PAUSED_LIMIT", 1800, "how long a job may be Paused"),
    "upload_limit": ("CREDIT_DEFAULT_UPLOAD_LIMIT", 600, "how long an upload or a copy may take"),
}
#: Settings that are counts: variable, default, smallest, largest, what for.
_COUNTS = {
    "spot_attempts": (
        "CREDIT_DEFAULT_SPOT_ATTEMPTS",
        2,
        0,
        _MOST_SPOT_ATTEMPTS,
        "how often a job is tried on spot machines",
    ),
    "online_instance_count": (
        "CREDIT_DEFAULT_ONLINE_INSTANCE_COUNT",
        1,
        1,
        _MOST_ONLINE_INSTANCES,
        "how many machines an online deployment has",
    ),
}


def read(environ: Mapping[str, str] = os.environ) -> AzureSettings:
    """Read and validate the settings of an Azure environment.

    Raises
    ------
    SettingsError
        Naming every variable that is missing or malformed: what was got, what was expected, and what it is for.
    """
    reader = VariableReader(environ)
    found = read_into(reader)
    if reader.problems:
        raise all_problems(environ, with_azure=True)
    return found


def read_into(reader: VariableReader) -> AzureSettings:
    """Return the settings; the reader has what is wrong with them."""
    found: dict[str, Any] = {
        name: reader.matching(
            text.variable,
            text.pattern,
            text.expected,
            text.purpose,
            text.default,
            # Whatever was put into the place of a secret may be one.
            secret=text.variable == CONNECTION_STRING_VARIABLE,
        )
        for name, text in _TEXTS.items()
    }
    for name, (variable, default, purpose) in _SECONDS.items():
        found[name] = reader.seconds(variable, default, purpose, maximum=_LONGEST_SECONDS)
    for name, (variable, usual, smallest, largest, purpose) in _COUNTS.items():
        found[name] = reader.whole_number(variable, usual, purpose, minimum=smallest, maximum=largest)
    found["targets"] = read_targets(reader)
    del found["connection_string"]  # the resource that needs it takes it from the environment
    return AzureSettings(**found)
