"""The scoring script of batch deployments, called as Azure ML calls it: by itself, in a folder of its own."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import sys
import traceback
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default.core import tables
from credit_default.core.schema import PROBABILITY
from credit_default.core.scoring import predictions
from credit_default.core.scoring.scoring import score_file
from credit_default.errors import CreditDefaultError, HashMismatch, NotThere, UnreadableFile
from credit_default.steps import batch_scoring
from credit_default_tests import trained

DAY = date(2026, 3, 1)


#: Folders below which the file system is as where Azure ML mounts the output of a job.
MOUNTED: list[str] = []


def refuse_what_a_mounted_output_refuses(event, arguments):
    if not MOUNTED or event not in ("os.rename", "os.remove", "open") or not isinstance(arguments[0], str):
        return
    again = event != "open" or (arguments[2] & (os.O_WRONLY | os.O_RDWR) and Path(arguments[0]).exists())
    if again and arguments[0].startswith(tuple(MOUNTED)):
        raise OSError(errno.EPERM, f"{event} below a mounted output", arguments[0])


sys.addaudithook(refuse_what_a_mounted_output_refuses)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    # Azure ML puts the model into a folder of the asset's own name.
    root = tmp_path_factory.mktemp("model")
    return root, trained.save(root / "3")["model_sha256"]


@pytest.fixture
def deployed(model, tmp_path, monkeypatch):
    """The environment of a deployment's process, started; returns the folder of the output."""
    root, sha256 = model
    output = tmp_path / "output"
    for name, value in {
        "AZUREML_MODEL_DIR": str(root),
        "AZUREML_BI_OUTPUT_PATH": str(output),
        "CREDIT_DEFAULT_MODEL_NAME": "credit-card-default",
        "CREDIT_DEFAULT_MODEL_VERSION": "3",
        "CREDIT_DEFAULT_MODEL_SHA256": sha256,
        "CREDIT_DEFAULT_MANIFEST_SHA256": trained.registered(root / "3").manifest_text,
    }.items():
        monkeypatch.setenv(name, value)
    batch_scoring.init()
    MOUNTED.append(f"{output}{os.sep}")
    yield output
    MOUNTED.clear()


@pytest.fixture
def accepted(tmp_path) -> Path:
    """A day's accepted clients."""
    path = tmp_path / "arrived" / "inference_data.parquet"
    tables.write(trained.parts()["test"].select(tables.schema().names), path, data_version="input-1")
    return path


def as_csv(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def raw_rows(number: int) -> list[dict]:
    return trained.parts()["test"].select(tables.schema().names).slice(0, number).to_pylist()


def made(output: Path, suffix: str) -> list[Path]:
    return sorted(path for path in output.iterdir() if path.name.endswith(suffix))


def test_completed_scores_are_the_predictions_that_the_local_step_makes(deployed, accepted, model, tmp_path):
    (told,) = batch_scoring.run([str(accepted)])
    (scored,) = made(deployed, ".scores.parquet")
    completed = predictions.complete(scored, tmp_path / "completed.parquet", as_of=DAY, run_id="run-1")
    origin = json.loads(pq.read_metadata(scored).metadata[b"credit_default.scores"])
    local = score_file(
        batch_scoring._model,
        accepted,
        tmp_path / "local.parquet",
        as_of=DAY,
        model_name="credit-card-default",
        model_version="3",
        input_data_version="input-1",
        run_id="run-1",
        scored_at=predictions.datetime.fromisoformat(origin["scored_at"]),
    )
    assert pq.read_table(tmp_path / "completed.parquet").equals(pq.read_table(tmp_path / "local.parquet"))
    assert completed == {name: value for name, value in local.items() if name in completed}
    assert completed["rows"] == trained.parts()["test"].num_rows
    assert told == f"inference_data.parquet: {completed['rows']} rows scored, 0 rejected"
    kept = [
        pq.read_metadata(tmp_path / f"{name}.parquet").metadata[tables.DATA_VERSION_KEY]
        for name in ("completed", "local")
    ]
    assert kept[0] == kept[1] == completed["data_version"].encode()


def test_anybodys_csv_is_held_to_the_contract_and_scored(deployed, tmp_path):
    rows = raw_rows(20)
    rows[3]["age"] = "a person's age"
    batch_scoring.run([str(as_csv(tmp_path / "theirs" / "clients.csv", rows))])
    (scored,) = made(deployed, ".scores.parquet")
    table = pq.read_table(scored)
    assert table.schema.names == predictions.SCORES.names
    assert table["client_id"].to_pylist() == [row["client_id"] for number, row in enumerate(rows) if number != 3]
    assert set(table["model_version"].to_pylist()) == {"3"}
    assert all(0 < value < 1 for value in table[PROBABILITY].to_pylist())
    (rejected,) = made(deployed, ".rejected.csv")
    assert "age" in rejected.read_text()


def test_files_of_one_name_and_a_mini_batch_that_is_tried_again_elsewhere_do_not_mix(deployed, tmp_path):
    files = [as_csv(tmp_path / folder / "clients.csv", raw_rows(number)) for folder, number in (("a", 5), ("b", 7))]
    first = batch_scoring.run([str(file) for file in files])
    (tmp_path / "a").rename(tmp_path / "mounted-again")
    again = batch_scoring.run([str(tmp_path / "mounted-again" / "clients.csv")])
    assert (first[0], again) == ("clients.csv: 5 rows scored, 0 rejected", ["clients.csv: scored before"])
    assert sorted(pq.read_metadata(path).num_rows for path in made(deployed, ".scores.parquet")) == [5, 7]


@pytest.mark.parametrize(
    ("version", "named"),
    [
        ("0123456789abcdef0123456789abcdef", r"inference_data-0123456789abcdef"),
        ("../../elsewhere", r"inference_data-[0-9a-f]{16}"),
    ],
)
def test_scores_are_named_by_the_version_of_the_data_if_it_is_one_of_ours(deployed, tmp_path, version, named):
    path = tmp_path / "inference_data.parquet"
    tables.write(trained.parts()["test"].select(tables.schema().names), path, data_version=version)
    batch_scoring.run([str(path)])
    (scored,) = made(deployed, ".scores.parquet")
    assert re.fullmatch(rf"{named}\.scores\.parquet", scored.name)


def test_what_a_killed_attempt_left_half_written_stays_and_the_next_one_writes_beside_it(deployed, tmp_path):
    rows = raw_rows(20)
    rows[3]["age"] = "a person's age"
    file = str(as_csv(tmp_path / "clients.csv", rows))
    (told,) = batch_scoring.run([file])
    ((scored,), (rejected,)), mounted = (
        (made(deployed, suffix) for suffix in (".scores.parquet", ".rejected.csv")),
        [*MOUNTED],
    )
    MOUNTED.clear()
    scored.write_bytes(half := scored.read_bytes()[:-100])
    MOUNTED.extend(mounted)
    assert batch_scoring.run([file]) == [told]
    assert batch_scoring.run([file]) == ["clients.csv: scored before"]
    stem = scored.name.removesuffix(".scores.parquet")
    whole, again = (deployed / f"{stem}.2{suffix}" for suffix in (".scores.parquet", ".rejected.csv"))
    assert set(deployed.iterdir()) == {scored, rejected, whole, again}
    assert scored.read_bytes() == half
    assert pq.read_metadata(whole).num_rows == 19
    assert again.read_text() == rejected.read_text()


def test_a_file_that_cannot_be_scored_fails_its_mini_batch_and_is_told(deployed, tmp_path, accepted):
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"\x00\xff not a table")
    with pytest.raises(UnreadableFile):
        batch_scoring.run([str(accepted), str(broken)])
    (failure,) = made(deployed, ".failure.json")
    told = json.loads(failure.read_text())
    assert (told["file"], told["error_type"]) == ("broken.csv", "UnreadableFile")
    assert len(made(deployed, ".scores.parquet")) == 1


