"""Reads model versions from MLflow's database without importing MLflow, which takes 1.4 s of CPU."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from credit_default.core.system_errors import LOCK_TIMEOUT_SECONDS, explained

#: The stage that MLflow gives a version when it is deleted.
_DELETED = "Deleted_Internal"


@dataclass(frozen=True)
class StoredVersion:
    """A version as MLflow's tables hold it."""

    version: int
    tags: dict[str, str] = field(default_factory=dict)
    aliases: set[str] = field(default_factory=set)


def read_versions(database: Path, name: str) -> list[StoredVersion] | None:
    """Return the versions of a registered model, newest first.

    None when the tables are not as this release of MLflow makes them; MLflow itself migrates them when it is used.

    Raises
    ------
    DatabaseLocked, DamagedFile, StorageError
        The database cannot be read.
    """
    with explained(database):
        # "rw" makes no file, and rolls back what a killed process left; a file that may only be read is only read.
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCK_TIMEOUT_SECONDS)
        try:
            connection.execute("BEGIN")  # all three answers are of one moment
            found = {
                version: StoredVersion(version)
                for (version,) in connection.execute(
                    "SELECT version FROM model_versions WHERE name = ? AND current_stage != ?", (name, _DELETED)
                )
            }
            tags = connection.execute("SELECT version, key, value FROM model_version_tags WHERE name = ?", (name,))
            for version, key, value in tags:
                if version in found:
                    found[version].tags[key] = value
            aliases = connection.execute("SELECT version, alias FROM registered_model_aliases WHERE name = ?", (name,))
            for version, alias in aliases:
                if version in found:
                    found[version].aliases.add(alias)
        except sqlite3.OperationalError as error:
            if str(error).startswith("no such"):  # table or column
                return None
            raise
        finally:
            connection.close()
    # Versions are numbers: as text, 10 would come before 9.
    return [found[version] for version in sorted(found, reverse=True)]
