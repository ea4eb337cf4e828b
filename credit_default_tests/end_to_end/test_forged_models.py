"""Files of a model's folder that somebody changed: nothing is scored with them, and a restored folder works again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from credit_default.cli.main import main
from credit_default_tests.end_to_end.world import World, new_clients
from credit_default_tests.strategies import csv_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def home(small_home, tmp_path_factory) -> World:
    return small_home.copy_to(tmp_path_factory.mktemp("forged") / "home")


@contextmanager
def changed(path: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    kept = path.read_bytes()
    path.write_bytes(change(kept))
    try:
        yield
    finally:
        path.write_bytes(kept)


def with_threshold(threshold: float) -> Callable[[bytes], bytes]:
    return lambda manifest: json.dumps({**json.loads(manifest), "threshold": threshold}).encode()


FORGED = {
    "a threshold of NaN": ("manifest.json", with_threshold(float("nan"))),
    "a threshold": ("manifest.json", with_threshold(0.9)),
    "golden rows": ("golden.parquet", lambda content: content[:-1] + b"?"),
    "bins": ("bins.json", lambda content: content.replace(b"edges", b"edgez", 1)),
    "a file of the model": ("model.skops", lambda content: content + b"\n"),
}


def score(home: World, rows: Path, out: Path) -> Result:
    """Run `credit-default score` in this process, which has imported by then what the command needs."""
    environment = {name: home.environment[name] for name in ("CREDIT_DEFAULT_HOME", "DAGSTER_HOME")}
    return CliRunner().invoke(main, ["score", str(rows), str(out)], env=environment)


def test_a_command_scores_with_no_changed_folder_and_with_a_restored_one(home, tmp_path):
    rows, out = tmp_path / "in.csv", tmp_path / "out.parquet"
    rows.write_text(csv_text(new_clients(5)))
    folder = home.live()["folder"]
    for what, (name, change) in FORGED.items():
        with changed(folder / name, change):
            done = score(home, rows, out)
        assert (done.exit_code, type(done.exception)) == (1, SystemExit), what
        assert f"{folder}/{name}: got sha256" in done.stderr, what
        assert not out.exists()
    done = score(home, rows, out)
    assert (done.exit_code, out.exists()) == (0, True), done.stderr


def test_a_day_is_scored_by_no_changed_folder_and_by_a_restored_one(home):
    folder, day = home.live()["folder"], max(home.made_days("batch_predictions"))
    before = home.made_days("batch_predictions")[day].metadata["job"]
    name, change = FORGED["a threshold of NaN"]
    with changed(folder / name, change):
        done = home.run_job("score_batch", day)
        assert done.returncode == 1
        run = home.runs("score_batch")[0]
        assert f"{folder}/{name}: got sha256" in home.failure(run)
        assert "as registered" in home.failure(run)
    assert home.made_days("batch_predictions")[day].metadata["job"] == before
    done = home.run_job("score_batch", day)
    assert done.returncode == 0, done.stderr
    assert home.made_days("batch_predictions")[day].metadata["job"] != before
    # The step that measures drift is told what the registry says, too.
    assert home.made_days("drift_metrics")[day].metadata["job"] is not None


def test_a_torn_state_of_the_endpoint_is_told_in_a_line(home, tmp_path):
    (tmp_path / "in.csv").write_text(csv_text(new_clients(1)))
    with changed(home.lake / "endpoints" / "credit-card-default-be.json", lambda content: content[:30]):
        done = score(home, tmp_path / "in.csv", tmp_path / "out.parquet")
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert "endpoints/credit-card-default-be.json is damaged: got 30 bytes that are no JSON" in done.stderr
