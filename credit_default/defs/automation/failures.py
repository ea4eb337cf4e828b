"""A sensor that sends an exception to telemetry for each failed step."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from credit_default import errors
from credit_default.core.plurals import plural
from credit_default.ports import Telemetry
from credit_default.telemetry.records import Failure

#: After this, the error of a job quotes what its program printed.
_DID_NOT_FINISH = " did not finish:"
#: What our own errors say names no values of rows; what others say may.
_OURS = {name for name, kind in vars(errors).items() if isinstance(kind, type)} | {"Failure"}


@dg.run_failure_sensor(
    name="run_failures",
    description="Tells telemetry of each failed run: an exception with its job, its step and, if ours, its error.",
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def run_failures(context: dg.RunFailureSensorContext, telemetry: Telemetry) -> None:
    """Send each failed step of a run, once, as an exception."""
    sent = telemetry.emit(list(failures_of(context)))
    context.log.info(f"{plural(sent, 'exception')} of run {context.dagster_run.run_id} sent to telemetry.")


def failures_of(context: dg.RunFailureSensorContext) -> Iterator[Failure]:
    """Yield an exception for each step that failed, or one for the run when no step did."""
    run = context.dagster_run
    about = {"run_id": run.run_id, "job": run.job_name}
    steps: list[Any] = list(context.get_step_failure_events())
    if not steps:
        yield Failure("RunFailure", f"Run of {run.job_name} failed outside of its steps; see its log", about)
    for event in steps:
        error = event.step_failure_data.error
        error = error.cause or error if error else None
        kind = (error.cls_name if error else None) or "StepFailure"
        message = _without_prints(error.message) if error and kind in _OURS else f"{kind}; see the log of the run"
        yield Failure(kind, message, {**about, "step": str(event.step_key)})


def _without_prints(message: str) -> str:
    """Leave out what a program printed last, which may hold anything."""
    told, ended, _ = message.strip().partition(_DID_NOT_FINISH)
    return f"{told}{_DID_NOT_FINISH} see the log of the run" if ended else told


SENSORS: list[Any] = [run_failures]
