"""The step that compares two models: on which rows, and what it reports."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta

import pyarrow as pa
import pytest

from credit_default.core.data.prepared import prepare
from credit_default.core.data.sample import arrivals
from credit_default.core.schema import AS_OF
from credit_default.steps import comparison
from credit_default_tests import trained

FIRST = date(2026, 3, 1)


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Two model directories of the same model, and prepared data with newer days for the second."""
    root = tmp_path_factory.mktemp("lake")
    base = pa.concat_tables(list(trained.parts().values()))
    days = [
        arrivals().slice(day * 150, 150).append_column(AS_OF, pa.array([FIRST + timedelta(day)] * 150, pa.date32()))
        for day in range(20)
    ]
    older = prepare(base, curated_data_version="1")
    newer = prepare(
        pa.concat_tables([base, *(day.select(base.column_names) for day in days)]).unify_dictionaries(),
        curated_data_version="2",
        recent_rows=400,
    )
    for made in (older, newer):
        made.write(root / "prepared" / made.version)
    for name, made in (("champion", older), ("challenger", newer)):
        trained.save(root / name, prepared_data_version=made.version)
    return root


def options(name: str, folder) -> list[str]:
    known = trained.registered(folder)
    hashes = (f"--{name}-sha256", known.sha256, f"--{name}-manifest-sha256", known.manifest_text)
    return [f"--{name}", str(folder), *hashes]


def run(lake, *more: str, capsys) -> dict:
    own = [name for name in ("champion", "challenger") if f"--{name}" not in more]
    given = [argument for name in own for argument in options(name, lake / name)]
    comparison.main([*given, "--prepared", str(lake / "prepared"), "--output", str(lake / "output"), *more])
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("{"):
            return json.loads(line)["result"]
    raise AssertionError("nothing was stored")


def test_a_model_gains_nothing_over_itself_and_every_figure_is_plain_json(lake, capsys):
    found = run(lake, "--rows", "600", capsys=capsys)
    assert found["rows"] == 600
    assert found["auc_gain"] == {"estimate": 0.0, "low": 0.0, "high": 0.0}
    assert found["champion"] == found["challenger"]
    assert found["first_day"] >= FIRST.isoformat()
    assert found["last_day"] == (FIRST + timedelta(days=19)).isoformat()
    assert {one["segmentation"] for one in found["segments"]} == set(comparison.SEGMENTATIONS)
    assert {one["attribute"] for one in found["groups"]} == {"sex", "marriage", "age"}
    ages = {one["group"] for one in found["groups"] if one["attribute"] == "age"}
    assert {"20 to 29", "60 and over"} <= ages


def test_a_champion_that_was_trained_elsewhere_is_compared_on_the_test_part(lake, tmp_path, capsys):
    elsewhere = tmp_path / "lake"
    shutil.copytree(lake, elsewhere)
    version = json.loads((lake / "champion/manifest.json").read_text())["prepared_data_version"]
    shutil.rmtree(elsewhere / "prepared" / version)
    whole = run(lake, "--rows", "100000", capsys=capsys)
    assert run(elsewhere, "--rows", "100000", capsys=capsys)["rows"] < whole["rows"]


def test_a_challenger_without_its_data_is_refused(lake, tmp_path, capsys):
    elsewhere = tmp_path / "lake"
    shutil.copytree(lake, elsewhere)
    shutil.rmtree(elsewhere / "prepared")
    with pytest.raises(SystemExit, match=r"Error: prepared data .* is not there, .*train it again"):
        run(elsewhere, capsys=capsys)


def test_a_model_file_that_is_another_one_is_refused(lake, tmp_path, capsys):
    forged = tmp_path / "lake"
    shutil.copytree(lake, forged)
    known = options("champion", forged / "champion")
    for name, content in {"model.skops": b"another", "golden.parquet": b"another", "manifest.json": b"[]"}.items():
        path = forged / "champion" / name
        kept = path.read_bytes()
        path.write_bytes(content)
        with pytest.raises(SystemExit, match=rf"Error: .*champion/{name}: got sha256"):
            run(forged, *known, capsys=capsys)
        path.write_bytes(kept)
