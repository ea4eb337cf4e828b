"""Files that `credit-default score` writes: their format, and processes that write one of them at the same time."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default.cli import score_file


@pytest.mark.parametrize(
    ("name", "begins"), [("out.csv", b'"pd"\n0.5\n'), ("out.CSV", b'"pd"'), ("out.parquet", b"PAR1")]
)
def test_the_suffix_decides_the_format(tmp_path, name, begins):
    pq.write_table(pa.table({"pd": [0.5]}), tmp_path / "predictions.parquet")

    score_file._write(tmp_path / "predictions.parquet", tmp_path / name)

    assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_what_another_process_writes_to_the_same_place_is_left_to_it(tmp_path, name):
    pq.write_table(pa.table({"pd": [0.5]}), tmp_path / "predictions.parquet")
    others = tmp_path / f".{name}.unfinished"
    others.write_bytes(b"half")

    score_file._write(tmp_path / "predictions.parquet", tmp_path / name)

    assert others.read_bytes() == b"half"
    assert {path.name for path in tmp_path.iterdir()} == {"predictions.parquet", others.name, name}
