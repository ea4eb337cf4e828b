"""Tables of the lake as versions of Azure ML data assets: a new version only for new content."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from credit_default.core import tables
from credit_default.defs.recording import data_asset_version
from credit_default.deploy.changes import Action, Change, Report
from credit_default.deploy.place import Place, told_by_azure
from credit_default.deploy.plan_assets import plan, plan_one
from credit_default.errors import NotThere
from credit_default.resources.azure import catalogue, datastore

CURATED, INFERENCE = "curated_data", "inference_data"


def deploy(place: Place, *, days: int, dry_run: bool) -> Report:
    """Register the curated data and the newest days of inference data, where their content has no version yet."""
    client, patience, storage = place.registry.workspace.client(), place.patience(), place.storage
    lake = {"account": storage.account, "container": storage.container}
    with told_by_azure("looking at the data assets"):
        place.must_be_there()
        wanted = dict(_tables(place, days))
        there = [
            name
            for name in wanted
            if patience.ask(f"looking for {name}", partial(catalogue.is_there, client, *name.split(":")))
        ]
        reached = patience.ask(
            "looking for the datastore", lambda: datastore.is_there(client, storage.datastore, **lake)
        )
    where = place.workspace
    changes = [*_not_made_yet(where, wanted), *plan("data asset", where, wanted, there)]
    if len(there) < len(wanted):
        changes.insert(0, plan_one("datastore", where, storage.datastore, is_there=reached))
    if not dry_run:
        with told_by_azure("registering data assets"):
            if len(there) < len(wanted):
                patience.ask("making the datastore", lambda: datastore.ensure(client, storage.datastore, **lake))
            for change in changes:
                if change.pending and change.name in wanted:
                    asset, _, version = change.name.partition(":")
                    storage.catalogue(asset, wanted[change.name], version=version)
    return Report("data-assets", place.environment, dry_run, changes)


def _tables(place: Place, days: int) -> Iterator[tuple[str, str]]:
    """Yield the name and version that each published table has as a data asset, and its key."""
    found = [entry.name for entry in place.storage.entries(INFERENCE) if entry.is_folder]
    keys = {f"{INFERENCE}/{day}/{INFERENCE}.parquet": day for day in found[len(found) - min(days, len(found)) :]}
    for key, day in {f"{CURATED}/{CURATED}.parquet": None, **keys}.items():
        try:
            with place.storage.on_disk(key) as path:
                version = tables.data_version_of(path)
        except NotThere:
            continue
        yield f"{CURATED if day is None else INFERENCE}:{data_asset_version(day, version)}", key


def _not_made_yet(where: str, wanted: dict[str, str]) -> list[Change]:
    told = {CURATED: "the job train_model makes it", INFERENCE: "the job score_batch makes it"}
    missing = [asset for asset in told if not any(name.startswith(f"{asset}:") for name in wanted)]
    return [
        Change(Action.UNCHANGED, "data asset", asset, where, f"the lake has no such table yet; {told[asset]}")
        for asset in missing
    ]
