"""Retention: a job and a schedule that remove what has been kept for its time."""

from datetime import UTC, datetime

import dagster as dg

from credit_default import settings
from credit_default.core.plurals import plural
from credit_default.defs.shared.policies import DAILY_TABLES
from credit_default.pipes.messages import runs_under_way
from credit_default.ports import Compute, Storage
from credit_default.resources.retention import Retention


@dg.op(out=dg.Out(dg.Nothing), description="Removes reports, replaced tables and jobs that have expired.")
def remove_expired(context: dg.OpExecutionContext, compute: Compute, storage: Storage) -> None:
    """Remove what has expired, and log how much that was."""
    found = settings.read()
    retention = Retention(storage, compute, found, datetime.now(UTC))
    limits = {"reports": found.keep_reports, "superseded tables": found.keep_superseded, "jobs": found.keep_jobs}
    removed = retention.apply(under_way=runs_under_way(context.instance))
    for what, number in removed.items():
        days = limits[what]
        limit = "for ever" if days is None else f"for {plural(days, 'day')}"
        context.log.info(f"{plural(number, what.removesuffix('s'))} removed; each is kept {limit}.")


@dg.job(
    name="apply_retention",
    # Not beside a run that may publish a report or replace a table meanwhile.
    tags=DAILY_TABLES,
    description="Remove drift reports, replaced tables and what jobs left behind, once they were kept for their time.",
)
def apply_retention() -> None:
    """Run the one op."""
    remove_expired()


daily_retention = dg.ScheduleDefinition(
    name="daily_retention",
    job=apply_retention,
    cron_schedule="30 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Keeps the times for which reports, replaced tables and jobs are kept.",
)


SCHEDULES = [daily_retention]
