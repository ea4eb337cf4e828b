"""Reads the run configuration of a job from a file, and validates it before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import yaml  # type: ignore[import-untyped] # its stubs are no dependency of ours
from pydantic import ValidationError

from credit_default.errors import SettingsError
from credit_default.resources.dagster_internals import DecoratedOpFunction


def read_config(path: Path) -> dict[str, Any]:
    """Return what a YAML or JSON file says.

    Raises
    ------
    SettingsError
        It cannot be read, or is no mapping.
    """
    try:
        text = path.read_text("utf-8")
        # YAML reads most of JSON, but no tabs.
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        json.dumps(found)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); expected YAML or JSON") from error
    except TypeError as error:
        raise SettingsError(f"{path} holds a value that JSON does not know: {error}; put it in quotes") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        problem = " ".join(str(error).split())
        raise SettingsError(f"{path} is neither YAML nor JSON: {problem}") from error
    if not isinstance(found or {}, dict):
        raise SettingsError(f"{path} holds a {type(found).__name__}; expected a mapping whose first key is ops")
    return found or {}


def check_config(job: dg.JobDefinition, config: Mapping[str, Any]) -> None:
    """Hold a run configuration to what a job takes: names and types, and the bounds that its assets set.

    Raises
    ------
    SettingsError
        Naming everything that is wrong.
    """
    try:
        dg.validate_run_config(job, dict(config))
    except dg.DagsterInvalidConfigError as error:
        problems = [" ".join(problem.message.split()).rstrip(".") for problem in error.errors]
    else:
        problems = list(_out_of_bounds(job, config))
    if problems:
        raise SettingsError(f"The run configuration does not fit {job.name}: {'; '.join(problems)}")


def _out_of_bounds(job: dg.JobDefinition, config: Mapping[str, Any]) -> Iterator[str]:
    """Name what Dagster would find when the step runs: it knows the types of configuration and not the bounds."""
    for node in job.graph.node_defs:
        function = node.compute_fn if isinstance(node, dg.OpDefinition) else None
        if not isinstance(function, DecoratedOpFunction) or not function.has_config_arg():
            continue
        given = ((config.get("ops") or {}).get(node.name) or {}).get("config") or {}
        try:
            function.get_config_arg().annotation(**given)
        except ValidationError as error:
            for problem in error.errors():
                place = ":".join(["root:ops", node.name, "config", *map(str, problem["loc"])])
                yield f"{problem['msg']} at path {place}"
