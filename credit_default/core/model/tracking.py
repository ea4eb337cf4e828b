"""A training as MLflow runs: one for the training, nested ones for its trials.

Where they go is MLflow's own setting, ``MLFLOW_TRACKING_URI``; without it nothing is tracked. Models are not logged
here: Azure ML's tracking server has no part for them, and the model directory is complete by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from credit_default.core import lake, patient_sqlite
from credit_default.core.model import quiet_mlflow
from credit_default.core.system_errors import explain, explained, must_be_a_database, retried

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from credit_default.core.model.trials import CrossValidated

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


class TrainingRun:
    """The MLflow run of a training, best effort: the first call that fails is the last one, and the training goes on.

    Attributes
    ----------
    run_id
        None when nothing is tracked.
    """

    def __init__(self, job_name: str | None, warn: Callable[[str], object]) -> None:
        self.run_id: str | None = None
        self._job_name = job_name
        self._job_tags = {JOB_TAG: job_name} if job_name else {}
        self._warn = warn
        self._uri = os.environ.get("MLFLOW_TRACKING_URI") or None

    def start(self, tags: Mapping[str, str]) -> None:
        """Open the run, or go on with the one that this process was given."""
        self._attempt(lambda: self._start(tags))

    def log_trial(self, result: CrossValidated, *, alone: bool = False) -> None:
        """Log a trial as a nested run.

        Parameters
        ----------
        alone
            The job runs this trial and no other: its figures go to the run itself, where whoever runs the search looks
            for them.
        """
        self._attempt(lambda: self._log_trial(result, alone=alone))

    def log_result(self, manifest: Mapping[str, Any], directory: Path) -> None:
        """Log what came of the training: the figures of its manifest and the pictures of its model directory."""
        self._attempt(lambda: _log_result(manifest, directory))

    def end(self, status: str) -> None:
        """Close the run; one that cannot be tracked any more is left as it is."""

        def end() -> None:
            import mlflow

            mlflow.end_run(status)

        self._attempt(end)

    def _attempt(self, work: Callable[[], None]) -> None:
        if self._uri is None:
            return
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever MLflow, its plugins and its server come up with
            self._uri = None
            # MLflow closes what is open when the process ends, and would wait minutes for a server that is gone.
            os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
            # Words of others may hold signed addresses.
            known = explain(error)
            reason = str(known) if known is not None else f"{type(error).__name__}; see whether its server answers"
            self._warn(f"This training is not tracked in MLflow from here on, and goes on without ({reason}).")

    def _start(self, tags: Mapping[str, str]) -> None:
        assert self._uri is not None
        client = open_client(self._uri)
        import mlflow

        # On Azure ML the run exists already, and ends with its job however that ends: MLflow finds its id in the
        # environment, and there is no open run of a killed attempt to search for.
        experiment = None
        if not os.environ.get("MLFLOW_RUN_ID"):
            experiment = _experiment(client, self._uri)
            if self._job_name:
                _close_killed(client, experiment, self._job_name)
        run = mlflow.start_run(experiment_id=experiment, tags={**tags, **self._job_tags})
        self.run_id = str(run.info.run_id)

    def _log_trial(self, result: CrossValidated, *, alone: bool) -> None:
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
            tags=self._job_tags,
        ):
            retried(lambda: mlflow.log_params({**result.parameters, "trees": result.trees}))
            retried(lambda: mlflow.log_metrics(figures))


@contextmanager
def training_run(
    job_name: str | None, tags: Mapping[str, str], *, warn: Callable[[str], object]
) -> Iterator[TrainingRun]:
    """Track a training; an error inside closes its run as failed.

    A run of the same job that is still open belongs to an attempt that was killed, and is closed as killed.

    Parameters
    ----------
    job_name
        The same for every attempt at the same training.
    warn
        Gets a note when the training cannot be tracked, or not any more.
    """
    run = TrainingRun(job_name, warn)
    run.start(tags)
    try:
        yield run
    except BaseException:
        run.end("FAILED")
        raise
    run.end("FINISHED")


def _log_result(manifest: Mapping[str, Any], directory: Path) -> None:
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
    mlflow.log_artifact(str(directory / lake.MANIFEST_FILE))
    for plot in manifest["plots"]:
        mlflow.log_artifact(str(directory / plot), "plots")


def _experiment(client: MlflowClient, uri: str) -> str:
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    found = client.get_experiment_by_name(name)
    if found is None:
        database = database_of(uri)
        # Beside the database; MLflow's own default is the folder that the process happens to be in.
        location = (database.parent / "artifacts").resolve().as_uri() if database is not None else None
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            # Another training was faster.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _close_killed(client: MlflowClient, experiment: str, job_name: str) -> None:
    quoted = job_name.replace("'", "")
    for run in client.search_runs([experiment], f"tags.`{JOB_TAG}` = '{quoted}' and attributes.status = 'RUNNING'"):
        client.set_terminated(run.info.run_id, "KILLED")
