"""Runs the steps of a run in its own process, and only where the run is kept in the project's history."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click
import dagster as dg

from credit_default import settings as settings_of

_DAGSTERS: Any = dg.in_process_executor


def _on_our_instance(context: dg.InitExecutorContext) -> dg.Executor:
    """Return Dagster's executor, unless the run is kept elsewhere, as `dg launch` without DAGSTER_HOME does it.

    What such a run makes would be missing from the history, by which sensors, `trace` and the ledger go on.

    Raises
    ------
    ClickException
        The instance is not the one of the home. Dagster's commands print it in a line, any other with a traceback.
    """
    home = settings_of.read().dagster_home
    # The variable too: a dagster.yaml of the user's own may keep artifacts elsewhere.
    folders = (
        os.environ.get("DAGSTER_HOME", ""),
        "" if context.instance.is_ephemeral else context.instance.root_directory,
    )
    if home.resolve() not in [Path(folder).resolve() for folder in folders if folder]:
        raise click.ClickException(
            f"This run would be kept in {folders[1] or 'memory'}, and the history of this project is in {home}; use "
            f"`credit-default run {context.job.get_definition().name}`, or set DAGSTER_HOME={shlex.quote(str(home))}."
        )
    executor: dg.Executor = _DAGSTERS.executor_creation_fn(context)
    return executor


# Steps are processes of their own already; one more for each would only cost time.
in_process_executor = dg.ExecutorDefinition(
    name=_DAGSTERS.name,
    config_schema=_DAGSTERS.config_schema,
    executor_creation_fn=_on_our_instance,
    description=_DAGSTERS.description,
)
