"""Days that are taken through several steps in one run, each on its own: one that fails drops out, the rest go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from credit_default.code_version import code_version
from credit_default.core import lake
from credit_default.core.defects import as_unexpected
from credit_default.core.plurals import plural
from credit_default.core.sentences import sentence
from credit_default.defs.landing import ingestion, refusals, withdrawal
from credit_default.defs.landing.refusals import Chain
from credit_default.defs.landing.scan import FINGERPRINT
from credit_default.defs.shared import metadata
from credit_default.defs.shared.history import DATA_VERSION, data_version, figure, newest
from credit_default.defs.shared.kills import GivenUp, StartStep, run_days
from credit_default.defs.shared.recording import Metadata, catalogued, job_of
from credit_default.errors import CreditDefaultError, StorageError
from credit_default.ports import Compute, DayRejected, StepMessage, StepResult, Storage, Telemetry
from credit_default.settings import MODEL_NAME
from credit_default.telemetry.records import Record, acceptance_record, measurements

#: What was accepted of a day whose folder was emptied: nothing, as was asked for.
NO_ROWS: Mapping[str, Any] = {"rows": 0, "accepted": 0, "rejected": 0, "accepted_share": None, "acceptance": "ok"}


class Days:
    """The days of a run, and why some of them dropped out.

    Parameters
    ----------
    storage, landed, chain
        Where it is remembered that a step was given up for a day, the asset that takes in the files of a day, and what
        follows from it.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        storage: Storage,
        landed: str,
        chain: Chain | None = None,
    ) -> None:
        self._context = context
        self._storage = storage
        self._landed = landed
        self._chain = chain or {}
        self._days = list(context.partition_keys)
        self._selected = {key.to_user_string() for key in context.selected_asset_keys}
        self.failed: dict[str, str] = {}
        #: Of the landed files, as they were before they were read.
        self.fingerprints: dict[str, str] = {}

    @property
    def remaining(self) -> list[str]:
        """The days that nothing has gone wrong with."""
        return [day for day in self._days if day not in self.failed]

    def wanted(self, asset: str) -> bool:
        """Whether an asset is selected and there are days to make it for."""
        return asset in self._selected and bool(self.remaining)

    def stored(self, asset: str, days: Sequence[str], start_step: StartStep) -> Iterator[tuple[str, StepResult]]:
        """Yield each day that a step stored; the days that it refused, or that end it, drop out."""
        for message in run_days(start_step, days, log=self._context.log) if days else ():
            if isinstance(message, DayRejected):
                self.failed[message.partition] = f"{asset}: {message.error}"
                if isinstance(message, GivenUp):
                    self._remember(asset, message)
            else:
                yield str(message.partition), message

    @contextmanager
    def guard(self, asset: str, day: str) -> Iterator[None]:
        """Let a day drop out whose result cannot be stored, as when its folder is another user's.

        Storage that cannot be reached or is full ends the run: it has the same in store for the other days, and what
        the step has made is kept for another attempt.
        """
        try:
            yield
        except StorageError:
            raise
        except CreditDefaultError as error:
            self.failed[day] = f"{asset}: {error}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not take the other days along
            self.failed[day] = f"{asset}: {as_unexpected(error)}"

    def _remember(self, asset: str, given_up: GivenUp) -> None:
        day, instance = given_up.partition, self._context.instance
        record = newest(instance, self._landed, day)
        recorded = str(figure(record, FINGERPRINT)) if record is not None else ""
        inputs = refusals.inputs_of(instance, self._landed, self._chain, day, self.fingerprints.get(day, recorded))
        refusals.keep(self._storage, self._landed, day, refusals.Refusal(asset, given_up.error, inputs))

    def finish(self) -> None:
        """End the run as failed if a day dropped out; what was recorded stands.

        Raises
        ------
        dagster.Failure
            Naming each day, what was wrong and what to do.
        """
        for day in set(refusals.find(self._storage, self._landed)) & set(self.remaining):
            refusal = refusals.read(self._storage, self._landed, day)
            if refusal is None or refusal.asset in self._selected:
                refusals.remove(self._storage, self._landed, day)
        if not self.failed:
            return
        reasons = "\n".join(f"{day}: {sentence(error)}" for day, error in sorted(self.failed.items()))
        others = "; the others went on to the end and stand" if self.remaining else ""
        raise dg.Failure(
            f"{len(self.failed)} of {plural(len(self._days), 'day')} failed{others}.\n"
            f"{reasons}\nMend or remove what the messages name and materialise these days again.",
            metadata=dict(sorted(self.failed.items())),
            allow_retries=False,
        )


def versions_of(context: dg.AssetExecutionContext, asset: str, days: Iterable[str]) -> list[str]:
    """Return the data version that each day of an asset has now."""
    return [data_version(context.instance, asset, day) for day in days]


