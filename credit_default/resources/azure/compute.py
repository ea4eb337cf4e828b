"""Compute on Azure ML: each step is a job, each search a sweep."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial

import dagster as dg
from pydantic import Field

from credit_default.core import lake
from credit_default.core.plurals import plural
from credit_default.core.sentences import sentence
from credit_default.errors import JobCancelled, JobFailed
from credit_default.pipes.messages import StepMessages, job_name, open_session
from credit_default.pipes.process_variables import JOB_VARIABLE
from credit_default.ports import Compute, StepMessage, StepResult, StoredFile
from credit_default.resources.azure.client.retries import RetryPolicy
from credit_default.resources.azure.client.workspace import AzureWorkspace
from credit_default.resources.azure.jobs.attempts import Attempts
from credit_default.resources.azure.jobs.canceller import JobCanceller
from credit_default.resources.azure.jobs.command import ComputePlacement, Task
from credit_default.resources.azure.jobs.history import RunHistory
from credit_default.resources.azure.jobs.job import JobOutcome, JobWatch, Limits, Preempted, metadata_of
from credit_default.resources.azure.jobs.messages import JobMessages, channel_of
from credit_default.resources.azure.jobs.submission import Submission
from credit_default.resources.azure.jobs.sweep import best_of
from credit_default.resources.azure.storage import AzureStorage
from credit_default.settings.azure_compute import Target, kind_of

#: How much longer than we wait Azure lets a job run, so that none runs on when nobody watches.
_MARGIN_SECONDS = 600.0


class AzureCompute(Compute):
    """Runs steps as jobs that outlive the run which started them, and finds them again.

    What a step reported is handed on once its job is completed: only then are its files all there. What it logs and
    prints arrives while it runs.
    """

    workspace: dg.ResourceDependency[AzureWorkspace]
    storage: dg.ResourceDependency[AzureStorage]
    environment: str = Field(description="Name of the environment, a tag of every job.")
    targets: dict[str, Target] = Field(description="Where each kind of step runs: train, score, drift.")
    poll_seconds: float = Field(default=10.0, description="How often a job is looked at.")
    queue_limit: float = Field(default=7200.0, description="Seconds that a job may wait for a machine.")
    run_limit: float = Field(default=14400.0, description="Seconds that a job may run.")
    unreachable_limit: float = Field(default=900.0, description="Seconds that Azure may fail to answer.")
    not_responding_limit: float = Field(default=1800.0, description="Seconds that a job may be NotResponding.")
    paused_limit: float = Field(default=1800.0, description="Seconds that a job may be Paused.")
    upload_limit: float = Field(default=600.0, description="Seconds that an upload may take.")
    spot_attempts: int = Field(default=2, description="How often a job is tried on machines that may be taken away.")
    limits: dict[str, str] = Field(
        default={}, description="Settings of what files that arrive may hold, for every job."
    )
    steps: str = Field(default="credit_default.steps", description="Package that the steps are modules of.")
    sources: list[str] = Field(default=["credit_default"], description="Packages that are the code of a job.")

    def run(  # noqa: D102 - see the port
        self,
        context: dg.AssetExecutionContext,
        step: str,
        *,
        inputs: Mapping[str, str],
        options: Mapping[str, str] | None = None,
        days: Sequence[str] = (),
        versions: Sequence[str] = (),
    ) -> Iterator[StepMessage]:
        name = job_name(context, step, days, inputs=inputs, options=options, versions=versions)
        yield from self._carry_out(context, name, step, inputs, options=options or {}, days=days)

    def search(  # noqa: D102 - see the port
        self,
        context: dg.AssetExecutionContext,
        step: str,
        *,
        inputs: Mapping[str, str],
        options: Mapping[str, str],
        trials: int,
    ) -> Iterator[StepMessage]:
        if trials == 1:
            # A sweep would only wrap the one job in another.
            yield from super().search(context, step, inputs=inputs, options=options, trials=trials)
            return
        name = job_name(context, step, inputs=inputs, options={**options, "trials": str(trials)})
        yield from self._carry_out(context, name, step, inputs, options=options, trials=trials)

    def remove_jobs(self, before: datetime, *, under_way: set[str]) -> list[str]:  # noqa: D102 - see the port
        jobs: dict[str, list[StoredFile]] = {}
        for file in self.storage.files(lake.JOBS):
            jobs.setdefault(file.key.split("/")[1], []).append(file)
        old = [
            name
            for name, files in sorted(jobs.items())
            if max(file.modified for file in files) < before and under_way.isdisjoint(name.split("-"))
        ]
        for name in old:
            for file in jobs[name]:
                self.storage.remove(file.key)
        return old

    def _carry_out(
        self,
        context: dg.AssetExecutionContext,
        name: str,
        step: str,
        inputs: Mapping[str, str],
        *,
        options: Mapping[str, str],
        days: Sequence[str] = (),
        trials: int | None = None,
    ) -> Iterator[StepMessage]:
        client, history = self.workspace.client(), RunHistory(self.workspace)
        patience = RetryPolicy(self.workspace.credential(), self.unreachable_limit, self.poll_seconds)
        cancelling = JobCanceller(client, patience, context.log)
        attempts = Attempts(client, history, self.storage, patience, cancelling, context.instance, context.run.run_id)
        submission = Submission(client, self.storage, attempts, self.sources, self.upload_limit)
        preemptions = 0
        while True:
            attempt = attempts.newest(name)
            preemptions = max(preemptions, attempt.preemptions)
            place = self._place(step, preemptions)
            if not attempt.there:
                addresses, types = patience.ask("looking for the inputs", lambda: submission.addresses(inputs))
                tags = {"step": step, "dagster_run": context.run.run_id, "environment": self.environment}
                task = Task(f"{self.steps}.{step}", step, addresses, types, options, days, trials, tags)
            with ExitStack() as stack:
                try:
                    # Whatever breaks this off, an interrupt above all: nobody but us waits for the job.
                    with cancelling.when_broken_off(attempt.name):
                        messages, variables = self._open(stack, context, attempt.name, trials)
                        watch = self._watch(context, attempt.name, history, patience, messages)
                        if place.spot:
                            watch.most_requeued = self.spot_attempts - preemptions - 1
                        if attempt.there:
                            context.log.info(f"Found job {attempt.name}, started by an earlier run; going on with it.")
                        else:
                            time_limit = self.run_limit + _MARGIN_SECONDS
                            submission.submit(task, watch.name, place=place, variables=variables, time_limit=time_limit)
                            context.log.info(f"Started job {attempt.name} on {place.compute}.")
                        ending = watch.wait()
                except Preempted as taken:
                    attempts.taken_away(attempt.name, taken.times)
                    preemptions += taken.times
                    context.log.warning(
                        f"The machine of job {attempt.name} was taken away {plural(taken.times, 'time')}."
                    )
                    continue
                if ending.preempted or self._lost_a_trial(watch, ending, trials):
                    preemptions += 1
                    context.log.warning(f"Job {attempt.name} lost its machine; it is tried again.")
                    if ending.status == "Completed":
                        attempts.discard(attempt.name)  # a sweep without one of its trials
                    continue
                found = list(self._results(context, watch, ending, trials))
                about = metadata_of(ending, preemptions=preemptions + ending.requeued)
                for message in found:
                    if isinstance(message, StepResult):
                        yield dataclasses.replace(message, job_metadata={**message.job_metadata, **about})
                    else:
                        yield message
            # Read by the caller up to here, so published and recorded.
            attempts.settle(attempt.name)
            return

    def _place(self, step: str, preemptions: int) -> ComputePlacement:
        """Return where the next attempt runs: on machines that may be taken away as long as that is worth a try."""
        target = self.targets[kind_of(step)]
        spot = preemptions < self.spot_attempts and (target.spot or target.spot_compute is not None)
        compute = target.spot_compute if spot and target.spot_compute else target.compute
        return ComputePlacement(compute, spot, target.instance_type, target.instance_count)

    def _open(
        self, stack: ExitStack, context: dg.AssetExecutionContext, name: str, trials: int | None
    ) -> tuple[list[JobMessages], dict[str, str]]:
        """Open a channel for each process that reports; return them and what the job's environment holds."""
        channel = channel_of(name, self.storage, interval=self.poll_seconds)
        folders = [""] if trials is None else [f"/trial-{number}" for number in range(trials)]
        opened, variables = [], {}
        for folder in folders:
            output = f"{lake.job_output(name)}{folder}"
            messages = StepMessages(name, channel, partial(_below, output))
            variables = stack.enter_context(open_session(context, messages))
            opened.append(JobMessages(self.storage, messages, f"{lake.job_messages(name)}{folder}"))
        return opened, {
            **self.limits,
            **variables,
            JOB_VARIABLE: name,
            "PYTHONUNBUFFERED": "1",
            # Nothing calls home: these are the switches of evidently and MLflow, which also looks for git.
            "DO_NOT_TRACK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        }

    def _watch(
        self,
        context: dg.AssetExecutionContext,
        name: str,
        history: RunHistory,
        patience: RetryPolicy,
        messages: Sequence[JobMessages],
    ) -> JobWatch:
        return JobWatch(
            client=self.workspace.client(),
            history=history,
            patience=patience,
            name=name,
            log=context.log,
            messages=messages,
            limits=Limits(self.queue_limit, self.run_limit, self.not_responding_limit, self.paused_limit),
            poll_seconds=self.poll_seconds,
        )

    def _lost_a_trial(self, watch: JobWatch, ending: JobOutcome, trials: int | None) -> bool:
        """Whether a trial is missing for no fault of its own: without it, the search may find another model."""
        if trials is None or not ending.spot or all(messages.closed for messages in watch.messages):
            return False
        name = watch.name
        return watch.patience.ask(f"looking at the trials of {name}", lambda: watch.history.lost_a_child(name))

    def _results(
        self, context: dg.AssetExecutionContext, watch: JobWatch, ending: JobOutcome, trials: int | None
    ) -> Iterator[StepMessage]:
        """Yield what the job reported.

        Raises
        ------
        JobFailed
            With the step's own error, or Azure's and what the program printed last.
        JobCancelled
            Somebody else stopped it.
        """
        good = [messages for messages in watch.messages if messages.closed and not messages.error]
        errors = [messages.error for messages in watch.messages if messages.error]
        if ending.status == "Canceled":
            told = f" ({ending.details.error})" if ending.details and ending.details.error else ""
            raise JobCancelled(
                f"Job {watch.name} was cancelled in Azure ML{told}, by somebody else or by its time limit; "
                "run this again to start it anew"
            )
        if ending.status != "Completed" or not good:
            if errors:
                raise JobFailed(errors[0])
            told = (ending.details.error if ending.details else None) or "its program ended without saying how"
            raise ending.failure(watch.name, told, watch.logs.last_words())
        if trials is None:
            yield from good[0].arrived
            return
        for number, messages in enumerate(watch.messages):
            if messages not in good:
                error = messages.error or "it ended without saying how"
                context.log.warning(sentence(f"Trial {number} failed: {error}"))
        yield best_of([message for messages in good for message in messages.arrived if isinstance(message, StepResult)])


def _below(output: str, path: str) -> str:
    return f"{output}/{path}"
