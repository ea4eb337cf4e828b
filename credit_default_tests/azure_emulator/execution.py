"""Really runs command jobs: a thread for each, through Azure's states, with the faults that a test asked for."""

from __future__ import annotations

import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from credit_default_tests.azure_emulator import mlflow_tracking, workspaces
from credit_default_tests.azure_emulator.bindings import substitute
from credit_default_tests.azure_emulator.faults import JobFault
from credit_default_tests.azure_emulator.job import Job, JobError, seconds_of
from credit_default_tests.azure_emulator.program import Program
from credit_default_tests.azure_emulator.staging import Staging
from credit_default_tests.azure_emulator.store import State

#: A node is taken away, or a process killed, once the program has had this time to do something.
FAULT_AFTER_SECONDS = 0.5
#: How long a job that loses its node stays as it is at most, for whoever follows it to see it.
SHOWN_SECONDS = 10.0
#: How long the emulator waits for the programs that it kills when it stops.
STOP_SECONDS = 10.0
SERVERLESS = "serverless"
#: How many jobs serverless compute runs at once here.
SERVERLESS_NODES = 2

_POLL_SECONDS = 0.1
_NO_FAULT = JobFault(name="")


class JobCanceled(Exception):
    """Somebody asked for the job's end, or its time was over."""


class Preempted(Exception):
    """The job's node went away and the job goes back to the queue."""


