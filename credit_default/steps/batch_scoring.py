"""The scoring script of a batch deployment: Azure ML calls `init` once in each process, and `run` for each mini-batch.

It scores whatever files it is given, ours or anybody's: accepted clients as Parquet (`inference_data`), or CSV and
Parquet in the curated schema, which it holds to the contract first. Each file becomes a file of scores in the output of
the job; rows that the contract refuses are kept beside it, with their reasons. Of several files for one, which a
mini-batch that is tried again makes, the newest counts.

Source: https://learn.microsoft.com/azure/machine-learning/how-to-batch-scoring-script
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from credit_default.core import tables
from credit_default.core.contract import accept, write_rejected
from credit_default.core.defects import as_unexpected
from credit_default.core.files import sha256_of
from credit_default.core.model_directory import LoadedModel
from credit_default.core.plurals import plural
from credit_default.core.predictions import Origin, write_scores
from credit_default.core.printable import printable
from credit_default.core.schema import CLIENT_ID
from credit_default.core.scoring import scores
from credit_default.errors import CreditDefaultError
from credit_default.steps._deployed import MODEL_NAME, MODEL_VERSION, registered_model

#: Where Azure ML collects what the script writes.
_OUTPUT = "AZUREML_BI_OUTPUT_PATH"
SCORES_SUFFIX, REJECTED_SUFFIX, FAILURE_SUFFIX = ".scores.parquet", ".rejected.csv", ".failure.json"

_model: LoadedModel | None = None


def init() -> None:
    """Load the model, once it is known to be the registered one.

    Raises
    ------
    NotThere
        Azure ML put no model of ours there.
    ModelError
        The model is another one, or not to be trusted.
    """
    global _model  # noqa: PLW0603 - Azure ML's contract: what `init` makes is there for `run`
    _model = registered_model()


def run(mini_batch: Sequence[str]) -> list[str]:
    """Score each file; returns a line for each, by which Azure ML counts what was done.

    Raises
    ------
    CreditDefaultError
        A file cannot be scored: it is named beside the scores, and the whole mini-batch counts as failed once the
        others are scored.
    """
    assert _model is not None
    output = Path(os.environ[_OUTPUT])
    scored, errors = [], []
    for file in mini_batch:
        try:
            scored.append(_score(_model, Path(file), output))
        except CreditDefaultError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return scored


def _score(model: LoadedModel, file: Path, output: Path) -> str:
    name = printable(file.name)
    with tempfile.TemporaryDirectory() as folder:
        try:
            # Named by what it holds: files of one name may come from several folders, and a mini-batch that is tried
            # again may see the same file in another place.
            target = Path(folder, f"{file.stem}-{sha256_of(file)[:8]}")
            rows, rejected = _write_scores(model, file, target)
        except Exception as caught:  # noqa: BLE001 - whatever it is, the other files of the mini-batch go on
            error = caught if isinstance(caught, CreditDefaultError) else as_unexpected(caught)
            failure = Path(folder, file.stem + FAILURE_SUFFIX)
            described = {"file": name, "error": str(error), "error_type": type(error).__name__}
            failure.write_text(json.dumps(described), "utf-8")
            _hand_over(failure, output)
            # Without what it was caused by, whose text Azure ML would log.
            raise error from None
        for suffix in (REJECTED_SUFFIX, SCORES_SUFFIX):
            if (made := target.with_name(target.name + suffix)).exists():
                _hand_over(made, output)
    scored = f"{name}: {plural(rows, 'row')} scored, {rejected:,} rejected"
    sys.stdout.write(f"{scored}\n")
    return scored


def _write_scores(model: LoadedModel, file: Path, target: Path) -> tuple[int, int]:
    """Write the scores of a file, and the rows that the contract refuses; return how many there are of either."""
    rejected, source = 0, file
    if not _is_accepted(file):
        accepted = accept([file], dataset="inference")
        source = target.with_name("accepted.parquet")
        tables.write(accepted.table, source, data_version=tables.content_hash(accepted.table))
        rejected = accepted.rejected.num_rows
        if rejected:
            write_rejected(accepted.rejected, target.with_name(target.name + REJECTED_SUFFIX))
    origin = Origin(
        model_name=os.environ[MODEL_NAME],
        model_version=os.environ[MODEL_VERSION],
        model_sha256=model.sha256,
        input_data_version=tables.data_version_of(source),
        scored_at=datetime.now(UTC),
    )
    return write_scores(scores(model, source), target.with_name(target.name + SCORES_SUFFIX), origin), rejected


def _hand_over(made: Path, output: Path) -> None:
    """Copy a file into the output of the job, which is a mount: nothing there can be renamed, removed or written anew.

    What an earlier try of the mini-batch left of it stays, and the file is put beside it under another name: it may be
    a part only.
    """
    output.mkdir(parents=True, exist_ok=True)
    for attempt in count(1):
        target = output / (made.name if attempt == 1 else f"try-{attempt}-{made.name}")
        with suppress(FileExistsError), target.open("xb") as copy, made.open("rb") as source:
            shutil.copyfileobj(source, copy)
            return


def _is_accepted(file: Path) -> bool:
    """Whether a file was held to the contract already: ours name their version of the data, and their clients."""
    if file.suffix != ".parquet":
        return False
    try:
        with pq.ParquetFile(file) as opened:
            ours = tables.DATA_VERSION_KEY in (opened.metadata.metadata or {})
            return ours and CLIENT_ID in opened.schema_arrow.names
    except (pa.ArrowException, OSError):
        return False  # the contract says what is wrong with it
