"""Run one Dagster job to its end in this process, recorded in the instance like any other run.

``python -m credit_default.runs.run_job score_batch --from 2026-01-01 --to 2026-01-30``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

import dagster as dg

from credit_default.defs.landing.scan import RANGE_END, RANGE_START
from credit_default.resources.dagster_internals import (
    LoadableTargetOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteRepositoryOrigin,
    SerializableErrorInfo,
    execute_run,
)
from credit_default.runs.instance import enter
from credit_default.settings import permissions


def job_named(name: str) -> dg.JobDefinition:
    """Return a job of the definitions; Dagster calls this again wherever it needs the job."""
    from credit_default.definitions import defs

    return defs.resolve_job_def(name)


def main(arguments: list[str] | None = None) -> None:
    """Run the job; exits with 1 when it failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job")
    parser.add_argument("--from", dest="first", help="first day, for daily jobs")
    parser.add_argument("--to", dest="last", help="last day; the first by default")
    parser.add_argument("--tag", action="append", default=[], help="name=value, kept with the run")
    parser.add_argument("--config", type=json.loads, default={}, help="run configuration as JSON")
    options = parser.parse_args(arguments)

    permissions.restrict_umask()
    enter()
    tags = dict(tag.split("=", 1) for tag in options.tag)
    if options.first:
        tags |= {RANGE_START: options.first, RANGE_END: options.last or options.first}
    with dg.DagsterInstance.get() as instance:
        succeeded = run_to_end(instance, options.job, tags=tags, run_config=options.config)
    sys.exit(0 if succeeded else 1)


def run_to_end(
    instance: dg.DagsterInstance, name: str, *, tags: Mapping[str, str], run_config: Mapping[str, Any]
) -> bool:
    """Run a job in this process and return whether it succeeded.

    `dagster.execute_job` would do but for one thing: its runs do not say which code location they belong to, so the
    UI lists them under no job, and the daemon could not take them up again after a crash.
    """
    definition = job_named(name)
    job = dg.build_reconstructable_job("credit_default.runs.run_job", "job_named", (name,))
    location = ManagedGrpcPythonEnvCodeLocationOrigin(
        LoadableTargetOrigin(module_name="credit_default.definitions"), location_name="credit_default"
    )
    run = instance.create_run_for_job(
        definition,
        # Dagster gives a job's own configuration to the launchpad of the UI only.
        run_config=run_config or definition.run_config or {},
        tags={**definition.run_tags, **tags},
        remote_job_origin=RemoteRepositoryOrigin(location, "__repository__").get_job_origin(name),
        job_code_origin=job.get_python_origin(),
    )
    return execute_run(job, run, instance).success


def why_failed(instance: dg.DagsterInstance, run: dg.DagsterRun | None) -> str:
    """Return the message of the step that failed, for a run that may not even have begun."""
    if run is None:
        return "It did not start."
    failures = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
    for record in failures:
        event = record.event_log_entry.dagster_event
        error = event.step_failure_data.error if event is not None else None
        if error is not None:
            return _without_class(error.cause or error)
    return f"See run {run.run_id}."


def _without_class(error: SerializableErrorInfo) -> str:
    """Return the message of an error as it was raised: Dagster puts the name of its class in front."""
    first, _, rest = error.message.strip().partition(": ")
    return rest if rest and first.rpartition(".")[2] == error.cls_name else error.message.strip()


if __name__ == "__main__":
    main()
