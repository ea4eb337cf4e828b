from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_default.core import tables
from credit_default.core.contract import contract
from credit_default.core.schema import CLIENT_ID
from credit_default.steps import inference_data
from credit_default_tests.strategies import client, clients, csv_text, write_csv, write_parquet

SECRET = "secret-cell"
DAY, NEXT_DAY, LAST_DAY = "2026-01-01", "2026-01-02", "2026-01-03"


@pytest.fixture
def landing(tmp_path):
    return tmp_path / "landing"


@pytest.fixture
def run(landing, tmp_path, capsys):
    """Run the step by hand: its results by day, and what it said."""

    def step(*days):
        inference_data.main(["--landing", str(landing), "--days", ",".join(days), "--output", str(tmp_path / "out")])
        said = capsys.readouterr()
        return {line["partition"]: line for line in map(json.loads, said.out.splitlines())}, said.err

    return step


def test_every_day_has_its_own_table_figures_and_data_version(run, landing, tmp_path):
    write_csv(landing / DAY / "a.csv", clients(3))
    write_parquet(landing / DAY / "b.parquet", clients(2, start=3))
    write_csv(landing / NEXT_DAY / "a.csv", clients(1))

    results, _ = run(DAY, NEXT_DAY)

    for day, rows in ((DAY, 5), (NEXT_DAY, 1)):
        result = results[day]
        path = tmp_path / "out" / result["files"]["table"]
        assert path == tmp_path / "out" / day / "inference_data.parquet"
        assert tables.read(path).num_rows == result["result"]["accepted"] == rows
        assert result["data_version"] == tables.data_version_of(path) == tables.content_hash(tables.read(path))
        assert "quarantine" not in result["files"]
    assert results[DAY]["data_version"] != results[NEXT_DAY]["data_version"]
    assert results[DAY]["result"]["files"] == {
        name: {"rows": rows, "rejected": 0, "sha256": hashlib.sha256((landing / DAY / name).read_bytes()).hexdigest()}
        for name, rows in (("a.csv", 3), ("b.parquet", 2))
    }


def test_the_same_files_again_are_the_same_data_version(run, landing):
    write_csv(landing / DAY / "a.csv", clients(3))

    assert run(DAY)[0][DAY] == run(DAY)[0][DAY]


def test_rejected_rows_go_to_a_file_of_their_own_and_are_counted(run, landing, tmp_path):
    write_csv(landing / DAY / "a.csv", [client(0), client(1, age=SECRET), client(2, sex=SECRET)])

    results, said = run(DAY)

    result = results[DAY]
    assert (result["result"]["rows"], result["result"]["accepted"], result["result"]["rejected"]) == (3, 1, 2)
    assert result["result"]["by_reason"] == {"age: not a number": 1, "sex: unknown category": 1}
    rejected = (tmp_path / "out" / result["files"]["quarantine"]).read_text()
    assert rejected.count(SECRET) == 2
    assert SECRET not in json.dumps(result)
    assert SECRET not in said


@pytest.mark.parametrize(
    ("spoilt", "share", "verdict"), [(0, 1.0, "ok"), (1, 0.95, "ok"), (2, 0.9, "warning"), (20, 0.0, "error")]
)
def test_too_small_an_accepted_share_is_said_and_the_day_is_made_all_the_same(run, landing, spoilt, share, verdict):
    rows = [client(number, **({"age": SECRET} if number < spoilt else {})) for number in range(20)]
    write_csv(landing / DAY / "a.csv", rows)

    results, said = run(DAY)

    result = results[DAY]["result"]
    assert (result["accepted_share"], result["acceptance"]) == (share, verdict)
    level = {"ok": "", "warning": "Warning: ", "error": "Error: "}[verdict]
    assert said.startswith(f"{level}{DAY}: {20 - spoilt} of 20 rows accepted, from 1 file")
    assert ("expected at least 95%" in said) == (verdict != "ok")
    assert ("age: not a number" in said) == (verdict != "ok")
    assert SECRET not in said


def not_utf8(path):
    path.write_bytes(csv_text([client(0, sex=f"{SECRET}é")]).encode("latin-1"))


def without_age(path):
    write_csv(path, [client(0, sex=SECRET)], [name for name in client() if name != "age"])


