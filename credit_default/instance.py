"""The Dagster instance of an environment: its folder, its configuration, and what every process of it needs to know."""

from __future__ import annotations

import os
import shutil
from importlib.resources import as_file, files

from credit_default import permissions
from credit_default import settings as settings_of
from credit_default.settings import HOME_VARIABLE, Environment, Settings


def prepare(settings: Settings) -> dict[str, str]:
    """Make the folders of the local state and return the environment for processes that work on it.

    An existing ``dagster.yaml`` is left alone: it is the user's.

    Raises
    ------
    SettingsError
        The settings of an Azure environment are missing or malformed. Its ``dagster.yaml`` needs them too, and
        Dagster would name the first one only.
    """
    folders = [settings.dagster_home]
    if settings.environment is Environment.LOCAL:
        folders += [settings.landing / name for name in ("inference/batch", "outcomes", "curated")]
        package = "credit_default.resources.local"
    else:
        from credit_default.resources.azure import settings as azure_settings

        azure_settings.read()
        package = "credit_default.resources.azure"
    for folder in folders:
        permissions.make_open(folder)
    permissions.close_home(settings)
    configuration = settings.dagster_home / "dagster.yaml"
    if not configuration.exists():
        with as_file(files(package) / "dagster.yaml") as packaged:
            shutil.copyfile(packaged, configuration)
    return {
        **os.environ,
        HOME_VARIABLE: str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
        # dagster.yaml says so for the instance; this says so for its command-line tools.
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }


def enter(settings: Settings | None = None) -> Settings:
    """Make this very process one that works on the instance."""
    found = settings or settings_of.read()
    os.environ.update(prepare(found))
    return found
