from __future__ import annotations

import json

import pytest

from credit_default.core import tables
from credit_default.core.schema import AS_OF, CLIENT_ID, TARGET
from credit_default.steps import curated_data, inference_data, outcomes
from credit_default_tests.strategies import client, clients, write_csv

DAY, NEXT_DAY = "2026-01-01", "2026-01-02"
SECRET = "secret-cell"


@pytest.fixture
def run(tmp_path, capsys):
    """Run the step over the lake in ``tmp_path``: its one result, and what it said."""

    def step():
        folders = {"landing": "landing/curated", "inference-data": "inference_data", "outcomes": "outcomes"}
        arguments = [text for name, folder in folders.items() for text in (f"--{name}", str(tmp_path / folder))]
        curated_data.main([*arguments, "--output", str(tmp_path / "out")])
        said = capsys.readouterr()
        (line,) = said.out.splitlines()
        return json.loads(line), said.err

    return step


@pytest.fixture
def curated(tmp_path):
    return lambda: tables.read(tmp_path / "out" / "curated_data.parquet")


def labelled_day(lake, day, rows, targets, capsys):
    """Bring a day of rows and outcomes into the lake by the steps that do so."""
    write_csv(lake / "landing/inference/batch" / day / "clients.csv", rows)
    inference_data.main(
        ["--landing", str(lake / "landing/inference/batch"), "--days", day, "--output", str(lake / "inference_data")]
    )
    if targets:
        told = [{CLIENT_ID: client_id, TARGET: target} for client_id, target in targets.items()]
        write_csv(lake / "landing/outcomes" / day / "outcomes.csv", told)
        outcomes.main(["--landing", str(lake / "landing/outcomes"), "--days", day, "--output", str(lake / "outcomes")])
    capsys.readouterr()


def test_an_empty_lake_gives_the_bundled_clients_and_they_pass_every_check(run, curated):
    result, said = run()

    assert result["result"]["origins"] == {"bundled": 15_000, "own": 0, "labelled_arrivals": 0}
    assert curated().num_rows == 15_000
    assert result["data_version"] == tables.content_hash(curated())
    assert result["checks"]
    assert [check["name"] for check in result["checks"] if not check["passed"]] == []
    assert "15000 bundled" in said


def test_own_files_are_files_each_content_once_and_what_is_not_read_is_named(run, curated, tmp_path):
    # The landing folder itself may be a link, as a share is that is mounted elsewhere.
    (tmp_path / "share").mkdir()
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing/curated").symlink_to(tmp_path / "share")
    own = [{**row, TARGET: str(number % 2 == 0)} for number, row in enumerate(clients(4, target=True))]
    for name in ("a.csv", "b.csv"):
        write_csv(tmp_path / "share" / name, own, [name for name in own[0] if name != CLIENT_ID])
    (tmp_path / "share/Thumbs.db").touch()

    result, said = run()

    assert curated().num_rows == result["result"]["origins"]["own"] == 4
    assert result["result"]["not_read"].startswith("Thumbs.db (comes along with data")
    assert "b.csv (has the same bytes as a.csv)" in said

    (tmp_path / "share/c.csv").symlink_to(tmp_path / "share/a.csv")
    with pytest.raises(SystemExit, match=r"c\.csv: is a link; put the file itself here\."):
        run()


def test_own_files_and_labelled_arrivals_become_the_training_table(run, curated, tmp_path, capsys):
    own = [{**row, TARGET: str(number % 2 == 0)} for number, row in enumerate(clients(4, target=True))]
    write_csv(tmp_path / "landing/curated/mine.csv", [*own, client(9, sex=SECRET, **{TARGET: "True"})])
    labelled_day(tmp_path, DAY, clients(3, start=10), {"11": 1, "12": 0}, capsys)
    labelled_day(tmp_path, NEXT_DAY, clients(2, start=20), {}, capsys)

    result, said = run()

    rows = curated().select([CLIENT_ID, AS_OF, TARGET]).to_pylist()
    assert [(row[CLIENT_ID], str(row[AS_OF]), row[TARGET]) for row in rows] == [
        ("1", "None", 1),
        ("2", "None", 0),
        ("3", "None", 1),
        ("4", "None", 0),
        ("11", DAY, 1),
        ("12", DAY, 0),
    ]
    assert result["result"]["rejected"] == 1
    assert (tmp_path / "out" / result["files"]["quarantine"]).read_text().count(SECRET) == 1
    assert SECRET not in json.dumps(result) + said


def test_a_failed_check_is_reported_and_not_raised(run, tmp_path):
    write_csv(tmp_path / "landing/curated/mine.csv", [{**row, TARGET: 1} for row in clients(50, target=True)])

    result, _ = run()

    failed = [check for check in result["checks"] if not check["passed"]]
    assert failed
    assert {check["severity"] for check in failed} <= {"ERROR", "WARN"}
    assert any(check["severity"] == "ERROR" for check in failed), "a target that never varies must block"


def test_an_own_file_that_cannot_be_read_ends_the_step_with_a_message_and_no_table(run, tmp_path):
    (tmp_path / "landing/curated").mkdir(parents=True)
    (tmp_path / "landing/curated/mine.csv").touch()

    with pytest.raises(SystemExit, match=r"Error: mine\.csv: is empty"):
        run()

    assert not (tmp_path / "out").exists()


def test_the_same_lake_is_the_same_data_version(run, tmp_path, capsys):
    labelled_day(tmp_path, DAY, clients(3, start=10), {"11": 1}, capsys)

    assert run()[0] == run()[0]


def test_a_day_that_cannot_be_read_or_lacks_a_column_is_left_out_by_name_and_the_others_count(
    run, curated, tmp_path, capsys
):
    days = ("2026-01-01", "2026-01-02", "2026-01-03")
    for number, day in enumerate(days):
        labelled_day(tmp_path, day, clients(2, start=10 * number), {str(10 * number + 1): 1}, capsys)
    older = tmp_path / "inference_data" / days[0] / "inference_data.parquet"
    tables.write(tables.read(older).drop_columns(["age"]), older, data_version="older")
    (tmp_path / "outcomes" / days[2] / "outcomes.parquet").write_bytes(b"PAR1 but not all of it")

    result, said = run()

    assert [str(day) for day in curated()[AS_OF].drop_null().to_pylist()] == [days[1]]
    left_out = result["result"]["labelled_days_left_out"]
    assert list(left_out) == [days[0], days[2]]
    assert "lacks the column age: this day was ingested before it existed" in left_out[days[0]]
    assert "expected a complete Parquet file" in left_out[days[2]]
    assert f"{days[0]} is left out of the training data: " in said
