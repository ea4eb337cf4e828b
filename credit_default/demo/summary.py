"""Summary at the end of the demo: the model, the days, what was left out, and what to open next."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from rich.console import Console

from credit_default.core import lake
from credit_default.core.model.model_folder import read_manifest
from credit_default.ports import ModelRegistry, Storage
from credit_default.resources.model_versions import expectation_of
from credit_default.settings import ENVIRONMENT_VARIABLE, HOME_VARIABLE, Environment, Settings
from credit_default.settings.home import checkout, default_home
from credit_default.terminal import tables


def show_results(screen: Console, ports: Mapping[str, Any]) -> None:
    """Print the figures of the live model, if there is one, and of each day."""
    version = ports["endpoint"].state().default
    if version is not None:
        storage: Storage = ports["storage"]
        registry: ModelRegistry = ports["registry"]
        model = registry.get(version)
        key = f"{model.key}/{lake.MANIFEST_FILE}"
        manifest = read_manifest(storage.read(key), expectation_of(model, storage), key)
        screen.print(tables.model_table(manifest, version))
    with dg.DagsterInstance.get() as instance:
        screen.print(tables.days_table(_days(instance)))


def describe_next_steps(settings: Settings, storage: Storage) -> str:
    """Return what to open next, by commands that open this very home from this very folder."""
    variables = environment_of(settings)
    command = variables + shlex.quote(str(Path(os.path.relpath(sys.executable)).with_name("credit-default")))
    dev = f"{variables}make dev" if checkout() == Path.cwd() else f"{command} dev"
    if settings.environment is Environment.LOCAL:
        arrivals = shlex.quote(os.path.relpath(settings.lake / lake.LANDED_INFERENCE))
    else:
        arrivals = storage.uri(lake.LANDED_INFERENCE)
    return (
        f"What to open next, in {settings.home}:\n"
        f"  {dev}\n      the asset graph, runs, plots and tables\n"
        f"  {command} models\n      registered versions\n"
        f'  {command} query "traces | take 5"\n      what a monitor would see\n'
        f"  {arrivals}/<day>/\n      drop files of your own here; with make dev running they score themselves"
    )


def environment_of(settings: Settings) -> str:
    """Return the variables that a shell has to be given for a command to open this home, each with a blank after it.

    None for the home that is opened without them, from whichever folder.
    """
    variables = {}
    if settings.environment is not Environment.LOCAL:
        variables[ENVIRONMENT_VARIABLE] = settings.environment.value
    if checkout() is None or settings.home != default_home(settings.environment.value):
        variables[HOME_VARIABLE] = str(settings.home)
    return "".join(f"{name}={shlex.quote(value)} " for name, value in variables.items())


def _days(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """Return what was stored for each day, from the newest materialisation of each daily asset."""
    figures: dict[str, dict[str, Any]] = {}
    for asset, wanted in (
        ("inference_data", {"dagster/row_count": "rows", "rejected": "rejected"}),
        ("batch_predictions", {"mean_pd": "mean_pd"}),
        ("drift_metrics", {name: name for name in ("model_version", "n_drifted_features", "psi", "violation")}),
        ("model_performance", {"roc_auc": "roc_auc"}),
    ):
        records = instance.fetch_materializations(dg.AssetKey(asset), limit=5000, ascending=True).records
        for record in records:
            made = record.asset_materialization
            if made is None or made.partition is None:
                continue
            day = figures.setdefault(made.partition, {"day": made.partition})
            day |= {title: made.metadata[name].value for name, title in wanted.items() if name in made.metadata}
    return [figures[day] for day in sorted(figures)]
