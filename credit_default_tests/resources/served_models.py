"""What suites of endpoints need: versions of a real model to deploy, days to score, and a run to do it in."""

import hashlib
import io
import json
import uuid
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from credit_default.core import tables
from credit_default.core.schema import PROBABILITY
from credit_default.ports import BatchEndpoint, EndpointState, ModelRegistry, ModelVersion, Storage
from credit_default_tests import trained

MODEL_FILE, MANIFEST_FILE = "model.skops", "manifest.json"


def model_files(folder: Path) -> dict[str, bytes]:
    """Name and content of every file of a real model directory, which is written to ``folder``."""
    trained.save(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def register(
    storage: Storage,
    registry: ModelRegistry,
    files: Mapping[str, bytes],
    key: str,
    *,
    verdict: str = "promote",
    **changed: bytes,
) -> ModelVersion:
    """Register the model once more, as a version of its own: the same model in a file that is not the same."""
    content = {**files, MODEL_FILE: another_file(files[MODEL_FILE], key), **changed}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items() if name != MANIFEST_FILE}
    manifest = {**json.loads(files[MANIFEST_FILE]), "model_sha256": hashes[MODEL_FILE], "files": hashes}
    content[MANIFEST_FILE] = json.dumps(manifest).encode()
    for name, data in content.items():
        storage.write(f"{key}/{name}", data)
    tags = {"verdict": verdict, "manifest_sha256": hashlib.sha256(content[MANIFEST_FILE]).hexdigest()}
    return registry.register(key, sha256=hashes[MODEL_FILE], tags=tags)


def another_file(model: bytes, comment: str) -> bytes:
    """The same model with another sha256: a skops file is a zip archive, which may have a comment."""
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = comment.encode()
    return stream.getvalue()


def other_golden_rows(files: Mapping[str, bytes]) -> bytes:
    """The golden rows of a model with probabilities that it does not give them."""
    table = pq.read_table(io.BytesIO(files["golden.parquet"]))
    place = table.schema.get_field_index(PROBABILITY)
    stream = io.BytesIO()
    pq.write_table(table.set_column(place, PROBABILITY, pc.add(table[PROBABILITY], pa.scalar(1e-6))), stream)
    return stream.getvalue()


def put_day(storage: Storage, day: str, folder: Path, rows: int = 20) -> Path:
    """Put the accepted clients of a day into the lake; returns a copy of the table."""
    table = trained.parts()["test"].select(tables.schema().names).slice(0, rows)
    path = folder / f"{day}.parquet"
    tables.write(table, path, data_version=f"input-{day}")
    storage.write(f"inference_data/{day}/inference_data.parquet", path.read_bytes())
    return path


def deploy(endpoint: BatchEndpoint, model: ModelVersion) -> Any:
    """Put a version beside the others; returns what its smoke test told."""
    return in_a_run(lambda context: endpoint.deploy(context, model))


def go_live(endpoint: BatchEndpoint, model: ModelVersion, changed_by: str = "run") -> EndpointState:
    """Deploy a version and make it the default."""
    deploy(endpoint, model)
    return endpoint.make_default(model.version, changed_by=changed_by)


def in_a_run(work: Callable[[dg.AssetExecutionContext], Any], root: str | None = None) -> Any:
    """Do something with the context of a run's asset; returns what came of it, or raises its error."""
    outcome: list[Any] = []

    @dg.asset
    def made(context: dg.AssetExecutionContext) -> None:
        outcome.append(work(context))

    job = dg.Definitions(assets=[made]).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(run_id=root or str(uuid.uuid4()), instance=instance)
    return outcome[0]