def cut_short(path):
    pq.write_table(pa.Table.from_pylist([client(0, sex=SECRET)]), path)
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("name", "spoil", "expected"),
    [
        ("x.csv", lambda path: path.touch(), "x.csv: is empty"),
        ("x.csv", lambda path: path.mkdir(), "x.csv: is a folder; expected a CSV or Parquet file"),
        ("x.csv", lambda path: path.symlink_to("gone"), "x.csv: is a link; put the file itself here"),
        ("x.csv", not_utf8, "x.csv, line 2: is not UTF-8"),
        ("x.csv", without_age, "x.csv: missing column age; expected"),
        ("x.xlsx", lambda path: path.write_text(SECRET), "x.xlsx: has the suffix .xlsx; expected .csv or .parquet"),
        ("x.parquet", cut_short, "x.parquet: is no sound Parquet file"),
    ],
    ids=["0 bytes", "a directory", "a dangling link", "not UTF-8", "missing column", "another kind", "cut short"],
)
def test_a_file_that_cannot_be_used_fails_its_day_and_no_other(run, tmp_path, name, spoil, expected):
    landing = tmp_path / "landing"
    for day in (DAY, NEXT_DAY, LAST_DAY):
        write_csv(landing / day / "good.csv", clients(2))
    spoil(landing / NEXT_DAY / name)

    results, said = run(DAY, NEXT_DAY, LAST_DAY)

    assert list(results) == [DAY, LAST_DAY]
    assert f"{NEXT_DAY}: {expected}" in said
    assert SECRET not in said
    assert not (tmp_path / "out" / NEXT_DAY).exists()
    assert (landing / NEXT_DAY / "good.csv").exists(), "what landed stays where it is"


def latin1_name(folder):
    write_csv(folder / os.fsdecode(b"Kunden-M\xe4rz.csv"), clients(1))


def linked_day(folder):
    folder.rename(folder.parent.parent / "elsewhere")
    folder.symlink_to(folder.parent.parent / "elsewhere")


def linked_file(folder):
    write_csv(folder.parent.parent / "outside.csv", [client(0, sex=SECRET)])
    (folder / "x.csv").symlink_to(folder.parent.parent / "outside.csv")


def not_utf8_column(folder):
    rows = [{**client(0, sex="male"), f"{SECRET}Q": SECRET}]
    data = write_parquet(folder / "x.parquet", rows).read_bytes()
    (folder / "x.parquet").write_bytes(data.replace(f"{SECRET}Q".encode(), f"{SECRET}\xe4".encode("latin-1")))


def wide(folder):
    write_csv(folder / "x.csv", [{**client(0), **{f"{SECRET} {n}": SECRET for n in range(1000)}}])


def text_of(folder, change):
    (folder / "x.csv").write_bytes(change(csv_text([client(0, sex=SECRET)])))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (latin1_name, r"Kunden-M\xe4rz.csv: the name is not UTF-8; rename the file."),
        (linked_day, f"{NEXT_DAY}: is a link; expected a folder with CSV or Parquet files"),
        (linked_file, "x.csv: is a link; put the file itself here"),
        (lambda folder: os.mkfifo(folder / "x\n\x1b[31m.csv"), r"x\n\x1b[31m.csv: is a pipe; expected a CSV"),
        (lambda folder: (folder / "x.csv").symlink_to("/dev/zero"), "x.csv: is a link"),
        (not_utf8_column, "x.parquet: the name of a column is not UTF-8"),
        (wide, "x.csv, header: has more than 1,000 columns"),
        (lambda folder: text_of(folder, lambda text: text.replace(",", ";").encode()), "separated by semicolons"),
        (lambda folder: text_of(folder, lambda text: text.encode("utf-16")), "is UTF-16, expected UTF-8"),
        (lambda folder: text_of(folder, lambda text: f"March\n{text}".encode()), "names of the columns are in line 2"),
    ],
    ids=[
        *(
            "name",
            "linked day",
            "linked file",
            "pipe",
            "device",
            "column name",
            "wide",
            "semicolons",
            "UTF-16",
            "title",
        ),
    ],
)
def test_what_is_no_file_of_ours_fails_its_day_in_a_line_and_no_other(run, landing, spoil, expected):
    for day in (DAY, NEXT_DAY, LAST_DAY):
        write_csv(landing / day / "good.csv", clients(2))
    spoil(landing / NEXT_DAY)

    results, said = run(DAY, NEXT_DAY, LAST_DAY)

    assert list(results) == [DAY, LAST_DAY]
    (line,) = (line for line in said.splitlines() if line.startswith(NEXT_DAY))
    assert expected in line
    assert line.isprintable()
    assert len(line) < 300
    assert SECRET not in said


def test_files_of_the_same_bytes_are_one_and_companions_are_none_and_all_are_named(run, landing):
    rows = [{name: value for name, value in row.items() if name != CLIENT_ID} for row in clients(3)]
    for name in ("a.csv", "b\n.csv"):
        write_csv(landing / DAY / name, rows)
    for name in ("a.csv.md5", "desktop.ini", "c.csv.part"):
        (landing / DAY / name).write_text(SECRET)

    results, said = run(DAY)

    result = results[DAY]["result"]
    assert (result["rows"], result["accepted"]) == (3, 3)
    assert result["files"][r"b\n.csv"]["same_as"] == "a.csv"
    assert result["not_read"] == (
        r"a.csv.md5 (comes along with data and holds no rows), b\n.csv (has the same bytes as a.csv), "
        "c.csv.part (is an upload under way; it is read once it has its final name), "
        "desktop.ini (comes along with data and holds no rows)"
    )
    assert f"3 of 3 rows accepted, from 1 file; not read: {result['not_read']}" in said
    assert SECRET not in said + json.dumps(result)


