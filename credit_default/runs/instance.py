"""The Dagster instance of an environment: its folder, its configuration, and what every process of it needs to know."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

import dagster as dg
from yaml import YAMLError  # type: ignore[import-untyped] # its stubs are no dependency of ours

from credit_default import settings as settings_of
from credit_default.core import lake
from credit_default.errors import SettingsError
from credit_default.resources.dagster_internals import CheckError, dagster_instance_config
from credit_default.settings import HOME_VARIABLE, Environment, Settings, describe_home, make_home, permissions

#: Characters of Dagster's explanation of a faulty configuration: it lists everything that it knows.
_MAX_REASON = 300


def prepare(settings: Settings) -> dict[str, str]:
    """Make the folders of the local state and return the environment for processes that work on it.

    An existing ``dagster.yaml`` is left alone: it is the user's.

    Raises
    ------
    SettingsError
        The home may not be made or written to, its ``dagster.yaml`` is none, or the settings of an Azure environment
        are missing or malformed. Azure's ``dagster.yaml`` needs them too, and Dagster would name the first one only.
    """
    folders = [settings.dagster_home]
    if settings.environment is Environment.LOCAL:
        folders += [settings.lake / key for key in (lake.LANDED_INFERENCE, lake.LANDED_OUTCOMES, lake.LANDED_CURATED)]
        package = "credit_default.resources.local"
    else:
        from credit_default.settings import azure as azure_settings

        azure_settings.read()
        package = "credit_default.resources.azure"
    if settings.environment is Environment.LOCAL:  # a hosted Dagster may have a read-only file system
        make_home(settings)
    try:
        for folder in folders:
            permissions.make_with_original_umask(folder)
        permissions.close_home(settings)
        configuration = settings.dagster_home / "dagster.yaml"
        if not configuration.exists():
            with as_file(files(package) / "dagster.yaml") as packaged:
                shutil.copyfile(packaged, configuration)
    except OSError as error:
        problem = f"where {error.filename} cannot be made ({error.strerror})"
        raise SettingsError(f"{describe_home(settings.home, problem)}.") from error
    _check_configuration(settings)
    return {
        **os.environ,
        HOME_VARIABLE: str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
        # dagster.yaml says so for the instance; this says so for its command-line tools.
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
    }


def _check_configuration(settings: Settings) -> None:
    """Refuse a ``dagster.yaml`` that is no configuration, for which Dagster has a traceback."""
    try:
        dagster_instance_config(str(settings.dagster_home))
    except (YAMLError, UnicodeDecodeError, CheckError, dg.DagsterInvalidConfigError) as error:
        reason = textwrap.shorten(str(error), _MAX_REASON, placeholder=" ...")
        raise SettingsError(
            f"{settings.dagster_home / 'dagster.yaml'} is no configuration of a Dagster instance ({reason}); mend it, "
            "or remove it: then it is made anew."
        ) from error


@contextmanager
def opened(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the instance for a question: one that is not there yet is an empty one, and is not created."""
    if not settings.dagster_home.is_dir():
        with dg.DagsterInstance.ephemeral() as empty:
            yield empty
        return
    enter(settings)
    with dg.DagsterInstance.get() as instance:
        yield instance


def enter(settings: Settings | None = None) -> Settings:
    """Make this very process one that works on the instance."""
    # Dagster has imported what this imports; a command that needs no instance does not pay for it.
    from credit_default.core import patient_sqlite

    patient_sqlite.install()
    found = settings or settings_of.read()
    os.environ.update(prepare(found))
    return found
