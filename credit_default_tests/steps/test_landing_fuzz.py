"""Property test of the contract: every row that lands is accepted or refused, or the day is, for a clear reason.

Nothing else may happen: no other exception, no value of a row in what is said, no time or memory without end.
"""

from __future__ import annotations

import io
import json
import resource
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_default.core import tables
from credit_default.core.contract.missing import MISSING_WORDS
from credit_default.core.schema import CLIENT_ID, SOURCE_FILE, SOURCE_ROW
from credit_default.steps import inference_data, outcomes
from credit_default_tests.landed import NUMBER, WORD, days
from credit_default_tests.strategies import clients, write_csv

BAD, GOOD = "2026-01-01", "2026-01-02"
MAX_SECONDS, MAX_MB = 20, 400
STEPS = {"inference_data": inference_data, "outcomes": outcomes}


def run(step, landing: Path, output: Path) -> tuple[dict, str, str]:
    """Run a step as its command does; results by day, and what was said on both channels."""
    said, told = io.StringIO(), io.StringIO()
    with redirect_stdout(told), redirect_stderr(said):
        step.main(["--landing", str(landing), "--days", f"{BAD},{GOOD}", "--output", str(output)])
    lines = [json.loads(line) for line in told.getvalue().splitlines()]
    return {line["partition"]: line for line in lines}, told.getvalue(), said.getvalue()


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", STEPS)
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_lands_rows_are_accepted_or_refused_or_the_day_is_for_a_clear_reason(name, data):
    landed = data.draw(days(name))
    with tempfile.TemporaryDirectory() as folder:
        landing, output, outside = Path(folder, "landing"), Path(folder, "out"), Path(folder, "outside.csv")
        write_csv(outside, clients(2, target=True))
        write_csv(landing / GOOD / "clients.csv", clients(2, target=True))
        (landing / BAD).mkdir()
        for entry in landed:
            entry.put(landing / BAD, outside)
        started, peak = time.process_time(), peak_mb()

        results, told, said = run(STEPS[name], landing, output)

        assert time.process_time() - started < MAX_SECONDS
        assert peak_mb() - peak < MAX_MB
        assert " ended in " not in said, said
        assert results[GOOD]["result"]["accepted"] == 2, "another day was taken along"
        for value in (WORD, str(NUMBER)):
            assert value not in told
            assert value not in said
        if BAD not in results:
            (reason,) = [line for line in said.splitlines() if line.startswith(f"{BAD}: ")][:1]
            assert len(reason) > len(BAD) + 10
            assert not (output / BAD).exists()
            return
        counts, files = results[BAD]["result"], results[BAD]["files"]
        table = tables.read(output / files["table"])
        assert table.num_rows == counts["accepted"]
        assert counts["rows"] == counts["accepted"] + counts["rejected"]
        assert counts["rows"] == sum(file["rows"] for file in counts["files"].values())
        if "quarantine" in files:
            kept = arrow_csv.read_csv(
                output / files["quarantine"], parse_options=arrow_csv.ParseOptions(newlines_in_values=True)
            )
            assert kept.num_rows == counts["rejected"]
            assert all(kept["reasons"].to_pylist())
        else:
            assert counts["rejected"] == 0
        ids = table[CLIENT_ID].to_pylist()
        assert len(set(ids)) == len(ids)
        assert not {client.strip().lower() for client in ids} & set(MISSING_WORDS)
        places = table.select([SOURCE_FILE, SOURCE_ROW])
        assert places.group_by(places.column_names).aggregate([]).num_rows == table.num_rows
        read = {entry.content: entry.rows for entry in landed if entry.content is not None}
        if len(counts["files"]) == len(landed) and None not in read.values():
            assert counts["rows"] == sum(read.values())
        for column in table.columns:
            if str(column.type) == "double":
                assert pc.all(pc.is_finite(column.drop_null())).as_py() in (True, None)
