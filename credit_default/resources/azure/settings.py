"""What an Azure environment is told by environment variables, validated together.

The names of resources are held to Azure's own rules ("Naming rules and restrictions for Azure resources" on Microsoft
Learn, and the patterns of Azure ML's REST reference), so that a slip of the pen shows here and not in a job's log.
Nothing of Azure is imported, and nobody is asked whether the resources exist.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints, ValidationError

from credit_default.errors import SettingsError
from credit_default.resources.azure.targets import TARGET_VARIABLES, Kind, Target, read_targets
from credit_default.settings import CONNECTION_STRING_VARIABLE

_GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def _connection_string(value: str) -> str:
    if not re.search(rf"(^|;)\s*InstrumentationKey={_GUID}(;|$)", value):
        raise ValueError
    return value


Guid = Annotated[str, StringConstraints(pattern=f"^{_GUID}$")]
#: Of Azure ML's workspaces and registries.
WorkspaceName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$")]
Container = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", min_length=3, max_length=63)]
#: A pattern does not apply to a SecretStr itself, so it is held to it before it becomes one.
ConnectionString = Annotated[SecretStr, BeforeValidator(_connection_string)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]

_WORKSPACE_NAME = "3 to 33 letters, digits, hyphens and underscores, a letter or digit first"
_SECONDS = "a number of seconds above 0, a week at most"


def _variable(name: str, description: str, expected: str, **more: Any) -> Any:
    """Declare a setting: its variable, what it is for, and what its value looks like."""
    return Field(alias=name, description=description, json_schema_extra={"expected": expected}, **more)


class AzureSettings(BaseModel):
    """The settings of one Azure environment. None of them is a secret but the connection string, which stays hidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subscription_id: Guid = _variable(
        "AZURE_SUBSCRIPTION_ID", "the subscription that everything belongs to", "its id, a GUID"
    )
    resource_group: Annotated[str, StringConstraints(pattern=r"^[-\w.()]{0,89}[-\w()]$")] = _variable(
        "AZURE_RESOURCE_GROUP",
        "the resource group of the workspace",
        "1 to 90 letters, digits, hyphens, underscores, full stops and brackets, no full stop at the end",
    )
    workspace: WorkspaceName = _variable("AZURE_ML_WORKSPACE", "the Azure ML workspace that runs jobs", _WORKSPACE_NAME)
    registry: WorkspaceName = _variable(
        "AZURE_ML_REGISTRY", "the Azure ML registry that environments share models through", _WORKSPACE_NAME
    )
    account: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{3,24}$")] = _variable(
        "AZURE_STORAGE_ACCOUNT", "the storage account of the lake", "3 to 24 lower-case letters and digits"
    )
    container: Container = _variable(
        "AZURE_STORAGE_CONTAINER",
        "the blob container of the lake",
        "3 to 63 lower-case letters, digits and single hyphens, a letter or digit first and last",
    )
    log_analytics_workspace_id: Guid = _variable(
        "AZURE_LOG_ANALYTICS_WORKSPACE_ID",
        "the Log Analytics workspace that telemetry is queried in",
        "its workspace id (not its resource id), a GUID",
    )
    connection_string: ConnectionString = _variable(
        CONNECTION_STRING_VARIABLE,
        "where telemetry is sent",
        "InstrumentationKey=<GUID>;IngestionEndpoint=https://..., as the Azure portal shows it",
    )
    # No user name or password in it: addresses are shown in the UI. MLflow has variables of its own for them.
    tracking_uri: Annotated[str, StringConstraints(pattern=r"^https?://[^/@\s]+(/[^@\s]*)?$")] = _variable(
        "MLFLOW_TRACKING_URI",
        "the MLflow server that holds trainings and registered models",
        "http(s)://host[:port], credentials in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    )
    poll_seconds: Seconds = _variable(
        "CREDIT_DEFAULT_POLL_SECONDS", "how often a job is looked at", _SECONDS, default=10
    )
    queue_limit: Seconds = _variable(
        "CREDIT_DEFAULT_QUEUE_LIMIT", "how long a job may wait for a machine", _SECONDS, default=7200
    )
    run_limit: Seconds = _variable("CREDIT_DEFAULT_RUN_LIMIT", "how long a job may run", _SECONDS, default=14400)
    unreachable_limit: Seconds = _variable(
        "CREDIT_DEFAULT_UNREACHABLE_LIMIT", "how long Azure may fail to answer", _SECONDS, default=900
    )
    not_responding_limit: Seconds = _variable(
        "CREDIT_DEFAULT_NOT_RESPONDING_LIMIT", "how long a job may be NotResponding", _SECONDS, default=1800
    )
    paused_limit: Seconds = _variable(
        "CREDIT_DEFAULT_PAUSED_LIMIT", "how long a job may be Paused", _SECONDS, default=1800
    )
    upload_limit: Seconds = _variable(
        "CREDIT_DEFAULT_UPLOAD_LIMIT", "how long an upload or a copy may take", _SECONDS, default=600
    )
    spot_attempts: Annotated[int, Field(ge=0, le=20)] = _variable(
        "CREDIT_DEFAULT_SPOT_ATTEMPTS",
        "how often a job is tried on spot machines",
        "a whole number, 0 to 20",
        default=2,
    )
    targets: Mapping[Kind, Target] = Field(description="Where each kind of step runs.")


def read(environ: Mapping[str, str] = os.environ) -> AzureSettings:
    """Read and validate the settings of an Azure environment.

    Raises
    ------
    SettingsError
        Naming every variable that is missing or malformed: what was got, what was expected, and what it is for.
    """
    targets, problems = read_targets(environ)
    given = {name: environ[name].strip() for name in VARIABLES if environ.get(name, "").strip()}
    try:
        found = AzureSettings.model_validate({**given, "targets": targets})
    except ValidationError as error:
        problems = [_told(problem["loc"][0], problem.get("input")) for problem in error.errors()] + problems
    if problems:
        listed = "".join(f"\n- {problem}" for problem in problems)
        raise SettingsError(f"{len(problems)} setting(s) of this Azure environment are missing or malformed:{listed}")
    return found


def _told(name: Any, got: Any) -> str:
    field = _FIELDS[name]
    # Whatever was put into the place of a secret may be one, and an address may hold a password.
    shown = "malformed" if field.annotation is SecretStr or "@" in str(got) else repr(got)
    state = "not set" if isinstance(got, dict) else shown
    extra = field.json_schema_extra
    expected = extra["expected"] if isinstance(extra, dict) else ""
    return f"{name} is {state}; expected {expected} ({field.description})"


_FIELDS = {str(field.alias): field for field in AzureSettings.model_fields.values() if field.alias}
#: Every variable that is read here, those of the compute targets apart (see `targets`).
VARIABLES = tuple(_FIELDS)
#: And with those.
ALL_VARIABLES = (*VARIABLES, *TARGET_VARIABLES)
