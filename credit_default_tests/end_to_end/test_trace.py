"""From a prediction to its source: untouched, it traces clean; whatever is altered on the way is found and named."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default import tracing
from credit_default.core import lake, tables
from credit_default.core.promotion import ledger
from credit_default.core.promotion.ledger import Draft
from credit_default.core.schema import FEATURE_NAMES
from credit_default.core.scoring.predictions import PREDICTIONS, Origin, Scores, write_predictions
from credit_default.errors import NotThere
from credit_default.resources import resources_for
from credit_default.resources.retention import Retention
from credit_default.settings import read
from credit_default.tracing import Trace
from credit_default_tests.end_to_end.world import World, ago, new_clients
from credit_default_tests.served import served
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROW = 17
#: Begins the ids of clients of the day that was taken in again.
NAMED = "Sentinel-"
Findings = set[tuple[str, str]]


@dataclass
class Home:
    """A home that the tests of this module share; each puts back what it changes.

    ``day`` is as the demo left it; ``again`` was taken in and scored a second time from other files; ``online`` was
    exported from what the served model was asked.
    """

    world: World
    day: str
    again: str
    online: str

    @property
    def predictions(self) -> Path:
        return self.world.lake / "predictions" / self.day / "predictions.parquet"

    @property
    def inputs(self) -> Path:
        return self.world.lake / "inference_data" / self.day / "inference_data.parquet"

    @property
    def landed(self) -> Path:
        return self.world.landing / "inference/batch" / self.day / "clients.csv"

    @property
    def model(self) -> Path:
        (folder,) = (path for path in (self.world.lake / "models").iterdir() if path.is_dir())
        return folder

    @property
    def prepared(self) -> Path:
        (folder,) = (path for path in (self.world.lake / "prepared").iterdir() if path.is_dir())
        return folder

    def prediction(self, row: int = ROW, path: Path | None = None) -> str:
        """The id of a row."""
        return pq.read_table(path or self.predictions)["prediction_id"][row - 1].as_py()

    def trace(self, prediction_id: str) -> Trace:
        """Trace as the command does, in this process."""
        with patch.dict(os.environ):
            return tracing.trace(self.world.settings, prediction_id)

    @contextmanager
    def changed(self, *paths: Path) -> Iterator[None]:
        """Put files back afterwards; one that is written in between is another file than the one that is kept."""
        kept = self.world.home / "kept"
        kept.mkdir()
        for number, path in enumerate(paths):
            path.rename(kept / str(number))
            shutil.copy2(kept / str(number), path)
        try:
            yield
        finally:
            for number, path in enumerate(paths):
                (kept / str(number)).replace(path)
            kept.rmdir()


@pytest.fixture(scope="module")
def home(small_home, tmp_path_factory) -> Home:
    world = small_home.copy_to(tmp_path_factory.mktemp("trace") / "home")
    *_, again, day = sorted(world.made_days("batch_predictions"))
    rows = [{**row, "client_id": f"{NAMED}{number}"} for number, row in enumerate(new_clients(30))]
    world.land(again, "clients.csv", csv_text(rows))
    command = [str(Path(sys.executable).with_name("credit-default")), "serve", "--port", "0"]
    with served(command, world.environment, world.home) as server:
        status, _ = server.post(rows)
        assert (status, server.end()) == (200, 0)
    online = ago(0)
    for job, of in (("export_online_inputs", online), ("score_batch", again), ("score_batch", online)):
        done = world.run_job(job, of)
        assert done.returncode == 0, done.stderr
    return Home(world, day, again, online)


def failing(trace: Trace) -> Findings:
    return {(one.step, one.what) for one in trace.findings if one.verdict in ("altered", "missing")}


def unchecked(trace: Trace) -> Findings:
    return {(one.step, one.what) for one in trace.findings if one.verdict == "cannot be checked"}


STEPS = {"prediction", "input row", "landing file", "model", "training data", "runs", "promotion"}


def superseded(home: Home) -> Path:
    (path,) = (home.world.lake / "superseded_predictions" / home.again).glob("*.parquet")
    return path


@pytest.mark.parametrize("which", ["day", "again", "online"])
def test_an_untouched_prediction_traces_clean(home, which):
    day = getattr(home, which)
    found = home.trace(home.prediction(path=home.world.lake / "predictions" / day / "predictions.parquet"))
    assert found.verdict == "ok", found.findings
    assert unchecked(found) == set()
    assert {one.step for one in found.findings} == STEPS
    assert found.conclusion == "Nothing on the way was altered."
    assert (found.about["day"], found.about["row"]) == (day, ROW)
    assert list(found.values) == ["client_id", *FEATURE_NAMES]


def test_a_prediction_that_was_replaced_traces_clean_to_the_table_that_was_replaced(home):
    found = home.trace(home.prediction(path=superseded(home)))
    assert found.verdict == "ok", found.findings
    assert found.about["predictions"].startswith(f"superseded_predictions/{home.again}/")
    assert found.about["inference_data"].startswith(f"superseded_inference_data/{home.again}/")
    # Other clients came in a file of the same name, and that was taken in.
    assert unchecked(found) == {("landing file", "file")}
    assert found.conclusion == "Nothing on the way was altered, as far as it can be checked: 1 of it cannot."


def test_a_prediction_whose_replaced_input_is_gone_says_so(home):
    (inputs,) = (home.world.lake / "superseded_inference_data" / home.again).glob("*.parquet")
    with home.changed(inputs):
        inputs.unlink()
        found = home.trace(home.prediction(path=superseded(home)))
    assert failing(found) == {("input row", "content")}
    assert found.verdict == "missing"


def test_what_retention_removed_is_no_loss_and_what_a_kept_prediction_was_made_of_stays(home, tmp_path):
    copied = replace(home, world=home.world.copy_to(tmp_path / "home"))
    world = copied.world
    (inputs,) = (world.lake / "superseded_inference_data" / home.again).glob("*.parquet")
    report, *others = sorted(world.lake.glob("drift/*/report.html"))
    prediction = copied.prediction(path=superseded(copied))
    months_ago = time.time() - 100 * 86_400
    for path in (inputs, report, *world.job_folders("")):
        os.utime(path, (months_ago, months_ago))
    world.environment["CREDIT_DEFAULT_KEEP_SUPERSEDED_DAYS"] = "30"
    done = world.run_job("apply_retention")
    assert done.returncode == 0, done.stderr
    assert not report.exists()
    assert (report.parent / "drift.json").exists()
    assert all(path.exists() for path in (*others, superseded(copied), inputs))
    assert world.job_folders("") == []
    assert copied.trace(prediction).verdict == "ok"

    os.utime(superseded(copied), (months_ago, months_ago))
    settings = read(world.environment)
    ports = resources_for(settings)
    removed = Retention(ports["storage"], ports["compute"], settings, datetime.now(UTC)).apply(under_way=set())
    assert removed == {"reports": 0, "superseded tables": 2, "jobs": 0}
    (finding,) = copied.trace(prediction).findings
    assert (finding.verdict, finding.step) == ("cannot be checked", "prediction")
    assert f"was removed by retention on {ago(0)}, after 30 days" in finding.detail
    # Also where the event log knows nothing of it.
    shutil.rmtree(world.settings.dagster_home)
    (again,) = copied.trace(prediction).findings
    assert again == finding


OTHER = {
    "prediction_id": lambda _: "0123456789abcdef-1",
    "client_id": lambda _: "somebody else",
    "as_of": lambda day: day + timedelta(days=1),
    "probability_of_default": lambda probability: 1 - probability,
    "predicted_default": lambda predicted: not predicted,
    "model_name": lambda _: "another-model",
    "model_version": lambda _: "champion",
    "model_sha256": lambda _: "f" * 64,
    "input_data_version": lambda _: "f" * 32,
    "run_id": lambda _: "00000000-0000-0000-0000-000000000000",
    "scored_at": lambda moment: moment + timedelta(days=1),
}
FOUND = {
    "prediction_id": {("prediction", "id")},
    "client_id": {("input row", "client")},
    "as_of": {("prediction", "origin"), ("prediction", "rows")},
    "probability_of_default": {("prediction", "data version"), ("prediction", "event log"), ("model", "score")},
    "predicted_default": {("model", "score")},
    "model_name": {("prediction", "rows")},
    "model_version": {("prediction", "rows")},
    "model_sha256": {("prediction", "origin"), ("prediction", "rows")},
    "input_data_version": {("prediction", "origin"), ("prediction", "rows")},
    "run_id": {("prediction", "rows")},
    "scored_at": {("prediction", "rows")},
}


def edit(path: Path, column: str, change: Callable[[Any], Any], *rows: int) -> None:
    """Change a column of a Parquet file in some rows, or in all, and keep its schema and metadata."""
    table = pq.read_table(path)
    values = table[column].to_pylist()
    for row in rows or range(1, len(values) + 1):
        values[row - 1] = change(values[row - 1])
    place = table.schema.get_field_index(column)
    field = table.schema.field(column)
    edited = table.set_column(place, field, pa.array(values, field.type))
    tables.write(edited, path, data_version=tables.data_version_of(path))


def test_every_column_of_a_prediction_is_guarded():
    assert set(OTHER) == set(FOUND) == set(PREDICTIONS.names)


@pytest.mark.parametrize("row", [1, ROW])
@pytest.mark.parametrize("column", PREDICTIONS.names)
def test_an_edited_prediction_is_found_whichever_column_it_is(home, column, row):
    prediction_id = home.prediction(row)
    with home.changed(home.predictions):
        edit(home.predictions, column, OTHER[column], row)
        found = home.trace(prediction_id)
    assert failing(found) == FOUND[column]
    assert found.verdict == "altered"


ALIKE = {
    "model_name": {("model", "registry")},
    "model_version": {("prediction", "event log"), ("model", "registry"), ("promotion", "live")},
    "model_sha256": {("prediction", "origin"), ("prediction", "data version"), ("prediction", "event log"),
                     ("model", "registry")},
    "input_data_version": {("prediction", "origin"), ("prediction", "data version"), ("prediction", "event log"),
                           ("input row", "content")},
    "run_id": {("prediction", "event log"), ("runs", "scoring")},
    "scored_at": {("runs", "scoring")},
}  # fmt: skip


@pytest.mark.parametrize("column", ALIKE)
def test_a_column_that_was_edited_alike_in_every_row_is_found(home, column):
    prediction_id = home.prediction()
    with home.changed(home.predictions):
        edit(home.predictions, column, OTHER[column])
        found = home.trace(prediction_id)
    assert failing(found) == ALIKE[column]


def forge(path: Path) -> None:
    """Write other probabilities as our own scoring would."""
    table = pq.read_table(path)
    row = table.slice(0, 1).to_pylist()[0]
    made_by = {name: row[name] for name in Origin.__annotations__}
    probabilities = table["probability_of_default"].to_numpy() / 2
    scores = Scores(table["client_id"].combine_chunks(), probabilities, probabilities >= 0.5)
    write_predictions(iter([scores]), path, Origin(**made_by), as_of=row["as_of"], run_id=row["run_id"])


def test_a_whole_file_that_was_forged_with_a_version_that_fits_is_found(home):
    prediction_id = home.prediction()
    with home.changed(home.predictions):
        forge(home.predictions)
        found = home.trace(prediction_id)
    assert failing(found) == {("prediction", "event log"), ("model", "score")}


def test_a_prediction_that_was_removed_is_missing(home):
    last = home.prediction(0)
    with home.changed(home.predictions):
        table = pq.read_table(home.predictions)
        pq.write_table(table.slice(0, table.num_rows - 1), home.predictions)
        assert failing(home.trace(last)) == {("prediction", "id")}
        home.predictions.unlink()
        found = home.trace(last)
    assert failing(found) == {("prediction", "file")}
    assert found.verdict == "missing"


@pytest.mark.parametrize("content", [b"", b"no Parquet file"])
def test_predictions_that_cannot_be_read_are_no_reason_to_break_off(home, content):
    prediction_id = home.prediction()
    with home.changed(home.predictions):
        home.predictions.write_bytes(content)
        found = home.trace(prediction_id)
    assert (failing(found), found.verdict) == ({("prediction", "file")}, "altered")


def test_what_was_never_predicted_is_not_there(home):
    prefix = home.prediction().split("-")[0]
    rows = pq.read_metadata(home.predictions).num_rows
    for nobody in (f"{prefix}-{rows + 1}", "0123456789abcdef-1", f"{prefix}-0", prefix, "", "../../etc/passwd-1"):
        with pytest.raises(NotThere):
            home.trace(nobody)


def test_an_edited_input_row_is_found(home):
    prediction_id = home.prediction()
    with home.changed(home.inputs):
        edit(home.inputs, "bill_amount_1", lambda amount: amount + 1_000_000, ROW)
        found = home.trace(prediction_id)
    assert {("input row", "content"), ("landing file", "row")} <= failing(found)
    assert "bill_amount_1" in next(one.detail for one in found.findings if one.what == "row")


def test_an_edited_input_table_is_found_by_whichever_row(home):
    prediction_id = home.prediction()
    with home.changed(home.inputs):
        edit(home.inputs, "age", lambda age: age + 1, ROW + 1)
        assert failing(home.trace(prediction_id)) == {("input row", "content")}
        table = tables.read(home.inputs)
        pq.write_table(table.replace_schema_metadata(None), home.inputs)
        found = home.trace(prediction_id)
    assert (failing(found), found.verdict) == ({("input row", "content")}, "altered"), "by what should be there"


def test_an_input_table_that_lost_rows_is_found(home):
    prediction_id = home.prediction()
    with home.changed(home.inputs):
        pq.write_table(pq.read_table(home.inputs).slice(0, ROW - 1), home.inputs)
        found = home.trace(prediction_id)
    assert failing(found) == {("input row", "content"), ("input row", "client")}
    assert unchecked(found) == {("landing file", "file"), ("model", "score")}
    assert found.values is None


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True)


def test_an_edited_landing_file_is_found_though_the_row_stayed_the_same(home):
    prediction_id = home.prediction()
    with home.changed(home.landed):
        *lines, last = lines_of(home.landed)
        home.landed.write_text("".join(lines))
        assert failing(home.trace(prediction_id)) == {("landing file", "file")}
        row = lines[ROW].split(",")
        row[lines[0].replace('"', "").split(",").index("age")] = "99"
        home.landed.write_text("".join([*lines[:ROW], ",".join(row), *lines[ROW + 1 :], last]))
        found = home.trace(prediction_id)
    assert failing(found) == {("landing file", "file"), ("landing file", "row")}
    assert any(one.detail.endswith("differs from the input row in age") for one in found.findings)


def test_a_landing_file_that_is_gone_or_no_table_any_more_is_found(home):
    prediction_id = home.prediction()
    with home.changed(home.landed):
        home.landed.write_text("nothing\n")
        assert failing(home.trace(prediction_id)) == {("landing file", "file"), ("landing file", "row")}
        home.landed.unlink()
        assert failing(home.trace(prediction_id)) == {("landing file", "file")}


def test_a_changed_model_file_is_found_and_not_opened(home):
    prediction_id, file = home.prediction(), home.model / "model.skops"
    with home.changed(file):
        file.write_bytes(file.read_bytes() + b"\n")
        found = home.trace(prediction_id)
    assert failing(found) == {("model", "files"), ("model", "score")}
    assert any("HashMismatch" in one.detail for one in found.findings)


def test_a_model_is_found_that_is_another_one_by_its_manifest_too(home):
    # Nothing is scored again with a folder of which any file is another one.
    prediction_id, file, about = home.prediction(), home.model / "golden.parquet", home.model / "manifest.json"
    with home.changed(file, about):
        file.unlink()
        shutil.copy2(about, file)
        assert failing(home.trace(prediction_id)) == {("model", "files"), ("model", "score")}
        file.unlink()
        assert failing(home.trace(prediction_id)) == {("model", "files"), ("model", "score")}
    with home.changed(about):
        manifest = json.loads(about.read_text())
        # Of the seed, neither a tag nor the metadata of the training tells by name.
        for changed in ({"threshold": manifest["threshold"] + 1e-6}, {"seed": -1}, {"code_version": "another"}):
            about.write_text(json.dumps({**manifest, **changed}))
            found = failing(home.trace(prediction_id))
            assert found == {("model", "manifest"), ("model", "event log"), ("model", "score")}, changed


def test_changed_training_data_are_found(home):
    prediction_id, part, bins = home.prediction(), home.prepared / "calibration.parquet", home.prepared / "bins.json"
    with home.changed(part):
        edit(part, "age", lambda age: age + 1, 5)
        found = home.trace(prediction_id)
        assert failing(found) == {("training data", "content")}
        assert any("rows of calibration" in one.detail for one in found.findings)
    with home.changed(bins):
        bins.write_text(json.dumps({**json.loads(bins.read_text()), "more": 1}))
        assert failing(home.trace(prediction_id)) == {("training data", "content")}


def test_training_data_that_were_forged_with_their_manifest_are_found_by_their_version(home):
    prediction_id, part, about = home.prediction(), home.prepared / "test.parquet", home.prepared / "manifest.json"
    with home.changed(part, about):
        edit(part, "age", lambda age: age + 1, 5)
        manifest = json.loads(about.read_text())
        manifest["parts"]["test"]["content_hash"] = tables.content_hash(tables.read(part))
        about.write_text(json.dumps(manifest))
        assert failing(home.trace(prediction_id)) == {("training data", "content")}


def test_a_forged_ledger_is_found(home):
    prediction_id, path = home.prediction(), home.world.lake / lake.LEDGER
    written = path.read_bytes()
    (entry,) = ledger.read(written).entries
    made_up = Draft(action="promote", to_version="2", who="nobody", reason="none", run_id="no run")
    with home.changed(path):
        path.write_bytes(ledger.append(written, made_up, datetime.now(UTC)))
        assert failing(home.trace(prediction_id)) == {("promotion", "event log")}, "a line at its end"
        path.write_bytes(ledger.append(written, Draft(**{**vars(made_up), "run_id": entry.run_id}), datetime.now(UTC)))
        assert failing(home.trace(prediction_id)) == {("promotion", "event log")}, "and one of a run that there is"
        earlier = ledger.append(b"", made_up, entry.at - timedelta(days=1))
        path.write_bytes(earlier)
        found = home.trace(prediction_id)
        assert failing(found) == {("promotion", "event log"), ("promotion", "live")}, "written anew"
        path.write_bytes(earlier + written)
        assert ("promotion", "ledger") in failing(home.trace(prediction_id)), "a line put in between"
        path.unlink()
        found = home.trace(prediction_id)
    assert failing(found) == {("promotion", "ledger")}
    assert found.verdict == "missing"


def test_an_edited_verdict_is_found(home):
    prediction_id, path = home.prediction(), home.world.lake / "verdicts/1.json"
    with home.changed(path):
        verdict = json.loads(path.read_text())
        path.write_text(json.dumps({**verdict, "decision": "reject"}))
        assert failing(home.trace(prediction_id)) == {("promotion", "verdict")}
        path.write_text(json.dumps({**verdict, "criteria": []}))
        assert failing(home.trace(prediction_id)) == {("promotion", "verdict")}


def test_the_command_says_it_in_lines_and_in_json_and_by_its_exit_code(home):
    path = home.world.lake / "predictions" / home.again / "predictions.parquet"
    prediction_id = home.prediction(path=path)
    clean = home.world.command("trace", prediction_id)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.rstrip().endswith("Nothing on the way was altered.")
    asked = home.world.command("trace", prediction_id, "--values")
    client, probability = (
        pq.read_table(path)[name][ROW - 1].as_py() for name in ("client_id", "probability_of_default")
    )
    assert client == f"{NAMED}{ROW - 1}"
    assert client in asked.stdout
    with home.changed(path):
        edit(path, "client_id", OTHER["client_id"], ROW)
        altered = home.world.command("trace", prediction_id, "--json")
    assert altered.returncode == 1
    document = json.loads(altered.stdout)
    assert document["verdict"] == "altered"
    assert document["conclusion"] == "Altered: input row (client)."
    assert "values" not in document
    for told in (clean.stdout, altered.stdout):
        assert NAMED not in told
        assert str(probability) not in told
    nobody = home.world.command("trace", "0123456789abcdef-1")
    assert (nobody.returncode, nobody.stdout) == (2, "")
    assert "no prediction is kept or recorded whose id begins with 0123456789abcdef" in nobody.stderr


def test_a_home_without_its_event_log_is_traced_by_its_files(home, tmp_path):
    world = home.world.copy_to(tmp_path / "home")
    shutil.rmtree(world.settings.dagster_home)
    alone = Home(World(world.home), home.day, home.again, home.online)
    found = alone.trace(home.prediction())
    assert failing(found) == set(), found.findings
    logged = ("prediction", "input row", "model", "training data", "promotion")
    assert unchecked(found) >= {*((step, "event log") for step in logged), ("runs", "scoring"), ("runs", "training")}
    with alone.changed(alone.predictions):
        edit(alone.predictions, "probability_of_default", OTHER["probability_of_default"], ROW)
        assert ("model", "score") in failing(alone.trace(home.prediction()))


def test_what_is_kept_about_the_files_a_table_was_made_from_is_held_to_table_and_event_log(home):
    prediction_id, path = home.prediction(), home.world.lake / f"taken_in/inference_data/{home.day}.json"
    with home.changed(path):
        kept = json.loads(path.read_text())
        for changed in ({"fingerprint": "0" * 16}, {"data_version": "0" * 32}):
            path.write_text(json.dumps({**kept, **changed}))
            found = home.trace(prediction_id)
            assert (failing(found), found.verdict) == ({("input row", "taken in")}, "altered"), changed
        for torn in ("", "[]", json.dumps(kept)[:20], "[" * 100_000):
            path.write_text(torn)
            found = home.trace(prediction_id)
            assert (failing(found), found.verdict) == ({("input row", "taken in")}, "altered"), torn[:20]
        path.unlink()
        found = home.trace(prediction_id)
        assert (failing(found), found.verdict) == ({("input row", "taken in")}, "missing")


def databases(home: Home) -> Path:
    return home.world.settings.dagster_home / "history" / "runs"


def test_the_events_of_a_run_that_are_gone_are_missed(home):
    prediction_id, run_id = home.prediction(), pq.read_table(home.predictions)["run_id"][0].as_py()
    path = databases(home) / f"{run_id}.db"
    with home.changed(path):
        path.unlink()
        found = home.trace(prediction_id)
        assert (failing(found), found.verdict) == ({("runs", "scoring log")}, "missing")
        assert not path.exists(), "a question makes no new one"


def test_the_index_of_the_event_log_that_is_gone_is_missed(home):
    prediction_id, path = home.prediction(), databases(home) / "index.db"
    with home.changed(path):
        for file in databases(home).glob("index.db*"):
            file.unlink()
        found = home.trace(prediction_id)
        for file in databases(home).glob("index.db-*"):
            file.unlink()
    assert failing(found) == {("runs", "event log"), ("prediction", "event log")}
    assert found.verdict == "missing"


def test_what_cannot_be_examined_is_told_in_a_line_and_is_no_alteration(home):
    for path in (home.world.home / "mlflow" / "mlflow.db", databases(home) / "index.db"):
        with home.changed(path):
            path.write_bytes(path.read_bytes()[:5_000])
            done = home.world.command("trace", home.prediction())
            for file in path.parent.glob(f"{path.name}-*"):
                file.unlink()
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.splitlines()[-1].startswith(f"Error: the prediction cannot be examined. {path} is damaged")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", ["", "[]", '{"files": []}', "[" * 100_000])
def test_a_manifest_of_any_shape_is_an_alteration_and_no_reason_to_break_off(home, content):
    prediction_id, path = home.prediction(), home.model / "manifest.json"
    with home.changed(path):
        path.write_text(content)
        found = home.trace(prediction_id)
    assert {("model", "manifest"), ("model", "score")} <= failing(found)
    assert found.verdict == "altered"
