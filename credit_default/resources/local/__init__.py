"""The embedded default: everything on this machine, no network."""

from __future__ import annotations

import os
from typing import Any

from credit_default.settings import (
    CONNECTION_STRING_VARIABLE,
    ENDPOINT_NAME,
    MODEL_NAME,
    ONLINE_ENDPOINT_NAME,
    Settings,
)


def local_resources(settings: Settings) -> dict[str, Any]:
    """Return the six ports on this machine."""
    # Here, since Azure's ports and the scoring script use some modules of this package and should not pay for others.
    import dagster as dg

    from credit_default.resources.local.compute import LocalCompute
    from credit_default.resources.local.endpoint import LocalBatchEndpoint
    from credit_default.resources.local.online_endpoint import LocalOnlineEndpoint
    from credit_default.resources.local.registry import LocalModelRegistry
    from credit_default.resources.local.storage import LocalStorage
    from credit_default.resources.local.telemetry import LocalTelemetry

    lake = str(settings.lake)
    compute = LocalCompute(
        jobs=str(settings.jobs), lake=lake, tracking_uri=settings.tracking_uri, step_timeout=settings.step_timeout
    )
    storage = LocalStorage(root=lake)
    registry = LocalModelRegistry(name=MODEL_NAME, tracking_uri=settings.tracking_uri, files=settings.lake.as_uri())
    # An EnvVar shows its name in the UI and not the instrumentation key in its value.
    watched = CONNECTION_STRING_VARIABLE in os.environ
    connection = {"connection_string": dg.EnvVar(CONNECTION_STRING_VARIABLE)} if watched else {}
    return {
        "compute": compute,
        "storage": storage,
        "registry": registry,
        "endpoint": LocalBatchEndpoint(name=ENDPOINT_NAME, compute=compute, storage=storage, registry=registry),
        "online_endpoint": LocalOnlineEndpoint(name=ONLINE_ENDPOINT_NAME, storage=storage),
        "telemetry": LocalTelemetry(folder=str(settings.telemetry), exporter=settings.exporter.value, **connection),
    }