def test_the_other_files_of_a_mini_batch_are_scored_whatever_is_wrong_with_one(deployed, tmp_path, accepted):
    spoilt = tmp_path / "spoilt" / "inference_data.parquet"
    rows = tables.read(accepted)
    cells = pa.array(["secret-cell"] * rows.num_rows)
    position = rows.column_names.index("credit_limit")
    tables.write(rows.set_column(position, "credit_limit", cells), spoilt, data_version="spoilt")
    with pytest.raises(CreditDefaultError) as raised:
        batch_scoring.run([str(spoilt), str(accepted)])
    assert "secret-cell" not in "".join(traceback.format_exception(raised.value))
    assert len(made(deployed, ".scores.parquet")) == 1
    (failure,) = made(deployed, ".failure.json")
    told = json.loads(failure.read_text())
    assert "credit_limit" in told["error"]
    assert "secret-cell" not in told["error"]


def test_a_day_without_clients_becomes_a_file_without_rows(deployed, tmp_path):
    empty = tmp_path / "inference_data.parquet"
    tables.write(tables.schema().empty_table(), empty, data_version="none")
    batch_scoring.run([str(empty)])
    (scored,) = made(deployed, ".scores.parquet")
    told = predictions.complete(scored, tmp_path / "completed.parquet", as_of=DAY, run_id="r")
    assert (told["rows"], told["mean_pd"], told["input_data_version"]) == (0, None, "none")
    assert pq.read_table(tmp_path / "completed.parquet").schema.equals(predictions.PREDICTIONS)


def test_no_other_model_than_the_registered_one_is_loaded(deployed, monkeypatch, tmp_path):
    monkeypatch.setenv("CREDIT_DEFAULT_MODEL_SHA256", "0" * 64)
    with pytest.raises(HashMismatch):
        batch_scoring.init()
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    with pytest.raises(NotThere, match=r"holds no manifest\.json"):
        batch_scoring.init()


def test_what_no_deployment_of_ours_wrote_is_not_completed(tmp_path, accepted):
    with pytest.raises(UnreadableFile, match="expected scores that this project's batch deployment wrote"):
        predictions.complete(accepted, tmp_path / "completed.parquet", as_of=DAY, run_id="r")
    with pytest.raises(NotThere):
        predictions.complete(tmp_path / "none.parquet", tmp_path / "completed.parquet", as_of=DAY, run_id="r")
    assert not (tmp_path / "completed.parquet").exists()


def test_a_file_that_failed_and_is_tried_again_is_scored_beside_its_failure(deployed, accepted, monkeypatch):
    def out_of_memory(model, source):
        raise MemoryError

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(batch_scoring, "scores", out_of_memory)
            with pytest.raises(CreditDefaultError, match="MemoryError"):
                batch_scoring.run([str(accepted)])
    batch_scoring.run([str(accepted)])
    (failure,), (scored,) = made(deployed, ".failure.json"), made(deployed, ".scores.parquet")
    assert failure.name.removesuffix(".failure.json") == scored.name.removesuffix(".scores.parquet")


def test_golden_rows_which_are_of_prepared_data_and_name_no_client_score_as_in_training(deployed, tmp_path):
    golden = trained.model().golden
    path = tmp_path / "golden.parquet"
    tables.write(golden, path, data_version="prepared-1")
    batch_scoring.run([str(path)])
    (scored,) = made(deployed, ".scores.parquet")
    assert pq.read_table(scored)[PROBABILITY].to_pylist() == pytest.approx(golden[PROBABILITY].to_pylist(), abs=1e-9)
