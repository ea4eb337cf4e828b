"""Retention on any platform: removes what has expired, and nothing that is still pointed at.

Kept whatever its age: figures (``drift.json``), the present tables, models and what they were prepared from, the
ledger and its verdicts, and what a job leaves behind as long as its run goes on. A replaced table of clients stays as
long as predictions that were made of it are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from credit_default.core import lake
from credit_default.core.data.retention import Removal, as_lines, from_lines
from credit_default.errors import CreditDefaultError
from credit_default.ports import Compute, Storage, StoredFile
from credit_default.settings import Settings


@dataclass(frozen=True)
class Retention:
    """Applies the limits of an installation to its lake and its jobs.

    Attributes
    ----------
    now
        Moment at which ages are taken.
    """

    storage: Storage
    compute: Compute
    settings: Settings
    now: datetime

    def apply(self, *, under_way: set[str]) -> dict[str, int]:
        """Remove what has expired; returns how much of each kind was removed.

        Parameters
        ----------
        under_way
            Runs that have not ended, by the part of their jobs' names (`resources.messages.runs_under_way`).
        """
        return {
            "reports": self._remove_files(self._expired_reports(), self.settings.keep_reports),
            "superseded tables": self._remove_files(self._expired_tables(), self.settings.keep_superseded),
            "jobs": self._remove_jobs(under_way),
        }

    def _before(self, days: int) -> datetime:
        return self.now - timedelta(days=days)

    def _remove_files(self, expired: Iterator[Removal], days: int | None) -> int:
        if days is None:
            return 0
        removals = list(expired)
        record(self.storage, removals)
        for removal in removals:
            self.storage.remove(removal.key)
        return len(removals)

    def _remove_jobs(self, under_way: set[str]) -> int:
        days = self.settings.keep_jobs
        if days is None:
            return 0
        # Nothing in the lake leads to a job, so its removal needs no record.
        return len(self.compute.remove_jobs(self._before(days), under_way=under_way))

    def _expired_reports(self) -> Iterator[Removal]:
        days = self.settings.keep_reports or 0
        for file in self.storage.files(lake.DRIFT):
            if file.key.endswith(f"/{lake.REPORT_FILE}") and file.modified < self._before(days):
                yield Removal(file.key, self.now, days)

    def _expired_tables(self) -> Iterator[Removal]:
        days = self.settings.keep_superseded or 0
        expired = {
            asset: [file for file in self.storage.files(lake.superseded(asset)) if file.modified < self._before(days)]
            for asset in (lake.PREDICTIONS, lake.INFERENCE_DATA, lake.OUTCOMES)
        }
        gone = {file.key for file in expired[lake.PREDICTIONS]}
        for file in expired[lake.PREDICTIONS]:
            prefixes, version = self._predictions(file.key)
            yield Removal(file.key, self.now, days, prefixes, version)
        for file in expired[lake.INFERENCE_DATA]:
            version = self._version(file.key)
            if not self._is_needed(file, version, gone):
                yield Removal(file.key, self.now, days, data_version=version)
        for file in expired[lake.OUTCOMES]:
            yield Removal(file.key, self.now, days, data_version=self._version(file.key))

    def _is_needed(self, inputs: StoredFile, version: str, gone: Collection[str]) -> bool:
        """Whether predictions that are kept were made of a table; those that cannot be read may have been."""
        day = inputs.key.split("/")[1]
        for folder in (f"{lake.PREDICTIONS}/{day}", lake.superseded(lake.PREDICTIONS, day)):
            for file in self.storage.files(folder):
                if file.key not in gone and self._input_version(file.key) in (version, None):
                    return True
        return False

    def _predictions(self, key: str) -> tuple[tuple[str, ...], str]:
        from credit_default.core.lineage import prediction

        with self.storage.on_disk(key) as path:
            return tuple(sorted(prediction.prefixes_of(prediction.first_row(path)))), self._version(key)

    def _input_version(self, key: str) -> str | None:
        from credit_default.core.lineage import prediction

        with self.storage.on_disk(key) as path:
            version = prediction.first_row(path).get("input_data_version")
        return None if version is None else str(version)

    def _version(self, key: str) -> str:
        from credit_default.core import tables

        try:
            with self.storage.on_disk(key) as path:
                return tables.data_version_of(path)
        except CreditDefaultError:
            return ""


def record(storage: Storage, removals: Collection[Removal]) -> None:
    """Add removals to the record of their months."""
    for key in sorted({lake.removals(one.removed_at) for one in removals}):
        added = as_lines(one for one in removals if lake.removals(one.removed_at) == key)
        with storage.held(key):
            storage.write(key, (storage.read(key) if storage.exists(key) else b"") + added)


def find_removal(storage: Storage, matches: Callable[[Removal], bool]) -> Removal | None:
    """Return the newest removal that matches, or None when there was none."""
    found: Removal | None = None
    for file in sorted(storage.files(lake.RETENTION), key=lambda file: file.key):
        found = next(filter(matches, reversed(list(from_lines(storage.read(file.key))))), found)
    return found


def removed_predictions(storage: Storage, prefix: str) -> Removal | None:
    """Return the removal of the predictions whose ids begin so."""
    return find_removal(storage, lambda one: prefix in one.id_prefixes)


def removed_inputs(storage: Storage, day: str, version: str) -> Removal | None:
    """Return the removal of the table of a day that had a data version."""
    folder = f"{lake.superseded(lake.INFERENCE_DATA, day)}/"
    return find_removal(storage, lambda one: one.data_version == version and one.key.startswith(folder))
