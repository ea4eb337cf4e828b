"""Train a model on a version of the prepared data."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from credit_default.core import lake, tables
from credit_default.core.data.splits import DEVELOPMENT, PARTS
from credit_default.core.files.landing_folder import sha256_of
from credit_default.core.model import model_directory, plots, tracking
from credit_default.core.model.training import TrainedModel, TrainingOptions, train
from credit_default.errors import NotThere
from credit_default.pipes.process_variables import JOB_VARIABLE
from credit_default.pipes.program import run
from credit_default.pipes.reporting import reporting


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the step."""
    options = _arguments(arguments)
    with reporting(options.output) as report:
        parts = {name: tables.read(options.prepared / lake.table_file(name)) for name in PARTS}
        bins = _json(options.prepared / lake.BINS_FILE)
        data_version = tables.data_version_of(options.prepared / lake.table_file(DEVELOPMENT))
        tags = {"prepared_data_version": data_version, "code_version": options.code_version}
        directory = options.output / "model"
        with tracking.training_run(options.job_name, tags, warn=report.warning) as run:
            trained = train(
                **parts,
                options=TrainingOptions(
                    trials=options.trials,
                    seed=options.seed,
                    protected_attributes=options.protected_attributes,
                    only_trial=options.only_trial,
                ),
                progress=report.info,
                on_trial=lambda trial: run.log_trial(trial, alone=options.only_trial is not None),
            )
            manifest = model_directory.save(
                trained,
                directory,
                training_rows=pa.concat_tables([parts["development"], parts["calibration"]]),
                bins=bins,
                plots=_plots(trained),
                prepared_data_version=data_version,
                code_version=options.code_version,
                reference_rows=options.reference_rows,
                mlflow_run_id=run.run_id,
            )
            run.log_result(manifest, directory)
        # By which the folder is held to what was trained until the registry has it as a tag.
        result = {**manifest, "manifest_sha256": sha256_of(directory / lake.MANIFEST_FILE)}
        report.stored(data_version=manifest["content_hash"], result=result, files={"model": "model"})


def _plots(trained: TrainedModel) -> dict[str, bytes]:
    return plots.all_plots(
        trained.test_labels, trained.test_probabilities, trained.bands, trained.importance, trained.threshold
    )


def _json(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise NotThere(f"{path} is not there; expected prepared data that the prepare step made; run it first")
    content: dict[str, object] = json.loads(path.read_text("utf-8"))
    return content


def _job_name() -> str | None:
    """Give the job that compute says this is, without the number of the attempt: attempts are one training."""
    name = os.environ.get(JOB_VARIABLE)
    return re.sub(r"-\d{1,4}$", "", name) if name else None


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True, help="folder of a version of the prepared data")
    parser.add_argument("--output", type=Path, required=True, help="folder to write the model directory to")
    parser.add_argument("--trials", type=int, default=8, help="size of the search (default: 8)")
    parser.add_argument("--only-trial", type=int, help="run this trial of the search alone, counted from 0")
    parser.add_argument("--seed", type=int, default=0, help="draws trials, folds and fits (default: 0)")
    parser.add_argument(
        "--protected-attributes", action="store_true", help="let sex, marital status and age be inputs of the model"
    )
    parser.add_argument(
        "--reference-rows", type=int, default=0, help="most recent training rows kept as reference; 0: all (default)"
    )
    parser.add_argument("--code-version", default="unknown", help="version of the code, kept with the model")
    parser.add_argument(
        "--job-name", default=_job_name(), help="the same for every attempt at this training (default: from compute)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
