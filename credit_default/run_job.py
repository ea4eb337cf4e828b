"""Run one Dagster job to its end in this process, recorded in the instance like any other run.

``python -m credit_default.run_job score_batch --from 2026-01-01 --to 2026-01-30``
"""

from __future__ import annotations

import argparse
import json
import sys

import dagster as dg

from credit_default.defs.landing import RANGE_END, RANGE_START
from credit_default.instance import enter


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

    enter()
    tags = dict(tag.split("=", 1) for tag in options.tag)
    if options.first:
        tags |= {RANGE_START: options.first, RANGE_END: options.last or options.first}
    with dg.DagsterInstance.get() as instance:
        job = dg.build_reconstructable_job("credit_default.run_job", "job_named", (options.job,))
        # By this label the UI lists runs under their job, whoever started them.
        tags = {**job_named(options.job).run_tags, ".dagster/repository": "__repository__@credit_default", **tags}
        result = dg.execute_job(job, instance=instance, run_config=options.config, tags=tags)
    sys.exit(0 if result.success else 1)


if __name__ == "__main__":
    main()
