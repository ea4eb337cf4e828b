"""A real Dagster run around one call of a compute, so that a test sees what a user would see of it."""

import uuid
from dataclasses import dataclass, field

import dagster as dg

from credit_default.ports import DayRejected

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


@dataclass
class Outcome:
    """What came of a run."""

    success: bool
    arrived: list
    #: The error of the step and its causes, in their words.
    failure: str
    logs: list[str]
    materialised: int
    interrupted: BaseException | None = None

    @property
    def jobs(self):
        """Names of the jobs whose results arrived."""
        return {message.job_name for message in self.arrived if not isinstance(message, DayRejected)}


@dataclass
class Running:
    """Runs the example step `count` on a compute, again and again under one root run id: as retries do."""

    compute: object
    root: str = field(default_factory=lambda: str(uuid.uuid4()))

    def run(self, *, options=None, inputs=None, days=DAYS, consume=lambda _: None, step="count", call=None):
        arrived = []

        @dg.multi_asset(specs=[dg.AssetSpec("counted", skippable=True)])
        def counted(context: dg.AssetExecutionContext):
            ask = call or (lambda: self.compute.run(context, step, inputs=inputs or {}, options=options, days=days))
            for message in ask(context) if call else ask():
                arrived.append(message)
                consume(message)
                if not isinstance(message, DayRejected):
                    yield dg.AssetMaterialization("counted", partition=message.partition)

        job = dg.Definitions(assets=[counted]).resolve_implicit_global_asset_job_def()
        interrupted = None
        with dg.DagsterInstance.ephemeral() as instance:
            try:
                job.execute_in_process(run_id=self.root, instance=instance, raise_on_error=False)
            except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError) as error:
                interrupted = error
            entries = list(instance.all_logs(self.root))
            records = instance.fetch_materializations(dg.AssetKey("counted"), limit=100).records
        failures = [
            entry.dagster_event for entry in entries if entry.dagster_event and entry.dagster_event.is_step_failure
        ]
        return Outcome(
            success=not failures and interrupted is None,
            arrived=arrived,
            failure="".join(_told(event.step_failure_data.error) for event in failures),
            logs=[entry.user_message for entry in entries],
            materialised=len(records),
            interrupted=interrupted,
        )


def _told(error):
    return "" if error is None else error.message + _told(error.cause)
