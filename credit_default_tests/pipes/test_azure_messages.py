"""What a step that is an Azure ML job reports and stores: all of it arrives, whatever happens to the uploads."""

import json
import os
import subprocess
import sys

import dagster as dg
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from credit_default.core import lake
from credit_default.errors import StorageError
from credit_default.pipes.azure_messages import AzureMessageChannel, incarnation
from credit_default.pipes.azure_output import AzureOutput
from credit_default.pipes.messages import StepMessages, open_session
from credit_default.pipes.process_variables import TRIAL_VARIABLE
from credit_default.resources.azure.jobs.messages import JobMessages, channel_of, listing_of
from credit_default_tests.platforms import azure_storage

pytestmark = pytest.mark.slow


@pytest.fixture
def storage(azure):
    return azure_storage()


@pytest.fixture
def channel(storage):
    """Make the channel of one start of a job's step."""

    def make(job="job-1", *, interval=0.2, closing_seconds=5.0):
        container = ContainerClient(
            storage.blobs.address, storage.container, storage.workspace.credential(), retry_total=0
        )
        prefix = incarnation(channel_of(job, storage, interval=interval))
        return AzureMessageChannel(container, prefix, interval=interval, closing_seconds=closing_seconds)

    return make


def message(number: int) -> dict:
    payload = {"kind": "refused", "partition": f"day-{number}", "error": "no", "error_type": "DayError"}
    return {"method": "report_custom_message", "params": {"payload": payload}}


def read(storage, job="job-1", folder="", *, times=1):
    """Read what a job reported inside a run; returns the days of the messages and the reader."""
    messages = StepMessages(job, channel_of(job, storage, interval=1), lambda path: path)
    reader = JobMessages(storage, messages, f"{lake.job_messages(job)}{folder}")

    @dg.asset
    def made(context) -> None:
        with open_session(context, messages):
            for _ in range(times):
                reader.read(listing_of(job, storage))

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([made], instance=instance)
    return [arrived.partition for arrived in reader.arrived], reader


def test_uploads_that_fail_are_repeated_and_lose_nothing(channel, storage, emulator):
    emulator.fault("PUT", "/messages/", status=500, times=4)
    one = channel()
    with one.buffered_upload_loop():
        for number in range(5):
            one.write_message(message(number))
            if number == 2:
                while not one._error:
                    pass
    assert read(storage)[0] == [f"day-{number}" for number in range(5)]


def test_what_never_arrived_is_an_error_of_the_step(channel, emulator):
    emulator.fault("PUT", "/messages/", status=500, times=1000)
    one = channel(closing_seconds=1.0)

    def speak():
        with one.buffered_upload_loop():
            one.write_message(message(1))

    with pytest.raises(HttpResponseError) as told:
        speak()
    assert told.value.status_code == 500


def test_only_the_newest_start_of_a_job_counts(channel, storage):
    for days in ([1, 2, 3], [1, 2]):
        one = channel()
        with one.buffered_upload_loop():
            for day in days:
                one.write_message(message(day))
    arrived, reader = read(storage, times=2)
    assert arrived == ["day-1", "day-2"]
    assert reader.starts == 2


def test_trials_of_a_sweep_report_apart(channel, storage, monkeypatch):
    for trial in ("0", "1"):
        monkeypatch.setenv(TRIAL_VARIABLE, trial)
        one = channel()
        with one.buffered_upload_loop():
            one.write_message(message(int(trial)))
    assert read(storage, folder="/trial-0")[0] == ["day-0"]
    assert read(storage, folder="/trial-1")[0] == ["day-1"]


def test_a_step_learns_from_its_environment_where_to_report(storage, tmp_path, emulator):
    messages = StepMessages("job-9", channel_of("job-9", storage, interval=0.2), lambda path: f"out/{path}")
    reader = JobMessages(storage, messages, lake.job_messages("job-9"))
    days = "2026-01-01,2026-01-02"

    @dg.asset
    def made(context) -> None:
        with open_session(context, messages) as session:
            command = [sys.executable, "-m", "credit_default_tests.resources.example_steps.count"]
            command += ["--output", str(tmp_path / "out"), "--days", days]
            subprocess.run(command, env={**os.environ, **session}, check=True)
            reader.read(listing_of("job-9", storage))

    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize([made], instance=instance)
    assert [arrived.partition for arrived in reader.arrived] == days.split(",")
    assert reader.closed
    made = {name: storage.read(f"jobs/job-9/output/{name}/count.txt") for name in days.split(",")}
    assert made == {name: f"{name}\n".encode() for name in made}
    first = storage.entries("jobs/job-9/messages")[0].name
    assert json.loads(storage.read(f"jobs/job-9/messages/{first}/1.json").splitlines()[0])["method"] == "opened"


def test_files_and_folders_are_stored_whole_however_often(storage, tmp_path, emulator, monkeypatch):
    output = AzureOutput(channel_of("job-2", storage, interval=1), tmp_path)
    (tmp_path / "model" / "plots").mkdir(parents=True)
    (tmp_path / "table.parquet").write_bytes(os.urandom(9 * 2**20))  # several blocks
    (tmp_path / "model" / "plots" / "roc.png").write_bytes(b"first")
    emulator.fault("PUT", "/output/", status=500, host="blob", times=2)
    output.store(["table.parquet", "model"])
    (tmp_path / "model" / "plots" / "roc.png").write_bytes(b"of a job that Azure started again")
    output.store(["model"])
    monkeypatch.setenv(TRIAL_VARIABLE, "3")
    output.store(["model"])
    assert storage.read("jobs/job-2/output/table.parquet") == (tmp_path / "table.parquet").read_bytes()
    for folder in ("", "/trial-3"):
        key = f"jobs/job-2/output{folder}/model/plots/roc.png"
        assert storage.read(key) == b"of a job that Azure started again"


def test_what_cannot_be_stored_is_an_error_that_says_what_to_check(storage, tmp_path, emulator):
    (tmp_path / "table.parquet").write_bytes(b"rows")
    emulator.fault("PUT", "/output/", status=403, host="blob", times=9)
    with pytest.raises(StorageError, match=r"job-3/output/table.parquet could not be stored.*403.*Data Contributor"):
        AzureOutput(channel_of("job-3", storage, interval=1), tmp_path).store(["table.parquet"])
