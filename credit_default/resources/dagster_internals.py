"""Everything of Dagster that is not public and used all the same: an upgrade of Dagster is checked against this module.

What `import dagster` does not load by itself is imported where it is used: the definitions must load fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.execution.api import execute_run
from dagster._core.instance.config import dagster_instance_config
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._serdes import deserialize_value
from dagster._utils.interrupts import capture_interrupts
from dagster_shared.check import CheckError
from dagster_shared.error import SerializableErrorInfo

__all__ = [
    "CheckError",
    "CheckRunHealthResult",
    "DagsterUserCodeUnreachableError",
    "DecoratedOpFunction",
    "DefaultRunLauncher",
    "LoadableTargetOrigin",
    "ManagedGrpcPythonEnvCodeLocationOrigin",
    "RemoteRepositoryOrigin",
    "SerializableErrorInfo",
    "WorkerStatus",
    "capture_interrupts",
    "dagster_instance_config",
    "database_of_run",
    "execute_run",
    "executes",
]


def database_of_run(instance: dg.DagsterInstance, run_id: str) -> Path | None:
    """Return where SQLite keeps the events of a run, apart from its index; None when they are kept otherwise."""
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    return Path(storage.path_for_shard(run_id)) if isinstance(storage, SqliteEventLogStorage) else None


def executes(client: Any, run_id: str) -> bool:
    """Whether the code server of a client executes a run.

    Raises
    ------
    DagsterUserCodeUnreachableError
        It does not answer.
    """
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

    told = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id))
    return deserialize_value(told, CanCancelExecutionResult).can_cancel