def ingest(
    context: dg.AssetExecutionContext,
    days: Days,
    compute: Compute,
    storage: Storage,
    *,
    asset: str,
    landing: str,
    telemetry: Telemetry,
    in_catalogue: bool = False,
) -> Iterator[dg.AssetMaterialization]:
    """Turn landed files into a typed table a day, and keep what breaks the contract in quarantine.

    A table that another one replaces is kept in ``superseded_<asset>/<day>/``: what was made of it can be traced. So is
    that of a day whose folder was emptied since, which then has no table.
    With `in_catalogue`, each table becomes a version in the platform's data catalogue too.
    The fingerprint of the files is taken before they are read: if they change meanwhile, the day counts as
    changed and is made again. It is kept with the table's data version in ``taken_in/<asset>/<day>.json`` too.
    """
    changes = storage.changes(landing, days.remaining)
    days.failed |= {
        day: f"{asset}: {landing}/{day}: {change.problem}" for day, change in changes.items() if change.problem
    }
    fingerprints = {day: changes[day].fingerprint if day in changes else "" for day in days.remaining}
    days.fingerprints |= fingerprints
    emptied = [
        day
        for day in days.remaining
        if day in changes and not fingerprints[day] and _is_made(context, storage, asset, day)
    ]
    for day in emptied:
        with days.guard(asset, day):
            about = withdrawal.withdraw_table(storage, asset, day)
            telemetry.emit(_accepted_figures(context, asset, day, NO_ROWS))
            yield recorded_day(asset, day, withdrawal.NOTHING, {**about, FINGERPRINT: ""})

    def start_step(some: Sequence[str]) -> Iterator[StepMessage]:
        versions = [fingerprints[day] for day in some]
        return compute.run(context, asset, inputs={"landing": landing}, days=some, versions=versions)

    for day, stored in days.stored(asset, [day for day in days.remaining if day not in emptied], start_step):
        with days.guard(asset, day):
            table, rejected = lake.table(asset, day), lake.rejected(asset, day)
            quarantined = "quarantine" in stored.files
            if quarantined:
                storage.publish(stored.files["quarantine"], rejected)
            else:
                storage.remove(rejected)  # what an earlier version of the files had refused
            if data_version(context.instance, asset, day) != stored.data_version:
                storage.preserve(table, into=lake.superseded(asset, day))
            storage.publish(stored.files["table"], table)
            ingestion.keep(storage, asset, day, ingestion.IngestionRecord(fingerprints[day], stored.data_version))
            about = metadata.accepted(stored.result, storage.uri(table), storage.uri(rejected) if quarantined else None)
            telemetry.emit(_accepted_figures(context, asset, day, stored.result))
            entered = catalogued(storage, asset, stored) if in_catalogue else {}
            yield materialised_day(asset, stored, {**about, **entered, FINGERPRINT: fingerprints[day]})


def _accepted_figures(
    context: dg.AssetExecutionContext, asset: str, day: str, result: Mapping[str, Any]
) -> list[Record]:
    """Return the telemetry about what was accepted of a day: its record, and custom metrics.

    A withdrawn day has them too: alerts go by its newest record.
    """
    root = context.run.root_run_id or context.run.run_id
    record = acceptance_record(MODEL_NAME, result, dataset=asset, partition=day, run_id=root)
    figures = {f"rows_{name}": result[name] for name in ("accepted", "rejected")}
    figures["accepted_share"] = result["accepted_share"]
    return [record, *measurements(figures, {"dataset": asset, "partition": day, "run_id": context.run.run_id})]


def _is_made(context: dg.AssetExecutionContext, storage: Storage, asset: str, day: str) -> bool:
    """Whether a table of the day was made, by this Dagster instance or by another one on the same lake."""
    return newest(context.instance, asset, day) is not None or storage.exists(f"{asset}/{day}/{asset}.parquet")


def materialised_day(asset: str, stored: StepResult, metadata: Metadata) -> dg.AssetMaterialization:
    """Record one day that a job has made."""
    return recorded_day(asset, str(stored.partition), stored.data_version, {**metadata, **job_of(stored)})


def recorded_day(asset: str, day: str, data_version: str, metadata: Metadata) -> dg.AssetMaterialization:
    """Record one day of a daily asset, with its own metadata and data version.

    A run over many days would otherwise stamp the same on all of them (Dagster reports outputs, not days).
    """
    return dg.AssetMaterialization(
        asset,
        partition=day,
        metadata=metadata,
        tags={
            DATA_VERSION: data_version,
            "dagster/data_version_is_user_provided": "true",
            "dagster/code_version": code_version(),
        },
    )
