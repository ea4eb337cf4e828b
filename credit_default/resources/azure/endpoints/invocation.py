"""Invocations of a batch deployment: jobs that are found again after a crash, several side by side.

One invocation scores one file where it is, or several as a folder: a machine starts once for all of them, and each has
a result of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from credit_default.core import lake
from credit_default.core.stored_json import read_object
from credit_default.errors import CreditDefaultError, JobCancelled, JobFailed
from credit_default.resources.azure.client.retries import RetryPolicy
from credit_default.resources.azure.jobs.attempts import Attempts
from credit_default.resources.azure.jobs.canceller import JobCanceller
from credit_default.resources.azure.jobs.history import RunHistory
from credit_default.resources.azure.jobs.job import JobOutcome, JobWatch, Limits

if TYPE_CHECKING:
    import dagster as dg

    from credit_default.resources.azure.client.workspace import AzureWorkspace
    from credit_default.resources.azure.storage import AzureStorage

SCORES_SUFFIX, FAILURE_SUFFIX = ".scores.parquet", ".failure.json"
_ROUTING = threading.Lock()


@dataclass(frozen=True)
class Invocation:
    """One invocation.

    Attributes
    ----------
    name
        Of the job, without the number of the attempt.
    sources
        Key of each file that is scored, by what its result is asked for by: what no other label begins with.
    """

    name: str
    sources: Mapping[str, str]


@dataclass(frozen=True)
class Outcome:
    """What came of a file: the key of its scores, or an error.

    Attributes
    ----------
    error
        The script's own words, with `error_type` the class of its error.
    failure
        The error of a job whose script said nothing.
    shared
        Whether the job scored other files as well.
    """

    job: str
    ending: JobOutcome
    scores: str | None = None
    error: str = ""
    error_type: str | None = None
    failure: JobFailed | None = None
    shared: bool = False


@dataclass(frozen=True)
class Invocations:
    """Invokes deployments of one endpoint and waits for the jobs.

    The jobs are named by whoever wants them, so that a run which was killed finds them again; a job that failed or was
    cancelled is followed by another attempt. While they run, an interrupt cancels all of them.
    """

    workspace: AzureWorkspace
    storage: AzureStorage
    endpoint: str
    #: How many jobs may run, or wait for a machine, at the same time: those in a long queue pass its limit.
    at_once: int
    limits: Limits
    poll_seconds: float
    unreachable_limit: float

    def run(
        self, context: dg.AssetExecutionContext, deployment: str, asked: Sequence[Invocation]
    ) -> Iterator[tuple[str, Outcome]]:
        """Start what is not there yet, some at a time, and yield the outcome of each file, by its label.

        They come in the order in which they were asked for. An invocation counts as dealt with once the first outcome
        of the next one, or the end, is asked for.

        Raises
        ------
        JobFailed
            Azure did not take an invocation, or one passed a limit.
        """
        client, history = self.workspace.client(), RunHistory(self.workspace)
        patience = RetryPolicy(self.workspace.credential(), self.unreachable_limit, self.poll_seconds)
        cancelling = JobCanceller(client, patience, context.log)
        attempts = Attempts(
            client, history, self.storage, patience, cancelling, context.instance, context.run.run_id, kept="output"
        )
        ended: list[tuple[Invocation, JobWatch, JobOutcome]] = []
        under_way: dict[str, tuple[Invocation, JobWatch]] = {}
        # Whatever breaks this off, an interrupt above all: nobody but us waits for the jobs.
        with cancelling.when_any_is_broken_off(under_way):
            for one in asked:
                if len(under_way) == self.at_once:
                    ended.append(_oldest(under_way))
                attempt = attempts.newest(one.name)
                watch = self._watch(context, attempt.name, patience, history)
                under_way[attempt.name] = one, watch
                if attempt.there:
                    context.log.info(f"Found job {attempt.name}, started by an earlier run; going on with it.")
                else:
                    self._invoke(attempts, deployment, attempt.name, one.sources)
                    context.log.info(f"Invoked {self.endpoint}/{deployment}: job {attempt.name}.")
            while under_way:
                ended.append(_oldest(under_way))
        for one, watch, ending in ended:
            yield from self._outcomes(watch, ending, one.sources)
            self._remove_input(patience, watch.name)
            attempts.settle(watch.name)

    def _watch(
        self, context: dg.AssetExecutionContext, job: str, patience: RetryPolicy, history: RunHistory
    ) -> JobWatch:
        return JobWatch(
            client=self.workspace.client(),
            history=history,
            patience=patience,
            name=job,
            log=context.log,
            messages=(),
            invocation=True,
            limits=self.limits,
            poll_seconds=self.poll_seconds,
        )

    def _invoke(self, attempts: Attempts, deployment: str, job: str, sources: Mapping[str, str]) -> None:
        """Start a job, or find that it is there: when its name is taken, or an answer was lost, it is ours."""
        from azure.ai.ml import Input, Output

        client = self.workspace.client()
        if len(sources) == 1:
            (key,) = sources.values()
            data = Input(type="uri_file", path=self.storage.datastore_uri(key))
            override: list[dict[str, int]] = []
        else:
            attempts.patience.ask(f"collecting what job {job} reads", lambda: self._collect(job, sources))
            data = Input(type="uri_folder", path=self.storage.datastore_uri(_input_of(job)))
            # None that cannot be scored ends the job for the others.
            override = [{"error_threshold": -1}]
        scores = Output(type="uri_folder", path=self.storage.datastore_uri(lake.job_output(job)))

        def post() -> None:
            with _routed_anew():
                client.batch_endpoints.invoke(
                    self.endpoint,
                    deployment_name=deployment,
                    inputs={"data": data},
                    outputs={"score": scores},
                    job_name=job,
                    params_override=override,
                )

        try:
            attempts.patience.ask(f"invoking {self.endpoint}", post)
        except CreditDefaultError:
            raise
        except Exception as error:
            # Whatever was refused: the one thing that counts is whether the job is there.
            if attempts.find(job) is None:
                told = str(getattr(error, "message", None) or error).strip().partition("\n")[0]
                raise JobFailed(
                    f"Endpoint {self.endpoint} did not take job {job} for deployment {deployment}: {told}; look at the "
                    "deployment in the studio, and check the roles of the identity that runs this"
                ) from error

    def _collect(self, job: str, sources: Mapping[str, str]) -> None:
        """Copy files into one folder, inside the storage account; those that are there stay."""
        for label, key in sources.items():
            self.storage.blobs.copy(key, f"{_input_of(job)}/{label}{PurePosixPath(key).suffix}")

    def _remove_input(self, patience: RetryPolicy, job: str) -> None:
        def remove() -> None:
            for file in list(self.storage.files(_input_of(job))):
                self.storage.remove(file.key)

        patience.ask(f"removing what job {job} has read", remove)

    def _outcomes(self, watch: JobWatch, ending: JobOutcome, labels: Collection[str]) -> Iterator[tuple[str, Outcome]]:
        folder = lake.job_output(watch.name)
        found = watch.patience.ask(f"looking what job {watch.name} made", lambda: list(self.storage.files(folder)))
        # A mini-batch that was tried again has several, of which the last is whole; of one second, the longest is it.
        keys = [file.key for file in sorted(found, key=lambda file: (file.modified, len(file.key)))]
        for label in labels:
            own = [key for key in keys if len(labels) == 1 or PurePosixPath(key).name.startswith(label)]
            yield label, replace(self._outcome(watch, ending, own), shared=len(labels) > 1)

    def _outcome(self, watch: JobWatch, ending: JobOutcome, keys: Sequence[str]) -> Outcome:
        failures = [key for key in keys if key.endswith(FAILURE_SUFFIX)]
        scores = [key for key in keys if key.endswith(SCORES_SUFFIX)]
        if ending.status == "Completed" and scores:
            return Outcome(watch.name, ending, scores[-1])
        if failures:
            key = failures[-1]
            failed = read_object(self.storage.read(key), key, "score the day again", error=str, error_type=str)
            return Outcome(watch.name, ending, error=failed["error"], error_type=failed["error_type"])
        told = ending.details.error if ending.details and ending.details.error else f"it is {ending.status}"
        return Outcome(watch.name, ending, failure=ending.failure(watch.name, told, watch.logs.last_words()))


def _input_of(job: str) -> str:
    """Return the folder that an invocation of several files reads."""
    return f"{lake.job(job)}/input"


def _oldest(under_way: dict[str, tuple[Invocation, JobWatch]]) -> tuple[Invocation, JobWatch, JobOutcome]:
    """Wait for the end of the job that was started first."""
    name, (one, watch) = next(iter(under_way.items()))
    ending = watch.wait()
    del under_way[name]
    return one, watch, ending


def failure_of(outcome: Outcome) -> JobFailed | JobCancelled:
    """Return the error of an invocation that failed for another reason than what it was given to score."""
    if outcome.ending.status == "Canceled":
        return JobCancelled(
            f"Job {outcome.job} was cancelled in Azure ML, by somebody else or by its time limit; run this again to "
            "start it anew"
        )
    return outcome.failure or JobFailed(outcome.error)


@contextmanager
def _routed_anew() -> Iterator[None]:
    """Undo that the SDK keeps the deployment that was last invoked by name, for every later call of the process."""
    with _ROUTING:
        _forget_routing()
        try:
            yield
        finally:
            _forget_routing()


def _forget_routing() -> None:
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields

    EndpointInvokeFields.DEFAULT_HEADER.pop(EndpointInvokeFields.MODEL_DEPLOYMENT, None)
