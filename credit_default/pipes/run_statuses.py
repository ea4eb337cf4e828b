"""Statuses of Dagster's runs."""

from __future__ import annotations

import dagster as dg

#: Of a run that has not ended: it waits, works, or has not stopped working yet.
UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
