"""Days that are taken through several steps in one run, each on its own: one that fails drops out, the rest go on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import dagster as dg

from credit_default.code_version import code_version
from credit_default.core.plurals import plural
from credit_default.core.telemetry import measurements
from credit_default.defs import metadata, taken_in
from credit_default.defs.history import DATA_VERSION, data_version
from credit_default.defs.recording import Metadata, catalogued, job_of
from credit_default.resources.ports import Compute, Message, Refused, Storage, Stored, Telemetry


class Days:
    """The days of a run, and why some of them dropped out."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._days = list(context.partition_keys)
        self._selected = {key.to_user_string() for key in context.selected_asset_keys}
        self.failed: dict[str, str] = {}

    @property
    def going_on(self) -> list[str]:
        """The days that nothing has gone wrong with."""
        return [day for day in self._days if day not in self.failed]

    def wanted(self, asset: str) -> bool:
        """Whether an asset is selected and there are days to make it for."""
        return asset in self._selected and bool(self.going_on)

    def stored(self, asset: str, messages: Iterable[Message]) -> Iterator[tuple[str, Stored]]:
        """Yield each day that a step stored; the days that it refused drop out."""
        for message in messages:
            if isinstance(message, Refused):
                self.failed[message.partition] = f"{asset}: {message.error}"
            else:
                yield str(message.partition), message

    def finish(self) -> None:
        """End the run as failed if a day dropped out; what was recorded stands.

        Raises
        ------
        dagster.Failure
            Naming each day, what was wrong and what to do.
        """
        if not self.failed:
            return
        told = "\n".join(f"{day}: {error}" for day, error in sorted(self.failed.items()))
        others = "; the others went on to the end and stand" if self.going_on else ""
        raise dg.Failure(
            f"{len(self.failed)} of {plural(len(self._days), 'day')} failed{others}.\n"
            f"{told}\nMend or remove what the messages name and materialise these days again.",
            metadata=dict(sorted(self.failed.items())),
            allow_retries=False,
        )


def versions_of(context: dg.AssetExecutionContext, asset: str, days: Iterable[str]) -> list[str]:
    """Return the data version that each day of an asset has now."""
    return [data_version(context.instance, asset, day) for day in days]


def take_in(
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

    A table that another one replaces is kept in ``superseded_<asset>/<day>/``: what was made of it can be traced.
    With `in_catalogue`, each table becomes a version in the platform's data catalogue too.
    The fingerprint of the files is taken before they are read: if they change meanwhile, the day counts as
    changed and is made again. It is kept with the table's data version in ``taken_in/<asset>/<day>.json`` too.
    """
    fingerprints = {day: storage.fingerprint(f"{landing}/{day}") for day in days.going_on}
    versions = [fingerprints[day] for day in days.going_on]
    messages = compute.run(context, asset, inputs={"landing": landing}, days=days.going_on, versions=versions)
    for day, stored in days.stored(asset, messages):
        table, rejected = f"{asset}/{day}/{asset}.parquet", f"quarantine/{asset}/{day}/rejected.csv"
        quarantined = "quarantine" in stored.files
        if quarantined:
            storage.publish(stored.files["quarantine"], rejected)
        else:
            storage.remove(rejected)  # what an earlier version of the files had refused
        if data_version(context.instance, asset, day) != stored.data_version:
            storage.preserve(table, into=f"superseded_{asset}/{day}")
        storage.publish(stored.files["table"], table)
        taken_in.keep(storage, asset, day, taken_in.TakenIn(fingerprints[day], stored.data_version))
        about = metadata.accepted(stored.result, storage.uri(table), storage.uri(rejected) if quarantined else None)
        told = {f"rows_{name}": stored.result.get(name) for name in ("accepted", "rejected")}
        telemetry.emit(measurements(told, {"dataset": asset, "partition": day, "run_id": context.run.run_id}))
        entered = catalogued(storage, asset, stored) if in_catalogue else {}
        yield materialised_day(asset, stored, {**about, **entered, "landing_fingerprint": fingerprints[day]})


def materialised_day(asset: str, stored: Stored, metadata: Metadata) -> dg.AssetMaterialization:
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