def test_a_day_of_companions_alone_counts_as_empty_and_says_so(run, landing):
    (landing / DAY).mkdir(parents=True)
    (landing / DAY / "a.csv.part").touch()

    results, said = run(DAY)

    assert not results
    assert "holds no data yet, only a.csv.part (is an upload under way" in said


def test_names_are_kept_in_letters_that_can_be_printed_and_lead_back_to_the_file(run, landing, tmp_path):
    for name in ("a\t.csv", "a\\t.csv"):
        write_csv(landing / DAY / name, clients(1, start=len(name)))

    results, _ = run(DAY)

    table = tables.read(tmp_path / "out" / results[DAY]["files"]["table"])
    assert table["source_file"].to_pylist() == [r"a\t.csv", r"a\\t.csv"]
    assert list(results[DAY]["result"]["files"]) == table["source_file"].to_pylist()


def test_a_file_as_polars_wrote_it_is_taken(run, landing):
    table = pa.Table.from_pylist(clients(5))
    views = [
        pa.field(field.name, pa.string_view() if field.type == pa.string() else field.type) for field in table.schema
    ]
    write_parquet(landing / DAY / "a.parquet", table.cast(pa.schema(views)))

    assert run(DAY)[0][DAY]["result"]["accepted"] == 5


@pytest.mark.parametrize("exists", [True, False])
def test_a_day_on_which_nothing_landed_says_where_to_put_files(run, landing, exists):
    if exists:
        (landing / DAY).mkdir(parents=True)

    results, said = run(DAY)

    assert not results
    assert str(landing / DAY) in said
    assert "put CSV or Parquet files into it" in said


def test_a_day_of_headers_alone_is_stored_without_rows(run, landing, tmp_path):
    write_csv(landing / DAY / "a.csv", [], client())

    results, said = run(DAY)

    assert said.startswith(f"Error: {DAY}: 0 of 0 rows accepted, from 1 file; expected rows below the header.")
    assert results[DAY]["result"]["rows"] == 0
    assert (results[DAY]["result"]["accepted_share"], results[DAY]["result"]["acceptance"]) == (None, "error")
    assert tables.read(tmp_path / "out" / DAY / "inference_data.parquet").num_rows == 0


@pytest.mark.parametrize("day", ["2026-1-1", "20260101", "2026-02-30", "yesterday", "../2026-01-01"])
def test_a_malformed_day_is_refused_and_the_others_go_on(run, landing, day):
    write_csv(landing / DAY / "a.csv", clients(1))

    results, said = run(day, DAY)

    assert list(results) == [DAY]
    assert f"got the day {day!r}; expected a date like 2026-01-31" in said


def test_it_is_a_program(landing, tmp_path):
    write_csv(landing / DAY / "a.csv", clients(2))
    command = [sys.executable, "-m", "credit_default.steps.inference_data"]
    command += ["--landing", str(landing), "--days", DAY, "--output", str(tmp_path / "out")]

    finished = subprocess.run(command, capture_output=True, text=True, check=True)

    assert json.loads(finished.stdout)["result"]["accepted"] == 2
    assert tables.read(tmp_path / "out" / DAY / "inference_data.parquet")[CLIENT_ID].to_pylist() == ["1", "2"]


def test_a_defect_of_ours_takes_no_other_day_along_names_the_column_and_quotes_no_cell(run, landing, monkeypatch):
    for day in (DAY, NEXT_DAY, LAST_DAY):
        write_csv(landing / day / f"{day}.csv", clients(1))

    def typed(file, name, column):
        if (file, name) == (f"{NEXT_DAY}.csv", "age"):
            raise ValueError(f"could not convert {SECRET}")
        return original(file, name, column)

    original = contract.typed
    monkeypatch.setattr(contract, "typed", typed)
    results, said = run(DAY, NEXT_DAY, LAST_DAY)

    assert list(results) == [DAY, LAST_DAY]
    assert f"{NEXT_DAY}: " in said
    assert "ValueError" in said
    assert "column age" in said
    assert SECRET not in said


def test_a_day_of_hidden_files_says_so_and_beside_others_they_are_named(run, landing):
    write_csv(landing / DAY / "_clients.csv", clients(1))
    write_csv(landing / NEXT_DAY / ".clients.csv", clients(1))
    write_csv(landing / NEXT_DAY / "clients.csv", clients(2))

    results, said = run(DAY, NEXT_DAY)

    assert "holds no data yet, only _clients.csv (hidden, since" in said
    assert results[NEXT_DAY]["result"]["not_read"].startswith(".clients.csv (hidden, since")
