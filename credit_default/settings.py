"""Where the platform runs and where it keeps its state, read from the environment and validated when read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from credit_default.core.limits import DEFAULT_LIMITS, Limits, read_limits
from credit_default.errors import SettingsError

ENVIRONMENT_VARIABLE = "CREDIT_DEFAULT_ENV"
HOME_VARIABLE = "CREDIT_DEFAULT_HOME"
START_VARIABLE = "CREDIT_DEFAULT_START"
CONNECTION_STRING_VARIABLE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
TELEMETRY_VARIABLE = "CREDIT_DEFAULT_TELEMETRY"
#: The private key that opens what online requests held, and its public part, which is all that a deployment is given.
COLLECTION_KEY_VARIABLE = "CREDIT_DEFAULT_COLLECTION_KEY"
COLLECTION_PUBLIC_KEY_VARIABLE = "CREDIT_DEFAULT_COLLECTION_PUBLIC_KEY"
#: Where a deployment on this machine keeps collected inputs: the folder of ``traces.jsonl``.
TELEMETRY_FOLDER_VARIABLE = "CREDIT_DEFAULT_TELEMETRY_FOLDER"

MODEL_NAME = "credit-card-default"
ENDPOINT_NAME = "credit-card-default-be"
ONLINE_ENDPOINT_NAME = "credit-card-default-oe"
#: The first day of every daily table, unless START_VARIABLE says otherwise.
DEFAULT_START = "2025-01-01"


class Environment(StrEnum):
    """The four environments. All but ``local`` are Azure, with an identical set of resources."""

    LOCAL = "local"
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class Exporter(StrEnum):
    """What sends telemetry to Application Insights."""

    OPENCENSUS = "opencensus"
    OPENTELEMETRY = "opentelemetry"


@dataclass(frozen=True)
class Settings:
    """Everything that tells one installation from another.

    Attributes
    ----------
    environment
        Which set of resources is used.
    home
        Folder of the local state: ``dagster/``, ``lake/``, ``mlflow/``, ``jobs/``, ``telemetry/``. By default
        ``.credit_default/``, and below it one for each Azure environment: ``.credit_default/development/``. There it
        holds the Dagster instance and a copy of the telemetry; tables and models are in Azure.
    start
        First day of the daily tables (UTC). Fixed: moving it later hides the days before it.
    exporter
        What sends telemetry, where it is sent at all.
    limits
        What files that arrive may hold.
    """

    environment: Environment
    home: Path
    start: date
    exporter: Exporter = Exporter.OPENCENSUS
    limits: Limits = DEFAULT_LIMITS

    @property
    def dagster_home(self) -> Path:
        """Dagster's own instance folder."""
        return self.home / "dagster"

    @property
    def lake(self) -> Path:
        """Folder of every table, model and report."""
        return self.home / "lake"

    @property
    def landing(self) -> Path:
        """Folder in which files from outside arrive."""
        return self.lake / "landing"

    @property
    def jobs(self) -> Path:
        """Folder with one sub-folder per job on local compute."""
        return self.home / "jobs"

    @property
    def telemetry(self) -> Path:
        """Folder of the local traces."""
        return self.home / "telemetry"

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking server and registry."""
        return f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"


def must_be_for_trying_out(settings: Settings, what: str) -> None:
    """Refuse what writes made-up data and trains a model of it, where others rely on what is there.

    Raises
    ------
    SettingsError
        The environment is staging or production.
    """
    if settings.environment in (Environment.STAGING, Environment.PRODUCTION):
        raise SettingsError(
            f"{what}, and {ENVIRONMENT_VARIABLE} is {settings.environment.value!r}; unset it, or set it to "
            f"{Environment.LOCAL.value!r} or {Environment.DEVELOPMENT.value!r}"
        )


def must_be_local(settings: Settings, what: str) -> None:
    """Refuse what only makes sense on this machine.

    Raises
    ------
    SettingsError
        The environment is one on Azure.
    """
    if settings.environment is not Environment.LOCAL:
        raise SettingsError(
            f"{what}, and {ENVIRONMENT_VARIABLE} is {settings.environment.value!r}, an Azure environment; "
            f"unset it or set it to {Environment.LOCAL.value!r}"
        )


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and validate the settings.

    Raises
    ------
    SettingsError
        Naming every variable that is malformed, what was got and what was expected.
    """
    problems: list[str] = []
    name = environ.get(ENVIRONMENT_VARIABLE, "").strip() or Environment.LOCAL
    environment = Environment.LOCAL
    try:
        environment = Environment(name)
    except ValueError:
        choices = ", ".join(Environment)
        problems.append(f"{ENVIRONMENT_VARIABLE} is {name!r}; set it to one of {choices}, or unset it for local")

    exporter = Exporter.OPENCENSUS
    sends = environ.get(TELEMETRY_VARIABLE, "").strip() or exporter
    try:
        exporter = Exporter(sends)
    except ValueError:
        choices = " or ".join(Exporter)
        problems.append(f"{TELEMETRY_VARIABLE} is {sends!r}; set it to {choices}, or unset it for {exporter}")

    start = date.fromisoformat(DEFAULT_START)
    written = environ.get(START_VARIABLE, "").strip() or DEFAULT_START
    try:
        start = date.fromisoformat(written)
    except ValueError:
        problems.append(f"{START_VARIABLE} is {written!r}; expected the first day as YYYY-MM-DD, e.g. {DEFAULT_START}")
    today = datetime.now(UTC).date()
    if start > today:
        problems.append(f"{START_VARIABLE} is {written!r}; expected a first day that is not after today, {today} (UTC)")

    limits, wrong = read_limits(environ)
    problems += wrong

    home = Path(environ.get(HOME_VARIABLE, "").strip() or _default_home(environment)).expanduser().absolute()
    if home.exists() and not home.is_dir():
        problems.append(f"{HOME_VARIABLE} is {home}, which is a file; set it to a folder")
    if problems:
        raise SettingsError("; ".join(problems))
    return Settings(environment=environment, home=home, start=start, exporter=exporter, limits=limits)


def _default_home(environment: Environment) -> str:
    """Return a folder of its own for each environment, so that no two of them share a Dagster instance."""
    return ".credit_default" if environment is Environment.LOCAL else f".credit_default/{environment.value}"
