"""Where the platform runs and where it keeps its state, read from the environment and validated when read."""

from __future__ import annotations

import grp
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from credit_default.core.files.limits import DEFAULT_LIMITS, Limits, read_limits
from credit_default.core.lake import LANDING
from credit_default.core.plurals import plural, verb
from credit_default.core.variables import VariableReader
from credit_default.errors import SettingsError
from credit_default.settings.home import default_home, find_problem
from credit_default.settings.permissions import GROUP_VARIABLE, make_with_original_umask

ENVIRONMENT_VARIABLE = "CREDIT_DEFAULT_ENV"
HOME_VARIABLE = "CREDIT_DEFAULT_HOME"
START_VARIABLE = "CREDIT_DEFAULT_START"
KEEP_REPORTS_VARIABLE = "CREDIT_DEFAULT_KEEP_REPORTS_DAYS"
KEEP_JOBS_VARIABLE = "CREDIT_DEFAULT_KEEP_JOBS_DAYS"
KEEP_SUPERSEDED_VARIABLE = "CREDIT_DEFAULT_KEEP_SUPERSEDED_DAYS"
CONNECTION_STRING_VARIABLE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
TELEMETRY_VARIABLE = "CREDIT_DEFAULT_TELEMETRY"
STEP_TIMEOUT_VARIABLE = "CREDIT_DEFAULT_STEP_TIMEOUT"
RETRY_DELAY_VARIABLE = "CREDIT_DEFAULT_RETRY_DELAY"
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
#: Seconds that a step may run on this machine, and between a step that the system killed and the next attempt at it.
DEFAULT_STEP_TIMEOUT = 7200.0
DEFAULT_RETRY_DELAY = 60.0
_MAX_SECONDS = 7 * 86_400

#: For how many days things are kept, unless a setting says otherwise; None is for ever.
DEFAULT_KEEP_REPORTS, DEFAULT_KEEP_JOBS, DEFAULT_KEEP_SUPERSEDED = 90, 30, None
NEVER = "never"
_MAX_KEEP_DAYS, _MAX_DIGITS = 36_500, 5


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
        ``.credit_default/`` of the checkout, or of the current folder where there is no checkout, and below it one for
        each Azure environment: ``.credit_default/development/``. There it holds the Dagster instance and a copy of the
        telemetry; tables and models are in Azure.
    start
        First day of the daily tables (UTC). Fixed: moving it later hides the days before it.
    exporter
        What sends telemetry, where it is sent at all.
    step_timeout
        Seconds that a step may run on this machine. On Azure, CREDIT_DEFAULT_RUN_LIMIT limits jobs.
    retry_delay
        Seconds until a step that the system killed is tried again.
    file_group
        Name of the group that may read the local state besides its owner; empty for nobody.
    keep_reports, keep_jobs, keep_superseded
        For how many days reports of drift, what jobs left behind and replaced tables are kept; None is for ever.
    limits
        Limits on files that arrive.
    """

    environment: Environment
    home: Path
    start: date
    exporter: Exporter = Exporter.OPENCENSUS
    step_timeout: float = DEFAULT_STEP_TIMEOUT
    retry_delay: float = DEFAULT_RETRY_DELAY
    file_group: str = ""
    keep_reports: int | None = DEFAULT_KEEP_REPORTS
    keep_jobs: int | None = DEFAULT_KEEP_JOBS
    keep_superseded: int | None = DEFAULT_KEEP_SUPERSEDED
    limits: Limits = DEFAULT_LIMITS

    @property
    def place(self) -> str:
        """Name of the place where the state is, in messages: the home, or the Azure environment."""
        return str(self.home) if self.environment is Environment.LOCAL else self.environment.value

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
        return self.lake / LANDING

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
        Naming every variable that is malformed, what was got and what was expected; those of an Azure environment too.
    """
    reader = VariableReader(environ)
    settings = read_into(reader)
    if reader.problems:
        raise all_problems(environ, with_azure=settings.environment is not Environment.LOCAL)
    return settings


