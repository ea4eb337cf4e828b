import hashlib
import json
import subprocess
import sys

import pytest

from credit_default.core.model_folder import as_text
from credit_default.steps.drift import main
from credit_default_tests.steps.days import Lake, day_of, scaled, told


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def run(lake, capsys):
    def run(days, output="out"):
        capsys.readouterr()
        folders = [
            option
            for name in ("models", "predictions", "inference-data")
            for option in (f"--{name}", str(lake.root / name.replace("-", "_")))
        ]
        registered = ["--registered", as_text(lake.registered)]
        main([*folders, *registered, "--days", ",".join(days), "--output", str(lake.root / output)])
        captured = capsys.readouterr()
        return {item["partition"]: item for item in told(captured.out)}, captured.err

    return run


def test_each_day_has_its_own_result_and_the_shift_shows_on_its_day(lake, run):
    model = lake.model("first")
    days = ["2026-01-01", "2026-01-02", "2026-01-03"]
    lake.day(days[0], day_of(0), model)
    lake.day(days[1], day_of(1, 400), model)
    lake.day(days[2], scaled(day_of(2), 20.0), model)
    stored, _ = run(days)
    assert [stored[day]["result"]["overall"]["violation"] for day in days] == [False, False, True]
    assert [stored[day]["result"]["n_rows"] for day in days] == [300, 400, 300]
    assert len({item["data_version"] for item in stored.values()}) == 3
    for day in days:
        item = stored[day]
        written = json.loads((lake.root / "out" / item["files"]["drift"]).read_text())
        assert written == item["result"]
        assert written["partition"] == written["overall"]["partition"] == day
        assert written["predictions_data_version"] == f"scored-{day}"
        assert written["model_sha256"] == model
        assert "<html" in (lake.root / "out" / item["files"]["report"]).read_text()


def test_a_day_is_measured_against_the_model_that_scored_it(lake, run):
    old = lake.model("old")
    recent = lake.model("recent", scaled(day_of(20), 20.0))
    for day, model in (("2026-01-01", old), ("2026-01-02", recent)):
        lake.day(day, scaled(day_of(0), 20.0), model)
    stored, _ = run(["2026-01-01", "2026-01-02"])
    assert stored["2026-01-01"]["result"]["overall"]["violation"]
    assert not stored["2026-01-02"]["result"]["overall"]["violation"]
    assert stored["2026-01-02"]["result"]["n_reference"] == 300


def test_a_bad_day_is_refused_with_its_reason_and_the_others_go_on(lake, run):
    model = lake.model("first")
    lake.day("2026-01-02", day_of(0), model)
    lake.day("2026-01-03", day_of(1), "f" * 64)
    lake.day("2026-01-04", day_of(2), model)
    (lake.root / "inference_data/2026-01-04/inference_data.parquet").write_bytes(
        (lake.root / "inference_data/2026-01-02/inference_data.parquet").read_bytes()
    )
    stored, said = run(["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04", "../2026-01-02"])
    assert list(stored) == ["2026-01-02"]
    assert "2026-01-01 has no predictions" in said
    assert f"the predictions name model {'f' * 64}, which is none of the registered versions" in said
    assert "2026-01-04 has no predictions of its present rows" in said
    assert "expected a date like" in said


def test_a_reference_that_was_changed_after_training_is_refused(lake, run):
    model = lake.model("first")
    other = lake.model("other", day_of(9))
    lake.day("2026-01-01", day_of(0), model)
    folder = lake.root / "models"
    changed = (folder / other[:16] / "reference.parquet").read_bytes()
    (folder / model[:16] / "reference.parquet").write_bytes(changed)
    stored, said = run(["2026-01-01"])
    assert not stored
    assert "reference.parquet: got sha256" in said


def test_a_day_without_rows_is_stored_as_such(lake, run):
    model = lake.model("first")
    lake.day("2026-01-01", day_of(0, 0), model)
    stored, _ = run(["2026-01-01"])
    result = stored["2026-01-01"]["result"]
    assert (result["n_rows"], result["overall"]["violation"], result["model_sha256"]) == (0, False, None)


@pytest.mark.slow
def test_the_same_day_gives_the_same_data_version_in_another_process(lake, run):
    model = lake.model("first")
    lake.day("2026-01-01", day_of(0), model)
    stored, _ = run(["2026-01-01"])
    folders = []
    for name in ("models", "predictions", "inference-data"):
        folders += [f"--{name}", str(lake.root / name.replace("-", "_"))]
    again = subprocess.run(
        [
            *(sys.executable, "-m", "credit_default.steps.drift", *folders),
            *("--registered", as_text(lake.registered)),
            *("--days", "2026-01-01", "--output", str(lake.root / "again")),
        ],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "1"},
    )
    assert told(again.stdout)[0]["data_version"] == stored["2026-01-01"]["data_version"]


@pytest.mark.parametrize("name", ["bins.json", "reference.parquet", "manifest.json", "model.skops"])
def test_a_day_of_a_model_with_a_changed_file_is_refused_and_the_others_go_on(lake, run, name):
    forged, other = lake.model("forged"), lake.model("other")
    lake.day("2026-01-01", day_of(0), forged)
    lake.day("2026-01-02", day_of(1), other)
    path = lake.root / "models" / forged[:16] / name
    kept = path.read_bytes()
    path.write_bytes(kept + b"\n")
    if name != "manifest.json":
        # Whoever can change a file can change the manifest beside it.
        manifest = path.with_name("manifest.json")
        told = json.loads(manifest.read_text())
        told["files"][name] = hashlib.sha256(kept + b"\n").hexdigest()
        manifest.write_text(json.dumps(told))
    stored, said = run(["2026-01-01", "2026-01-02"])
    assert list(stored) == ["2026-01-02"]
    assert "manifest.json: got sha256" in said
    assert "as registered" in said
