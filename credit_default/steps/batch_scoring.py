"""The scoring script of a batch deployment: Azure ML calls `init` once in each process, and `run` for each mini-batch.

It scores whatever files it is given, ours or anybody's: accepted clients as Parquet (`inference_data`), or CSV and
Parquet in the curated schema, which it holds to the contract first. Each file becomes a file of scores in the output of
the job; rows that the contract refuses are kept beside it, with their reasons.

Azure ML retries a mini-batch, perhaps on another machine, where the files are mounted elsewhere. So what a file becomes
is named after its content: ``<stem>-<version>.scores.parquet``, where the version is the first `VERSION_DIGITS` of its
data version or, for a file that is none of ours, of its sha256. In the output, which is mounted too, nothing can be
renamed, removed or written over: each file is made elsewhere and copied there once. What an attempt that was killed
left there stays, and the next one writes ``<stem>-<version>.2.scores.parquet`` beside it. A file that failed and was
scored by a retry has both; its scores count.

Source: https://learn.microsoft.com/azure/machine-learning/how-to-batch-scoring-script
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from credit_default.core import tables
from credit_default.core.contract.contract import accept, write_rejected
from credit_default.core.defects import as_unexpected
from credit_default.core.model.model_directory import LoadedModel
from credit_default.core.plurals import plural
from credit_default.core.printable import printable
from credit_default.core.schema import CLIENT_ID
from credit_default.core.scoring.predictions import Origin, write_scores
from credit_default.core.scoring.scoring import scores
from credit_default.core.system_errors import explained
from credit_default.errors import CreditDefaultError
from credit_default.pipes.process_variables import (
    BATCH_OUTPUT_VARIABLE,
    MODEL_NAME_VARIABLE,
    MODEL_VERSION_VARIABLE,
)
from credit_default.steps._deployed import registered_model

SCORES_SUFFIX, REJECTED_SUFFIX, FAILURE_SUFFIX = ".scores.parquet", ".rejected.csv", ".failure.json"
#: Of the hash in a name; 16 hex digits tell apart more files than a job can have.
VERSION_DIGITS = 16

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
    output = Path(os.environ[BATCH_OUTPUT_VARIABLE])
    output.mkdir(parents=True, exist_ok=True)
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
    name, target = printable(file.name), output / file.stem
    try:
        target = output / f"{file.stem}-{_version_of(file)[:VERSION_DIGITS]}"
        free = _free(target)
        if free is None:
            told = f"{name}: scored before"
        else:
            rows, rejected = _write_scores(model, file, free)
            told = f"{name}: {plural(rows, 'row')} scored, {rejected:,} rejected"
    except Exception as caught:  # noqa: BLE001 - whatever it is, the other files of the mini-batch go on
        error = caught if isinstance(caught, CreditDefaultError) else as_unexpected(caught)
        failure = _named(target, FAILURE_SUFFIX)
        if not failure.exists():
            described = {"file": name, "error": str(error), "error_type": type(error).__name__}
            failure.write_text(json.dumps(described), "utf-8")
        # Without what it was caused by, whose text Azure ML would log.
        raise error from None
    sys.stdout.write(f"{told}\n")
    return told


def _write_scores(model: LoadedModel, file: Path, target: Path) -> tuple[int, int]:
    """Score a file; returns the number of rows that were scored, and of those that were rejected."""
    with tempfile.TemporaryDirectory() as folder:
        rejected, source, refused = 0, file, Path(folder) / f"rejected{REJECTED_SUFFIX}"
        if not _is_accepted(file):
            accepted = accept([file], dataset="inference")
            source = Path(folder) / "accepted.parquet"
            tables.write(accepted.table, source, data_version=tables.content_hash(accepted.table))
            rejected = accepted.rejected.num_rows
            if rejected:
                write_rejected(accepted.rejected, refused)
        origin = Origin(
            model_name=os.environ[MODEL_NAME_VARIABLE],
            model_version=os.environ[MODEL_VERSION_VARIABLE],
            model_sha256=model.sha256,
            input_data_version=tables.data_version_of(source),
            scored_at=datetime.now(UTC),
        )
        written = Path(folder) / f"written{SCORES_SUFFIX}"
        rows = write_scores(scores(model, source), written, origin)
        if rejected:
            _copy(refused, _named(target, REJECTED_SUFFIX))
        # The last: what is beside it is complete once it is there.
        _copy(written, _named(target, SCORES_SUFFIX))
    return rows, rejected


def _named(target: Path, suffix: str) -> Path:
    return target.with_name(target.name + suffix)


def _free(target: Path) -> Path | None:
    """Return the first name under which nothing was written; None when an attempt before this wrote all scores."""
    name, number = target, 1
    while _named(name, SCORES_SUFFIX).exists() or _named(name, REJECTED_SUFFIX).exists():
        if _is_complete(_named(name, SCORES_SUFFIX)):
            return None
        number += 1
        name = target.with_name(f"{target.name}.{number}")
    return name


def _copy(made: Path, target: Path) -> None:
    with explained(target):
        shutil.copyfile(made, target)


def _is_complete(scored: Path) -> bool:
    """Whether an attempt before this one wrote these scores to their end, where Parquet has its footer."""
    try:
        pq.read_metadata(scored)
    except (pa.ArrowException, OSError):
        return False
    return True


def _version_of(file: Path) -> str:
    """Return what tells a file from one with other rows, wherever the two are mounted."""
    if _is_accepted(file) and (version := tables.data_version_of(file)).isalnum() and version.isascii():
        return version
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
