"""Retention on every platform: what has expired goes, what is pointed at stays, and a record says so."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from credit_default.core import tables
from credit_default.core.data.retention import Removal, as_lines, from_lines
from credit_default.pipes.messages import runs_under_way
from credit_default.ports import Compute, Storage
from credit_default.resources.local.job import Job
from credit_default.resources.retention import Retention, find_removal, removed_predictions
from credit_default.settings import read
from credit_default_tests.platforms import compute_of, platforms, storage_of

DAY = "2026-01-01"
REPORT, FIGURES = f"drift/{DAY}/report.html", f"drift/{DAY}/drift.json"
QUALITY = "data_quality/0123/report.html"


@pytest.fixture(params=[name for name in platforms() if name != "workspace"])  # it removes what others may need
def platform(request, tmp_path) -> tuple[Storage, Compute]:
    if request.param == "azure":
        request.getfixturevalue("azure")
    return storage_of(request.param, tmp_path / "lake"), compute_of(request.param, tmp_path)


@pytest.fixture
def retention(platform, tmp_path):
    settings = read({"CREDIT_DEFAULT_HOME": str(tmp_path)})

    def after(days: float, under_way: set[str] | None = None, **kept: int | None) -> dict[str, int]:
        now = datetime.now(UTC) + timedelta(days=days)
        return Retention(*platform, replace(settings, **kept), now).apply(under_way=under_way or set())

    return after


def write(storage: Storage, *keys: str) -> None:
    for key in keys:
        storage.write(key, b"x")


def left_behind(platform: tuple[Storage, Compute], name: str) -> None:
    """A job with a file, as it is when it has ended."""
    storage, compute = platform
    if isinstance(storage, type(storage_of("local", Path()))):
        (Path(compute.jobs) / name / "output").mkdir(parents=True)
        (Path(compute.jobs) / name / "output" / "rejected.csv").write_text("x")
    else:
        write(storage, f"jobs/{name}/output/rejected.csv", f"jobs/{name}/messages/1.json")


def test_reports_of_drift_go_after_their_time_and_figures_and_other_reports_stay(platform, retention):
    storage, _ = platform
    write(storage, REPORT, FIGURES, QUALITY)
    assert retention(89)["reports"] == 0
    assert retention(1000, keep_reports=None)["reports"] == 0
    assert storage.exists(REPORT)
    assert retention(91)["reports"] == 1
    assert [storage.exists(key) for key in (REPORT, FIGURES, QUALITY)] == [False, True, True]
    removal = find_removal(storage, lambda one: one.key == REPORT)
    expected = (datetime.now(UTC) + timedelta(days=91)).date()
    assert str(removal) == f"{REPORT} was removed by retention on {expected}, after 90 days"
    assert retention(92)["reports"] == 0
    # One that is made again is kept for its time again.
    write(storage, REPORT)
    assert retention(89)["reports"] == 0
    other = REPORT.replace(DAY, "2026-01-02")
    write(storage, other)
    assert retention(91)["reports"] == 2
    assert find_removal(storage, lambda one: one.key == other) is not None
    assert find_removal(storage, lambda one: one == removal) == removal, "the record keeps what was in it"


def test_jobs_go_after_their_time_unless_their_run_goes_on(platform, retention):
    for name in ("score-aaaaaaaa-0123-1", "score-bbbbbbbb-0123-1", "score-bbbbbbbb-0123-2"):
        left_behind(platform, name)
    assert retention(29)["jobs"] == 0
    assert retention(1000, keep_jobs=None)["jobs"] == 0
    assert retention(31, under_way={"aaaaaaaa"})["jobs"] == 2
    assert retention(31, under_way={"aaaaaaaa"})["jobs"] == 0
    assert retention(31)["jobs"] == 1


def test_replaced_tables_stay_for_ever_unless_a_time_is_set(platform, retention):
    storage, _ = platform
    kept = [f"superseded_{asset}/{DAY}/0123.parquet" for asset in ("predictions", "inference_data", "outcomes")]
    write(storage, *kept, f"outcomes/{DAY}/outcomes.parquet")
    assert retention(10_000)["superseded tables"] == 0
    assert retention(31, keep_superseded=30)["superseded tables"] == 3
    assert [storage.exists(key) for key in kept] == [False] * 3
    assert storage.exists(f"outcomes/{DAY}/outcomes.parquet")


def test_a_replaced_table_stays_while_predictions_that_were_made_of_it_are_kept(platform, retention, tmp_path):
    storage, _ = platform
    made_of = tmp_path / "made_of.parquet"
    for key, version in ((f"superseded_inference_data/{DAY}/a.parquet", "a"), (f"predictions/{DAY}/p.parquet", "p")):
        tables.write(pa.table({"input_data_version": ["a"]}), made_of, data_version=version)
        storage.write(key, made_of.read_bytes())
    assert retention(31, keep_superseded=30)["superseded tables"] == 0
    storage.write(f"predictions/{DAY}/p.parquet", b"damaged")  # nobody knows what they were made of
    assert retention(31, keep_superseded=30)["superseded tables"] == 0
    tables.write(pa.table({"input_data_version": ["b"]}), made_of, data_version="p")
    storage.write(f"predictions/{DAY}/p.parquet", made_of.read_bytes())
    assert retention(31, keep_superseded=30)["superseded tables"] == 1


def test_replaced_predictions_that_are_removed_are_found_by_their_ids(platform, retention, tmp_path):
    storage, _ = platform
    ids = pa.table({"prediction_id": ["0123456789abcdef-1"], "run_id": ["r"], "input_data_version": ["a"]})
    tables.write(ids, tmp_path / "p.parquet", data_version="p")
    storage.write(f"superseded_predictions/{DAY}/p.parquet", (tmp_path / "p.parquet").read_bytes())
    assert removed_predictions(storage, "0123456789abcdef") is None
    assert retention(31, keep_superseded=30)["superseded tables"] == 1
    assert removed_predictions(storage, "0123456789abcdef").key == f"superseded_predictions/{DAY}/p.parquet"


def test_a_job_that_still_runs_is_kept_whatever_its_age(tmp_path):
    compute = compute_of("local", tmp_path)
    job = Job(Path(compute.jobs) / "score-aaaaaaaa-0123-1")
    job.start(["/bin/sleep", "60"], os.environ)
    try:
        assert compute.remove_jobs(datetime.now(UTC) + timedelta(days=1), under_way=set()) == []
    finally:
        job.cancel(0.1)
    assert compute.remove_jobs(datetime.now(UTC) + timedelta(days=1), under_way=set()) == [job.name]


def test_a_run_that_has_not_ended_keeps_the_jobs_of_all_its_attempts():
    with dg.DagsterInstance.ephemeral() as instance:
        for run_id, root, status in (
            ("aaaaaaaa-1", None, dg.DagsterRunStatus.FAILURE),
            ("bbbbbbbb-1", "aaaaaaaa-1", dg.DagsterRunStatus.STARTING),
            ("cccccccc-1", None, dg.DagsterRunStatus.STARTED),
            ("dddddddd-1", None, dg.DagsterRunStatus.SUCCESS),
        ):
            run = dg.DagsterRun(
                job_name="retrain", run_id=run_id, root_run_id=root, parent_run_id=root, status=status, tags={}
            )
            instance.add_run(run)
        assert runs_under_way(instance) == {"aaaaaaaa", "cccccccc"}


def test_a_record_survives_lines_that_are_not_its_own():
    removal = Removal("a", datetime(2026, 1, 1, tzinfo=UTC), 1, ("0123456789abcdef",), "v")
    spoiled = b'{"key": "b"}\nnot json\n[]\n\xff\n' + as_lines([removal]) + b'{"key": "cut sh'
    assert list(from_lines(spoiled)) == [removal]
    assert str(removal) == "a was removed by retention on 2026-01-01, after 1 day"
