import json
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default.core import tables
from credit_default.core.model.model_folder import Expectation
from credit_default.steps import score
from credit_default_tests import trained

DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "m"
    trained.save(directory)
    return directory, trained.registered(directory)


@pytest.fixture
def arrived(tmp_path):
    folder = tmp_path / "inference_data"
    rows = trained.parts()["test"].select(tables.schema().names)
    for number, day in enumerate(DAYS):
        table = rows.slice(100 * number, 100 + number)
        tables.write(table, folder / day / "inference_data.parquet", data_version=f"input-{number}")
    return folder


def _arguments(model, arrived, output, days=DAYS) -> list[str]:
    directory, known = model
    return [
        *("--model", str(directory), "--model-name", "credit-card-default", "--model-version", "3"),
        *("--model-sha256", known.sha256, "--manifest-sha256", known.manifest_text),
        *("--run-id", "run-1", "--inference-data", str(arrived)),
        *("--days", ",".join(days), "--output", str(output)),
    ]


def _told(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_day_has_its_own_rows_data_version_and_input(model, arrived, tmp_path, capsys):
    score.main(_arguments(model, arrived, tmp_path / "out"))
    told = _told(capsys)
    assert [day["partition"] for day in told] == list(DAYS)
    assert [day["result"]["rows"] for day in told] == [100, 101, 102]
    assert [day["result"]["input_data_version"] for day in told] == ["input-0", "input-1", "input-2"]
    assert len({day["data_version"] for day in told}) == 3
    for day in told:
        predictions = pq.read_table(tmp_path / "out" / day["files"]["predictions"])
        assert [str(as_of) for as_of in predictions["as_of"].unique().to_pylist()] == [day["partition"]]


def test_a_day_that_cannot_be_scored_is_refused_and_the_others_go_on(model, arrived, tmp_path, capsys):
    broken = arrived / DAYS[1] / "inference_data.parquet"
    broken.write_bytes(broken.read_bytes()[:200])
    score.main(_arguments(model, arrived, tmp_path / "out", (*DAYS, "2026-03-04", "someday")))
    output = capsys.readouterr()
    assert [json.loads(line)["partition"] for line in output.out.splitlines()] == [DAYS[0], DAYS[2]]
    assert "2026-03-02: " in output.err
    assert "2026-03-04: " in output.err
    assert "someday: " in output.err


def test_a_day_is_refused_for_whatever_reason_without_a_word_of_its_cells(model, arrived, tmp_path, capsys):
    older, spoilt = (arrived / day / "inference_data.parquet" for day in DAYS[:2])
    rows = tables.read(older)
    tables.write(rows.drop_columns(["credit_limit"]), older, data_version="older")
    cells = pa.array(["secret-cell"] * rows.num_rows)
    position = rows.column_names.index("credit_limit")
    tables.write(rows.set_column(position, "credit_limit", cells), spoilt, data_version="spoilt")
    score.main(_arguments(model, arrived, tmp_path / "out"))
    output = capsys.readouterr()
    assert [json.loads(line)["partition"] for line in output.out.splitlines()] == [DAYS[2]]
    assert f"{DAYS[0]}: {older} lacks the column credit_limit: this day was ingested before it existed" in output.err
    assert f"{DAYS[1]}: " in output.err
    assert "credit_limit" in output.err.splitlines()[1]
    assert "secret-cell" not in output.err
    assert not (tmp_path / "out" / DAYS[1] / "predictions.parquet").exists()


def test_no_day_is_scored_by_a_model_that_is_not_the_registered_one(model, arrived, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"Error: .* expected 0{64} as registered"):
        score.main(_arguments((model[0], Expectation("0" * 64, None)), arrived, tmp_path / "out"))
    assert _told(capsys) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_kill_half_way_through_writing_leaves_no_predictions_that_look_complete(model, arrived, tmp_path):
    rows = tables.read(arrived / DAYS[0] / "inference_data.parquet")
    source = arrived / DAYS[0] / "inference_data.parquet"
    tables.write(pa.concat_tables([rows] * 10_000), source, data_version="large")
    output = tmp_path / "out"
    step = subprocess.Popen(
        [sys.executable, "-m", "credit_default.steps.score", *_arguments(model, arrived, output, DAYS[:1])],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 100_000 for path in output.glob("*/.*.unfinished")):
        assert time.monotonic() < deadline
        assert step.poll() is None, "the step ended before it could be killed"
        time.sleep(0.01)
    os.killpg(step.pid, signal.SIGKILL)
    said, _ = step.communicate()
    assert step.returncode == -signal.SIGKILL
    assert said == b""
    assert not (output / DAYS[0] / "predictions.parquet").exists()
