"""What dagster-azure's own client of Azure ML does on the stand-in, as docs/dagster-azure.md says.

When one of these fails, the client has changed: read the page again, and see whether the own code can go.
"""

import os
import signal
import threading
import time

import dagster as dg
import pytest
from dagster_azure.pipes import PipesAzureBlobStorageMessageReader, PipesAzureMLClient

from credit_default_tests.emulator.clients import client_of, job

pytestmark = pytest.mark.slow


@pytest.fixture
def pipes(azure):
    """Materialise an asset by a job, with the client of dagster-azure; returns what became of the run."""
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import BlobServiceClient

    client = client_of(azure)
    store = BlobServiceClient(f"https://{azure.account}.blob.core.windows.net", DefaultAzureCredential())
    reader = PipesAzureBlobStorageMessageReader(container=azure.container, client=store, interval=0.2)
    pipes_client = PipesAzureMLClient(client, dg.PipesEnvContextInjector(), reader, poll_interval_seconds=0.2)

    @dg.asset
    def made_on_azure(context: dg.AssetExecutionContext):
        submitted = job("sleep 3", name=None, environment_variables={})
        return pipes_client.run(context=context, command=submitted).get_materialize_result()

    return lambda instance: dg.materialize([made_on_azure], instance=instance, raise_on_error=False)


@pytest.fixture
def jobs(azure, emulator):
    """The states of all jobs of the workspace, oldest first."""
    return lambda: [one["status"] for one in emulator.jobs(azure.name)]


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_job_that_is_cancelled_with_its_run_counts_as_a_materialisation(pipes, jobs):
    def interrupt():
        until(lambda: jobs() == ["Running"])
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with dg.DagsterInstance.ephemeral() as instance:
        result = pipes(instance)
        assert jobs() == ["Canceled"]
        assert result.success
        assert instance.get_latest_materialization_event(dg.AssetKey("made_on_azure")) is not None


def test_one_question_without_an_answer_fails_the_step_and_trying_again_pays_twice(pipes, jobs, emulator):
    # The job is there, and Azure says for a moment that nobody may read it, as while a role is being assigned.
    emulator.fault("GET", r"/jobs/[^/]+$", status=403, times=1)
    with dg.DagsterInstance.ephemeral() as instance:
        assert not pipes(instance).success
        assert len(jobs()) == 1
        assert jobs() != ["Canceled"]  # it goes on, and costs what it costs
        assert pipes(instance).success
    assert len(jobs()) == 2
