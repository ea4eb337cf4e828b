from __future__ import annotations

import json

import pytest

from credit_default.core import tables
from credit_default.core.schema import CLIENT_ID, TARGET
from credit_default.steps import outcomes
from credit_default_tests.strategies import write_csv, write_parquet

DAY, NEXT_DAY = "2026-01-01", "2026-01-02"


@pytest.fixture
def landing(tmp_path):
    return tmp_path / "landing"


@pytest.fixture
def run(landing, tmp_path, capsys):
    def step(*days):
        outcomes.main(["--landing", str(landing), "--days", ",".join(days), "--output", str(tmp_path / "out")])
        said = capsys.readouterr()
        return {line["partition"]: line for line in map(json.loads, said.out.splitlines())}, said.err

    return step


def outcome(client_id, target):
    return {CLIENT_ID: client_id, TARGET: target}


def test_a_day_of_outcomes_has_its_table_and_target_rate(run, landing, tmp_path):
    write_csv(landing / DAY / "a.csv", [outcome("1", "True"), outcome("2", "False")])
    write_parquet(landing / DAY / "b.parquet", [outcome(3, 0), outcome(4, 0)])

    results, _ = run(DAY)

    table = tables.read(tmp_path / "out" / DAY / "outcomes.parquet")
    assert table.select([CLIENT_ID, TARGET]).to_pylist() == [
        outcome("1", 1),
        outcome("2", 0),
        outcome("3", 0),
        outcome("4", 0),
    ]
    assert results[DAY]["result"]["target_rate"] == 0.25
    assert results[DAY]["data_version"] == tables.data_version_of(tmp_path / "out" / DAY / "outcomes.parquet")


def test_the_same_files_are_refused_left_out_and_read_once_as_for_scoring(run, landing):
    write_csv(landing / DAY / "a.csv", [outcome("1", "1"), outcome("2", "0")])
    (landing / DAY / "b.csv").write_bytes((landing / DAY / "a.csv").read_bytes())
    (landing / DAY / "a.csv.done").touch()
    write_csv(landing / NEXT_DAY / "a.csv", [outcome("1", "1")])
    (landing / NEXT_DAY / "b.csv").symlink_to(landing / DAY / "a.csv")

    results, said = run(DAY, NEXT_DAY)

    assert list(results) == [DAY]
    assert results[DAY]["result"]["rows"] == 2
    assert "b.csv (has the same bytes as a.csv)" in said
    assert "a.csv.done (comes along with data" in said
    assert f"{NEXT_DAY}: b.csv: is a link; put the file itself here." in said


def test_outcomes_that_cannot_be_used_are_kept_and_counted(run, landing, tmp_path):
    write_csv(landing / DAY / "a.csv", [outcome("1", "1"), outcome("", "1"), outcome("3", "maybe"), outcome("4", "")])

    results, _ = run(DAY)

    assert results[DAY]["result"]["accepted"] == 1
    assert results[DAY]["result"]["by_reason"] == {
        "client_id: is missing": 1,
        f"{TARGET}: is missing": 1,
        f"{TARGET}: must be 0 or 1": 1,
    }
    assert (tmp_path / "out" / results[DAY]["files"]["quarantine"]).read_text().count("maybe") == 1


def test_a_day_without_outcomes_is_refused_and_the_others_go_on(run, landing):
    write_csv(landing / NEXT_DAY / "a.csv", [outcome("1", "1")])

    results, said = run(DAY, NEXT_DAY)

    assert list(results) == [NEXT_DAY]
    assert f"{DAY}: nothing landed" in said


def test_a_day_of_headers_alone_has_no_target_rate(run, landing):
    write_csv(landing / DAY / "a.csv", [], [CLIENT_ID, TARGET])

    assert run(DAY)[0][DAY]["result"]["target_rate"] is None
