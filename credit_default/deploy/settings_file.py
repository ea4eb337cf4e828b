"""Files with the settings of Azure environments, for a shell that is not set up for one, or is for another.

A file has lines ``NAME=value``, as GitHub shows the variables of an environment and `docker --env-file` reads them. It
names ``CREDIT_DEFAULT_ENV`` and everything else that the README lists, but for secrets: the collection key, and the
connection string if one takes it for a secret, stay in the environment of the process. So does who we are: the identity
that the settings of an orchestrator name is not that of the laptop or workflow that reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from credit_default import settings as settings_of
from credit_default.errors import SettingsError
from credit_default.settings import (
    COLLECTION_KEY_VARIABLE,
    CONNECTION_STRING_VARIABLE,
    ENVIRONMENT_VARIABLE,
    Environment,
)

_OURS = ("CREDIT_DEFAULT_", "AZURE_ML_", "AZURE_STORAGE_", "AZURE_RESOURCE_GROUP", "AZURE_SUBSCRIPTION_ID")
_WHO_WE_ARE = ("AZURE_CLIENT_", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_USERNAME", "AZURE_PASSWORD")
_SECRETS = (COLLECTION_KEY_VARIABLE, CONNECTION_STRING_VARIABLE)


def read(path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a process that works with the settings of a file.

    What tells one environment from another comes from the file alone: nothing of another one gets through.

    Raises
    ------
    SettingsError
        The file cannot be read, or does not say which Azure environment it is about.
    """
    from dotenv import dotenv_values

    try:
        told = dotenv_values(path, interpolate=False, encoding="utf-8") if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read ({type(error).__name__}); expected lines NAME=value") from error
    if told is None:
        raise SettingsError(f"{path} is not there; expected a file with the settings of an Azure environment")
    wrong = [name for name, value in told.items() if value is None]
    if wrong:
        raise SettingsError(f"{path} holds lines that are no settings: {', '.join(wrong)}; expected NAME=value")
    kept = {name: value for name, value in environ.items() if not name.startswith(_OURS) or name in _SECRETS}
    named = {name: value or "" for name, value in told.items() if not name.startswith(_WHO_WE_ARE)}
    environment = {**kept, **named}
    if settings_of.read(environment).environment is Environment.LOCAL:
        raise SettingsError(f"{path} does not set {ENVIRONMENT_VARIABLE}; set it to development, staging or production")
    return environment


@contextmanager
def entered(environment: Mapping[str, str]) -> Iterator[None]:
    """Make this very process one that works with an environment, as long as it lasts."""
    before, told = dict(os.environ), dict(environment)
    try:
        os.environ.clear()
        os.environ.update(told)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
