"""Where it runs: ports, and what implements them locally and on Azure."""

from __future__ import annotations

from typing import Any

from credit_default.settings import Environment, Settings


def resources_for(settings: Settings) -> dict[str, Any]:
    """Return the six ports, implemented for the environment. Nothing is connected to yet.

    Raises
    ------
    SettingsError
        The settings of an Azure environment are missing or malformed.
    """
    if settings.environment is Environment.LOCAL:
        from credit_default.resources.local import local_resources

        return local_resources(settings)
    from credit_default.resources.azure import azure_resources

    return azure_resources(settings)
