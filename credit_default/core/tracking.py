"""A training as MLflow runs: one for the training, nested ones for its trials.

Where they go is MLflow's own setting, ``MLFLOW_TRACKING_URI``; without it nothing is tracked. Models are not logged
here: Azure ML's tracking server has no part for them, and the model directory is complete by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from credit_default.core import patient_sqlite, quiet_mlflow
from credit_default.core.system_errors import explained, must_be_a_database, retried

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from credit_default.core.trials import CrossValidated

EXPERIMENT = "credit-default"
JOB_TAG = "credit_default.job"


def open_client(uri: str) -> MlflowClient:
    """Return a client of a tracking server and registry whose database, if it is a local one, is ready for use."""
    quiet_mlflow.settle(uri)
    from mlflow import MlflowClient

    database = database_of(uri)
    if database is None:
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    patient_sqlite.install()
    with explained(database):
        database.parent.mkdir(parents=True, exist_ok=True)
        # MLflow would try for an hour to open what is none.
        must_be_a_database(database)
        # Its first user makes the tables; two first users at once would make them twice, which fails.
        with FileLock(database.with_suffix(".lock")):
            client = retried(lambda: MlflowClient(tracking_uri=uri, registry_uri=uri))
            retried(lambda: client.search_experiments(max_results=1))
            retried(lambda: client.search_registered_models(max_results=1))
    return client


def database_of(uri: str) -> Path | None:
    """Return the file of a local tracking server; None for a server elsewhere."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


@contextmanager
def training_run(job_name: str | None, tags: Mapping[str, str]) -> Iterator[str | None]:
    """Open the run of a training and yield its id; None when nothing is tracked.

    A run of the same job that is still open belongs to an attempt that was killed, and is closed as killed.
    An error inside closes the run as failed.

    Parameters
    ----------
    job_name
        The same for every attempt at the same training.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        yield None
        return
    client = open_client(os.environ["MLFLOW_TRACKING_URI"])
    import mlflow

    experiment = _experiment(client, os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
    job_tags = {JOB_TAG: job_name} if job_name else {}
    if job_name:
        _close_killed(client, experiment, job_name)
    # On Azure ML the run exists already: MLflow finds its id in the environment.
    given = os.environ.get("MLFLOW_RUN_ID")
    with mlflow.start_run(experiment_id=None if given else experiment, tags={**tags, **job_tags}) as run:
        yield str(run.info.run_id)


def log_trial(run_id: str | None, result: CrossValidated, job_name: str | None = None, *, alone: bool = False) -> None:
    """Write down a trial as a nested run of the active one.

    Parameters
    ----------
    alone
        The job runs this trial and no other: its figures go to the active run itself, where whoever runs the search
        looks for them.
    """
    if run_id is None:
        return
    import mlflow

    figures = {"mean_auc": result.mean_auc, "std_auc": result.std_auc}
    if alone:
        retried(lambda: mlflow.log_metrics(figures))
        return
    active = mlflow.active_run()
    assert active is not None
    with mlflow.start_run(
        run_name=f"trial-{result.number}",
        nested=True,
        # Without it, a nested run goes to MLflow's default experiment.
        experiment_id=active.info.experiment_id,
        tags={JOB_TAG: job_name} if job_name else {},
    ):
        retried(lambda: mlflow.log_params({**result.parameters, "trees": result.trees}))
        retried(lambda: mlflow.log_metrics(figures))


def log_result(run_id: str | None, manifest: Mapping[str, Any], directory: Path) -> None:
    """Write down what came of a training: the figures of its manifest and the pictures of its model directory."""
    if run_id is None:
        return
    import mlflow

    parameters = {
        **manifest["parameters"],
        "trial": manifest["best_trial"],
        "seed": manifest["seed"],
        "calibration": manifest["calibration"],
    }
    retried(lambda: mlflow.log_params(parameters))
    figures = {
        f"{part}_{name}": float(value)
        for part, measured in manifest["metrics"].items()
        for name, value in measured.items()
        if value is not None
    }
    tags = {name: manifest[name] for name in ("model_sha256", "model_id", "content_hash")}
    retried(lambda: mlflow.log_metrics(figures))
    retried(lambda: mlflow.set_tags(tags))
    mlflow.log_artifact(str(directory / "manifest.json"))
    for plot in manifest["plots"]:
        mlflow.log_artifact(str(directory / plot), "plots")


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        uri = os.environ["MLFLOW_TRACKING_URI"]
        # Beside the database; MLflow's own default is the folder that the process happens to be in.
        location = (
            (Path(uri.removeprefix("sqlite:///")).parent / "artifacts").resolve().as_uri()
            if uri.startswith("sqlite:///")
            else None
        )
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            # Another training was faster.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _close_killed(client: MlflowClient, experiment: str, job_name: str) -> None:
    active = os.environ.get("MLFLOW_RUN_ID")
    quoted = job_name.replace("'", "")
    for run in client.search_runs([experiment], f"tags.`{JOB_TAG}` = '{quoted}' and attributes.status = 'RUNNING'"):
        if run.info.run_id != active:
            client.set_terminated(run.info.run_id, "KILLED")
