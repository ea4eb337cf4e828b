from __future__ import annotations

import json
import resource

import pyarrow as pa
import pyarrow.csv as arrow_csv

from credit_default.core.contract.contract import accept, write_rejected
from credit_default_tests.strategies import clients, csv_text

ROWS = 60_000
NAME = "n" * 50_000


def test_a_long_name_is_not_in_every_row_and_many_rows_are_written_in_their_order(tmp_path):
    """With the names of its columns in every row, this file would take 6 GB, three times what a text may be."""
    header, row = csv_text(clients(1)).splitlines()
    assert "university" in row
    row = row.replace("university", "?", 1)
    lines = [f"{header},{NAME},{NAME}2", *[f"{row},1,2", "malformed"] * (ROWS // 2)]
    (tmp_path / "clients.csv").write_text("\n".join(lines))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    accepted = accept([tmp_path / "clients.csv"], dataset="inference")
    write_rejected(accepted.rejected, tmp_path / "rejected.csv")

    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10 < 400
    assert sum(1 for _ in accepted.rejected.batches()) > 1
    kept = arrow_csv.read_csv(
        tmp_path / "rejected.csv", convert_options=arrow_csv.ConvertOptions(column_types={"row": pa.string()})
    )
    assert kept.num_rows == accepted.rejected.num_rows == accepted.counts["rejected"] == ROWS
    assert kept["source_row"].to_pylist() == [*range(1, ROWS + 1)]
    assert kept["line"].to_pylist() == [*range(2, ROWS + 2)]
    first, second = map(json.loads, kept["row"].slice(0, 2).to_pylist())
    assert [*first.values()][-2:] == ["1", "2"]
    assert len(first) == len(header.split(",")) + 2
    assert second == {"text": "malformed"}
