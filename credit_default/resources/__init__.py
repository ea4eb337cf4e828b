"""Where it runs: ports, and what implements them locally and on Azure."""

from __future__ import annotations

from typing import Any

from credit_default.errors import SettingsError
from credit_default.settings import ENVIRONMENT_VARIABLE, Environment, Settings


def resources_for(settings: Settings) -> dict[str, Any]:
    """Return the five ports, implemented for the environment. Nothing is connected to yet.

    Raises
    ------
    SettingsError
        When the environment has no resources in this version.
    """
    if settings.environment is not Environment.LOCAL:
        raise SettingsError(
            f"{ENVIRONMENT_VARIABLE} is {settings.environment.value!r}, an Azure environment, and this version "
            f"runs locally only; unset it or set it to {Environment.LOCAL.value!r}"
        )
    from credit_default.resources.local import local_resources

    return local_resources(settings)