def read_into(reader: VariableReader, *, writing: bool = False) -> Settings:
    """Return the settings; the reader has what is wrong with them.

    A new setting is a field of `Settings` and a line here.

    Parameters
    ----------
    writing
        Whether the home has to be writable.
    """
    environment = reader.choice(ENVIRONMENT_VARIABLE, Environment.LOCAL)
    return Settings(
        environment=environment,
        home=_home(reader, environment, writing=writing),
        start=_first_day(reader),
        exporter=reader.choice(TELEMETRY_VARIABLE, Exporter.OPENCENSUS),
        file_group=_file_group(reader),
        keep_reports=_keep_days(
            reader, KEEP_REPORTS_VARIABLE, DEFAULT_KEEP_REPORTS, "how long reports of drift are kept"
        ),
        keep_jobs=_keep_days(reader, KEEP_JOBS_VARIABLE, DEFAULT_KEEP_JOBS, "how long what jobs left behind is kept"),
        keep_superseded=_keep_days(
            reader, KEEP_SUPERSEDED_VARIABLE, DEFAULT_KEEP_SUPERSEDED, "how long replaced tables are kept"
        ),
        limits=read_limits(reader),
        step_timeout=reader.seconds(
            STEP_TIMEOUT_VARIABLE, DEFAULT_STEP_TIMEOUT, "how long a step may run on this machine", maximum=_MAX_SECONDS
        ),
        retry_delay=reader.seconds(
            RETRY_DELAY_VARIABLE,
            DEFAULT_RETRY_DELAY,
            "how long after the system killed a step it is tried again",
            maximum=_MAX_SECONDS,
        ),
    )


def all_problems(environ: Mapping[str, str], *, with_azure: bool) -> SettingsError:
    """Return one error with everything that is wrong: a line, or for Azure, which has many settings, a list."""
    reader = VariableReader(environ)
    read_into(reader, writing=True)
    if not with_azure:
        return SettingsError(f"{'; '.join(reader.problems)}.")
    from credit_default.settings import azure as azure_settings

    azure_settings.read_into(reader)
    count = len(reader.problems)
    listed = "".join(f"\n- {problem}." for problem in reader.problems)
    are = verb(count, "is", "are")
    return SettingsError(f"{plural(count, 'setting')} of this Azure environment {are} missing or malformed:{listed}")


def make_home(settings: Settings) -> None:
    """Make the home, and refuse to go on where no state can be kept.

    Raises
    ------
    SettingsError
        The home may not be made or written to.
    """
    problem = find_problem(settings.home, writing=True)
    if problem is None:
        try:
            make_with_original_umask(settings.home)
        except OSError as error:  # what modes do not tell: a full disk, a file system that takes no folders
            problem = f"which cannot be made ({error.strerror})"
    if problem is not None:
        raise SettingsError(f"{describe_home(settings.home, problem)}.")


def describe_home(home: Path, problem: str) -> str:
    """Return what is wrong with the home, given as a clause about it, and what to do."""
    return f"{HOME_VARIABLE} is {home}, {problem}; set it to a folder that may be written to"


def _home(reader: VariableReader, environment: Environment, *, writing: bool) -> Path:
    given = reader.text(HOME_VARIABLE)
    try:
        home = Path(given).expanduser().absolute() if given else default_home(environment.value)
    except RuntimeError:
        reader.refuse(HOME_VARIABLE, repr(given), "a folder; there is no such user", "where everything local is kept")
        return default_home(environment.value)
    problem = find_problem(home, writing=writing)
    if problem is not None:
        reader.problems.append(describe_home(home, problem))
    return home


def _first_day(reader: VariableReader) -> date:
    first = reader.day(START_VARIABLE, DEFAULT_START, "the first day of the daily tables")
    today = datetime.now(UTC).date()
    if first > today:
        expected = f"a day that is not after today, {today} (UTC)"
        reader.refuse(START_VARIABLE, repr(first.isoformat()), expected, "the first day of the daily tables")
    return first


def _file_group(reader: VariableReader) -> str:
    """Read the group that may read the local state; only a member of a group can give files to it."""
    name, purpose = reader.text(GROUP_VARIABLE), "who may read the local state besides its owner"
    if not name:
        return ""
    try:
        group = grp.getgrnam(name).gr_gid
    except KeyError:
        reader.refuse(GROUP_VARIABLE, repr(name), "the name of a group of this machine", purpose)
        return ""
    if os.geteuid() != 0 and group not in (os.getegid(), *os.getgroups()):
        reader.refuse(GROUP_VARIABLE, repr(name), "a group that this user is a member of", purpose)
    return name


def _keep_days(reader: VariableReader, variable: str, default: int | None, purpose: str) -> int | None:
    """Read for how many days something is kept; None is for ever."""
    value = reader.text(variable, NEVER if default is None else str(default))
    if value.lower() == NEVER:
        return None
    if value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS and 1 <= int(value) <= _MAX_KEEP_DAYS:
        return int(value)
    expected = f"a whole number of days, 1 to {_MAX_KEEP_DAYS:,}, or {NEVER!r} to remove nothing"
    reader.refuse(variable, repr(value), expected, purpose)
    return default
