"""The same six names on Azure Machine Learning and Blob Storage."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from credit_default.resources.azure.client.workspace import AzureWorkspace
from credit_default.resources.azure.compute import AzureCompute
from credit_default.resources.azure.endpoint import AzureBatchEndpoint
from credit_default.resources.azure.online_endpoint import AzureOnlineEndpoint
from credit_default.resources.azure.registry import AzureModelRegistry
from credit_default.resources.azure.storage import AzureStorage
from credit_default.resources.azure.telemetry import AzureTelemetry
from credit_default.settings import CONNECTION_STRING_VARIABLE, MODEL_NAME, Environment, Settings
from credit_default.settings import azure as azure_settings


def azure_resources(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the six ports on Azure. Nothing of Azure is imported or asked yet.

    Telemetry keeps a copy at home of what it sends.

    Raises
    ------
    SettingsError
        Naming every variable that is missing or malformed.
    """
    found = azure_settings.read(environ)
    workspace = AzureWorkspace(
        subscription_id=found.subscription_id, resource_group=found.resource_group, name=found.workspace
    )
    storage = AzureStorage(
        account=found.account,
        container=found.container,
        time_limit=found.upload_limit,
        unreachable_limit=found.unreachable_limit,
        workspace=workspace,
    )
    compute = AzureCompute(
        environment=settings.environment.value,
        targets={kind.value: target for kind, target in found.targets.items()},
        poll_seconds=found.poll_seconds,
        queue_limit=found.queue_limit,
        run_limit=found.run_limit,
        unreachable_limit=found.unreachable_limit,
        not_responding_limit=found.not_responding_limit,
        paused_limit=found.paused_limit,
        upload_limit=found.upload_limit,
        spot_attempts=found.spot_attempts,
        limits=settings.limits.as_variables(),
        workspace=workspace,
        storage=storage,
    )
    registry = AzureModelRegistry(
        name=MODEL_NAME,
        registry=found.registry,
        unreachable_limit=found.unreachable_limit,
        time_limit=found.upload_limit,
        workspace=workspace,
        storage=storage,
    )
    # What goes live there was trained and tried in another environment.
    source = {"only_from_registry": settings.environment is Environment.PRODUCTION}
    # An EnvVar shows its name in the UI and not the instrumentation key in its value.
    connection_string = dg.EnvVar(CONNECTION_STRING_VARIABLE)
    return {
        "compute": compute,
        "storage": storage,
        "registry": registry,
        "endpoint": AzureBatchEndpoint(
            name=found.batch_endpoint,
            **source,
            compute=compute,
            registry=registry,
        ),
        "online_endpoint": AzureOnlineEndpoint(
            name=found.online_endpoint,
            **source,
            identity=found.online_identity,
            instance_type=found.online_instance_type,
            instance_count=found.online_instance_count,
            connection_string=connection_string,
            exporter=settings.exporter.value,
            compute=compute,
            registry=registry,
        ),
        "telemetry": AzureTelemetry(
            folder=str(settings.telemetry),
            connection_string=connection_string,
            exporter=settings.exporter.value,
            unreachable_limit=found.unreachable_limit,
            workspace=workspace,
        ),
    }