class Runner:
    """Runs jobs of every kind in threads, and ends them all when the emulator stops."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._jobs: list[Job] = []
        self._threads: list[threading.Thread] = []
        self._nodes: dict[tuple[str, str], threading.Semaphore] = {}
        state.at_stop.append(self.stop)

    def start(self, job: Job, work: Callable[[Job], None]) -> None:
        """Do ``work(job)`` in a thread of its own and end the job as that ends."""
        thread = threading.Thread(target=self.conclude, args=(job, work), name=job.name, daemon=True)
        with self.state.lock:
            self._jobs.append(job)
            self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Cancel every job and wait until their processes are gone."""
        with self.state.lock:
            jobs, threads = list(self._jobs), list(self._threads)
        for job in jobs:
            job.request_cancel()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def conclude(self, job: Job, work: Callable[[Job], None]) -> None:
        """Do ``work(job)`` and put the job into the state in which it ends."""
        ended = "Completed"
        try:
            work(job)
        except JobCanceled:
            ended = "Canceled"
        except JobError as error:
            job.error, ended = error, "Failed"
        except Exception as error:  # noqa: BLE001 - a defect of the emulator must not pass for one of the job
            told = f"{type(error).__name__}: {error}"
            with self.state.lock:
                self.state.unknown.append({"what": "defect", "where": f"job {job.name}", "detail": told})
            job.error, ended = JobError(f"The emulator failed: {told}", "ServiceError"), "Failed"
        try:
            if job.mlflow_run and self.state.tracking:
                self.state.tracking.end_run(job.mlflow_run, ended)
        finally:
            job.enter(ended)

    def run_command(self, job: Job) -> None:
        """Run a command job to its end, again when it lost its node and is to be started again."""
        while True:
            job.enter("Queued")
            node = self._node(job)
            try:
                return self._attempt(job)
            except Preempted:
                job.enter("Queued")
            finally:
                node.release()
            _wait_until_shown(job)

    def _node(self, job: Job) -> threading.Semaphore:
        """Wait in the queue of the job's compute."""
        key = (job.workspace.name, job.compute)
        with self.state.lock:
            nodes = self._nodes.setdefault(key, threading.Semaphore(nodes_of(job)))
        if job.cancel.wait((self.state.faults.of_job(job.called) or _NO_FAULT).queue_seconds):
            raise JobCanceled
        while not nodes.acquire(timeout=_POLL_SECONDS):
            if job.cancel.is_set():
                raise JobCanceled
        return nodes

    def _attempt(self, job: Job) -> None:
        job.enter("Preparing")
        folder = self.state.home / "jobs" / job.workspace.name / f"{job.name}-{uuid.uuid4().hex[:8]}"
        staging = Staging(job, self.state.blobs, folder)
        try:
            staging.bring()
            environment = staging.variables | self._environment(job, folder)
            if job.cancel.is_set():
                raise JobCanceled
            command = substitute(job.properties["command"], staging.values)
            program = Program(
                command, folder=staging.code, environment=environment, log=staging.log, errors=staging.errors
            )
            try:
                status = self._watch(job, program, staging)
            finally:
                program.kill()
                staging.keep_log()
            job.enter("Finalizing")
            staging.keep_outputs()
            if status:
                raise JobError(
                    f"Execution failed. User process '/bin/bash' exited with status code {status}. "
                    f"Please check log file '{job.logs[-1]}' for error details. Error: {staging.last_words()}"
                )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _watch(self, job: Job, program: Program, staging: Staging) -> int:
        """Follow the program until it ended and no fault holds the job; return its exit status."""
        job.enter("Running")
        begin = time.monotonic()
        limit = seconds_of((job.properties.get("limits") or {}).get("timeout"))
        while True:
            fault = self.state.faults.of_job(job.called) or _NO_FAULT
            job.enter(fault.state or "Running")
            status = program.wait(_POLL_SECONDS)
            staging.keep_log()
            took = time.monotonic() - begin
            if job.cancel.is_set():
                raise JobCanceled
            if limit is not None and took > limit:
                job.error = JobError(f"The job ran longer than its limit of {limit:.0f} seconds.", inner="JobTimeout")
                raise JobCanceled
            if status is not None or took > FAULT_AFTER_SECONDS:
                self._take_node(job, fault)
            if status is None and took > FAULT_AFTER_SECONDS and fault.kill > 0:
                fault.kill -= 1
                program.kill()
            if status is not None and not (fault.state or fault.hold):
                return status
            if status is not None:
                job.cancel.wait(_POLL_SECONDS)

    def _take_node(self, job: Job, fault: JobFault) -> None:
        """Take the job's node away if a fault says so and its compute is one where that happens."""
        with self.state.lock:
            if fault.preempt <= 0 or not is_low_priority(job):
                return
            fault.preempt -= 1
        if fault.requeue:
            _wait_until_shown(job)
            raise Preempted
        raise JobError(
            # As people saw it: github.com/microsoft/MLOpsPython/issues/346, Azure/MachineLearningNotebooks/issues/1242.
            "AzureMLCompute job failed. PreemptionError: Nodes of this job got pre-empted. Check if the run has failed "
            "or restarted. Reason: Received pre-emption warning signal.",
        )

    def _environment(self, job: Job, folder: Path) -> dict[str, str]:
        """Return what the program gets: nothing of the emulator's own environment, least of all its credentials."""
        workspace = job.workspace
        home = folder / "home"
        home.mkdir()
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            **self.state.job_environment,
            "AZUREML_RUN_ID": job.name,
            "AZUREML_ROOT_RUN_ID": job.root.name,
            "AZUREML_ARM_SUBSCRIPTION": workspace.subscription,
            "AZUREML_ARM_RESOURCEGROUP": workspace.resource_group,
            "AZUREML_ARM_WORKSPACE_NAME": workspace.name,
            "AZUREML_ARM_PROJECT_NAME": job.experiment,
        }
        if self.state.tracking:
            self.start_tracking(job)
            environment |= {
                **mlflow_tracking.variables(self.state, workspace),
                "MLFLOW_EXPERIMENT_NAME": job.experiment,
                "MLFLOW_EXPERIMENT_ID": job.mlflow_experiment or "",
                "MLFLOW_RUN_ID": job.mlflow_run or "",
            }
        return environment | (job.properties.get("environmentVariables") or {})

    def start_tracking(self, job: Job) -> None:
        """Make the MLflow run that belongs to the job, below that of its sweep or pipeline."""
        if self.state.tracking and job.mlflow_run is None:
            parent = job.parent.mlflow_run if job.parent else None
            job.mlflow_experiment, job.mlflow_run = self.state.tracking.start_run(
                job.experiment, job.properties.get("displayName") or job.name, parent=parent
            )


def _wait_until_shown(job: Job) -> None:
    """Wait until somebody was told the job's state: on Azure it lasts for minutes, and no poll misses it."""
    end = time.monotonic() + SHOWN_SECONDS
    while not job.was_shown() and time.monotonic() < end:
        if job.cancel.wait(_POLL_SECONDS):
            raise JobCanceled


def is_low_priority(job: Job) -> bool:
    """Whether the job's node may be taken away."""
    if job.compute == SERVERLESS:
        return ((job.properties.get("queueSettings") or {}).get("jobTier") or "").lower() == "spot"
    return workspaces.is_low_priority(job.workspace, job.compute)


def nodes_of(job: Job) -> int:
    """Return how many jobs the compute runs at once."""
    if job.compute == SERVERLESS:
        return SERVERLESS_NODES
    cluster = job.workspace.tables["computes"][job.compute]["properties"]["properties"]
    return int(cluster["scaleSettings"]["maxNodeCount"])
