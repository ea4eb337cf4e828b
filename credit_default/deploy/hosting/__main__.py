"""Start one part of a hosted Dagster: ``python -m credit_default.deploy.hosting code``.

What each listens on is Dagster's own business: ``DAGSTER_GRPC_HOST`` and ``DAGSTER_GRPC_PORT`` for the code server,
``DAGSTER_WEBSERVER_HOST`` and ``DAGSTER_WEBSERVER_PORT`` for the web server.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.resources import files
from pathlib import Path

from credit_default import settings as settings_of
from credit_default.errors import CreditDefaultError, SettingsError
from credit_default.runs import instance
from credit_default.settings import ENVIRONMENT_VARIABLE, Environment, Settings, permissions

_WORKSPACE = ("--workspace", str(files("credit_default.deploy.hosting") / "workspace.yaml"))
PARTS = {
    "code": ("dagster", "api", "grpc", "--module-name", "credit_default.definitions"),
    "daemon": ("dagster-daemon", "run", *_WORKSPACE),
    "migrate": ("dagster", "instance", "migrate"),
    "web": ("dagster-webserver", *_WORKSPACE),
}


def main() -> None:
    """Check the settings, then become the part that is asked for."""
    parser = argparse.ArgumentParser(prog="credit_default.deploy.hosting", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    part = parser.parse_args().part
    try:
        settings = settings_of.read()
        _check(settings)
        permissions.restrict_umask()
        instance.enter(settings)
    except CreditDefaultError as error:
        sys.exit(f"Error: {error}")
    program, *arguments = PARTS[part]
    path = Path(sys.executable).with_name(program)
    os.execv(path, [program, *arguments])  # noqa: S606 - our own command


def _check(settings: Settings) -> None:
    """Refuse what would start, and then keep its runs where nobody else sees them."""
    if settings.environment is Environment.LOCAL:
        raise SettingsError(
            f"{ENVIRONMENT_VARIABLE} is {settings.environment.value!r}, whose tables and models would be lost with the "
            f"container; set it to {Environment.DEVELOPMENT.value!r}, {Environment.STAGING.value!r} or "
            f"{Environment.PRODUCTION.value!r}"
        )
    configuration = settings.dagster_home / "dagster.yaml"
    if not configuration.exists():
        # Preparing the instance would put the one of a single machine there, with a SQLite for each container.
        raise SettingsError(
            f"{configuration} is missing; expected the dagster.yaml that the image puts there. Mount no volume over "
            f"{settings.dagster_home}, and leave CREDIT_DEFAULT_HOME as the image sets it"
        )


if __name__ == "__main__":
    main()
