"""The real SDK against the emulator, and the jobs that these tests submit."""

import itertools
import time
from pathlib import Path

#: A job that logs to MLflow is told that MLflow reports to nobody; the proxy would refuse it, and the test fail.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}
_numbers = itertools.count(1)
ENDED = ("Completed", "Failed", "Canceled")


def client_of(workspace):
    """Open the SDK's client of a workspace, and make the environment that `job` names."""
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Environment
    from azure.identity import DefaultAzureCredential

    client = MLClient(
        DefaultAzureCredential(), workspace.subscription, workspace.resource_group, workspace.name, show_progress=False
    )
    client.environments.create_or_update(Environment(name="plain", version="1", image="python:3.11"))
    return client


def job(line, **options):
    """Return a command job with a name of its own."""
    from azure.ai.ml import command

    defaults = {"name": f"job-{next(_numbers)}", "environment": "plain:1", "compute": "cpu-cluster"}
    return command(command=line, **{**defaults, "experiment_name": "tests", **options})


def python(program):
    """Return a command line that runs a program of a line or two."""
    return f"python -c '{program}'"


def wait(client, name, *states, seconds=40):
    """Wait until a job is in one of these states, by default the last of its life, and return it."""
    wanted = states or ENDED
    deadline = time.monotonic() + seconds
    while (found := client.jobs.get(name)).status not in wanted:
        assert time.monotonic() < deadline, f"{name} is {found.status}, not {wanted}"
        time.sleep(0.1)
    return found


def run(client, submitted):
    """Submit a job and wait for its end."""
    return wait(client, client.jobs.create_or_update(submitted).name)


def log(client, name, folder: Path):
    """Return what a job that ended printed."""
    client.jobs.download(name, download_path=folder)
    return (folder / "artifacts" / "user_logs" / "std_log.txt").read_text()


def details(client, name):
    """Return what run history tells of a job."""
    return client.jobs._runs_operations.get_run_details(name)
