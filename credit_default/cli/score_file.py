"""One file scored on the spot with the live model, outside the asset graph: nothing is published or recorded."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from credit_default.cli.live_model import nothing_deployed, write_note
from credit_default.resources import resources_for
from credit_default.resources.model_versions import expectation_of
from credit_default.settings import Settings


@dataclass(frozen=True)
class ScoredFile:
    """What became of the file; ``quarantine`` holds the rejected rows, when there are any."""

    rows: int
    accepted: int
    rejected: int
    model_version: str
    mean_pd: float
    seconds: float
    quarantine: Path


def score_one_file(settings: Settings, file: Path, out: Path) -> ScoredFile:
    """Score a CSV or Parquet file in the curated schema and write predictions in the format of ``out``'s suffix.

    Rejected rows go to ``<out>.rejected.csv``.

    Raises
    ------
    NotThere
        No model is live.
    InputError
        The file cannot be used.
    """
    ports = resources_for(settings)
    version = ports["endpoint"].state().default
    if version is None:
        raise nothing_deployed(settings)
    # Seconds of imports: only once it is clear that there is a model to use them for.
    from credit_default.core import tables
    from credit_default.core.contract.contract import accept, write_rejected
    from credit_default.core.model.model_directory import load
    from credit_default.core.scoring.scoring import score_file

    registered = ports["registry"].get(version)
    with ports["storage"].on_disk(registered.key) as folder:
        model = load(folder, expectation_of(registered, ports["storage"], write_note))

    now = datetime.now(UTC)
    accepted = accept([file], dataset="inference", day=now.date().isoformat(), follow_links=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    quarantine = out.with_name(f"{out.name}.rejected.csv")
    if accepted.rejected.num_rows:
        write_rejected(accepted.rejected, quarantine)
    with tempfile.TemporaryDirectory() as folder:
        typed = Path(folder) / "typed.parquet"
        tables.write(accepted.table, typed)
        predictions = Path(folder) / "predictions.parquet"
        summary = score_file(
            model,
            typed,
            predictions,
            as_of=now.date(),
            model_name=registered.name,
            model_version=registered.version,
            input_data_version=tables.content_hash(accepted.table),
            run_id="credit-default score",
            scored_at=now,
        )
        _write(predictions, out)
    return ScoredFile(
        rows=accepted.counts["rows"],
        accepted=accepted.counts["accepted"],
        rejected=accepted.counts["rejected"],
        model_version=registered.version,
        mean_pd=summary["mean_pd"] or 0.0,
        seconds=summary["seconds"],
        quarantine=quarantine,
    )


def _write(predictions: Path, out: Path) -> None:
    """Write predictions where they are wanted, whole or not at all."""
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.unfinished")
    try:
        if out.suffix.lower() == ".csv":
            import pyarrow.parquet as pq
            from pyarrow import csv

            with (
                pq.ParquetFile(predictions, pre_buffer=False) as file,
                csv.CSVWriter(unfinished, file.schema_arrow) as writer,
            ):
                for batch in file.iter_batches():
                    writer.write_batch(batch)
        else:
            shutil.copyfile(predictions, unfinished)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
