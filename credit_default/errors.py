"""Every error that this project raises on purpose.

::

    CreditDefaultError
    ├── SettingsError          an environment variable or option is missing or malformed
    ├── InputError             something that arrived from outside cannot be used
    │   ├── UnreadableFile     a file that cannot be read at all
    │   ├── ContractError      a file that can be read and is not the table we expect
    │   ├── UnreadableMessage  a collected request that cannot be opened, or is none of ours
    │   └── DayError           a day's name or date is malformed or out of range
    ├── QualityError           a blocking data-quality check failed
    ├── ModelError             a model cannot be trusted or used
    │   ├── HashMismatch       the file is not the one that was registered
    │   ├── UntrustedType      the file holds a type that is not on our allow-list
    │   └── SmokeTestFailed    golden rows do not score as they did in training
    ├── NotThere               something that this step needs was never made
    ├── NotAllowed             a version's verdict, or what a person decided about it, forbids what is asked
    ├── LedgerError            the ledger of promotions was changed by other hands than ours
    ├── DeployError            Azure refused a deploy command, or what came of it is not what was wanted
    ├── StorageError           storage cannot be reached, or refuses us
    │   ├── DamagedFile        a file or database that we keep is torn, or no longer ours
    │   ├── DatabaseLocked     another process does not let go of a database
    │   └── DiskFull           there is no space left to write to
    ├── UnexpectedError        an exception that nobody planned for ended a piece of work
    ├── JobError               a job on compute ended badly
    │   ├── JobFailed          it failed by itself
    │   │   ├── JobKilled      the system killed it, mostly because memory ran out
    │   │   └── JobTimedOut    it ran for longer than it may
    │   └── JobCancelled       somebody stopped it
    └── QueryError             a KQL query cannot be run
        └── PartialAnswer      it asks for more than is answered at once

Messages say what was got, what was expected and what to do. They name file, line, column, rule and type and
never hold a value of a row.
"""


class CreditDefaultError(Exception):
    """Base of every error that this project raises on purpose."""


class SettingsError(CreditDefaultError):
    """An environment variable or option is missing or malformed."""


class InputError(CreditDefaultError):
    """Something that arrived from outside cannot be used."""


class UnreadableFile(InputError):
    """A file that cannot be read at all: not text, truncated, a directory, a dangling link."""


class ContractError(InputError):
    """A file that can be read and is not the table we expect: a column is missing or there twice."""


class UnreadableMessage(InputError):
    """A collected request that cannot be opened with our keys, was changed, or is none of ours."""


class DayError(InputError):
    """A day's name or date is malformed or out of range."""


class QualityError(CreditDefaultError):
    """A blocking data-quality check failed, so nothing was published."""


class ModelError(CreditDefaultError):
    """A model cannot be trusted or used."""


class HashMismatch(ModelError):
    """A model file's sha256 is not the one that was registered."""


class UntrustedType(ModelError):
    """A model file holds a type that is not on our allow-list."""


class SmokeTestFailed(ModelError):
    """A model does not score its golden rows as it did when it was trained."""


class NotThere(CreditDefaultError):
    """Something that is needed was never made: no model, no prepared data, no such version."""


class NotAllowed(CreditDefaultError):
    """A version's verdict, or what a person decided about it, forbids what is asked."""


class LedgerError(CreditDefaultError):
    """The ledger of promotions was changed by other hands than ours, and cannot be continued."""


class DeployError(CreditDefaultError):
    """Azure refused what a deploy command asked for, or what came of it is not what was wanted."""


class StorageError(CreditDefaultError):
    """Storage cannot be reached, refuses us, or did not finish in time."""


class DamagedFile(StorageError):
    """A file or database that this project keeps is torn, or holds something else than what it wrote."""


class DatabaseLocked(StorageError):
    """Another process held a database for as long as it was waited for."""


class DiskFull(StorageError):
    """There is no space left where something was to be written."""


class UnexpectedError(CreditDefaultError):
    """An exception that nobody planned for ended the work on a day or a file; see `credit_default.core.defects`."""


class JobError(CreditDefaultError):
    """A job on compute ended badly."""


class JobFailed(JobError):
    """A job failed by itself."""


class JobKilled(JobFailed):
    """The system killed a job, mostly because memory ran out.

    Attributes
    ----------
    cause
        How it ended, without what it printed.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class JobTimedOut(JobFailed):
    """A job ran for longer than it may, and was stopped."""


class JobCancelled(JobError):
    """A job was stopped from outside."""


class QueryError(CreditDefaultError):
    """A KQL query cannot be run here."""


class PartialAnswer(QueryError):
    """A KQL query asks for more than is answered at once."""
