"""Tables of the lake as versions of Azure ML data assets: a new version only for new content."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from credit_default.core import lake, tables
from credit_default.defs.shared.recording import data_asset_version
from credit_default.deploy.place import AzureTarget, told_by_azure
from credit_default.deploy.plans.assets import plan
from credit_default.deploy.plans.changes import Action, Change, Report
from credit_default.errors import NotThere
from credit_default.resources.azure.assets import catalogue

CURATED, INFERENCE = lake.CURATED_DATA, lake.INFERENCE_DATA


def deploy(place: AzureTarget, *, days: int, dry_run: bool) -> Report:
    """Register the curated data and the newest days of inference data, where their content has no version yet."""
    client, patience, storage = place.registry.workspace.client(), place.patience(), place.storage
    with ExitStack() as held:
        with told_by_azure("looking at the data assets"):
            place.must_be_there()
            wanted = dict(_tables(place, days, held))
            there = [
                name
                for name in wanted
                if patience.ask(f"looking for {name}", partial(catalogue.is_there, client, *name.split(":")))
            ]
            datastores = place.missing_datastore() if len(there) < len(wanted) else []
        where = place.workspace
        changes = [*datastores, *_not_made_yet(where, wanted), *plan("data asset", where, wanted, there)]
        if not dry_run:
            with told_by_azure("registering data assets"):
                if datastores:
                    place.make_datastore()
                for change in changes:
                    if change.pending and change.name in wanted:
                        asset, _, version = change.name.partition(":")
                        storage.catalogue_file(asset, wanted[change.name], version=version)
    return Report("data-assets", place.environment, dry_run, changes)


def _tables(place: AzureTarget, days: int, held: ExitStack) -> Iterator[tuple[str, Path]]:
    """Yield the name and version that each published table has as a data asset, and a copy of it on this machine.

    The copy is what is registered: by then a run may have published another table in the same place.
    """
    found = [entry.name for entry in place.storage.entries(INFERENCE) if entry.is_folder]
    keys = {lake.inference_data(day): day for day in found[len(found) - min(days, len(found)) :]}
    for key, day in {lake.curated_data(): None, **keys}.items():
        try:
            path = held.enter_context(place.storage.on_disk(key))
        except NotThere:
            continue
        name = CURATED if day is None else INFERENCE
        yield f"{name}:{data_asset_version(day, tables.data_version_of(path))}", path


def _not_made_yet(where: str, wanted: Collection[str]) -> list[Change]:
    told = {CURATED: "the job train_model makes it", INFERENCE: "the job score_batch makes it"}
    missing = [asset for asset in told if not any(name.startswith(f"{asset}:") for name in wanted)]
    return [
        Change(Action.UNCHANGED, "data asset", asset, where, f"the lake has no such table yet; {told[asset]}")
        for asset in missing
    ]
