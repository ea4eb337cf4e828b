from __future__ import annotations

import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core.files import TOO_FEW_FIELDS, TOO_MANY_FIELDS, landing_files, read_file
from credit_default.errors import ContractError, NotThere, UnreadableFile

SECRET = "secret-cell"


def write(folder, data: str | bytes, name="clients.csv"):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def refusal(path, error=UnreadableFile):
    """The message, after making sure that it names the file and no cell."""
    with pytest.raises(error) as caught:
        read_file(path)
    message = str(caught.value)
    assert path.name in message
    assert SECRET not in message
    assert caught.value.__cause__ is None, "a chained error would be printed with the cells that it quotes"
    return message


class TestWhichFiles:
    def test_files_are_listed_by_name_and_tool_markers_are_left_out(self, tmp_path):
        for name in ("b.csv", "a.PARQUET", "_SUCCESS", ".hidden.csv", "notes.txt"):
            write(tmp_path, "", name)

        assert [path.name for path in landing_files(tmp_path)] == ["a.PARQUET", "b.csv", "notes.txt"]

    def test_a_folder_that_is_not_there_holds_no_files(self, tmp_path):
        assert landing_files(tmp_path / "2026-01-01") == []

    def test_a_file_in_place_of_the_folder_is_told(self, tmp_path):
        with pytest.raises(UnreadableFile, match="expected a folder"):
            landing_files(write(tmp_path, "", "2026-01-01"))

    def test_a_link_that_leads_nowhere_is_listed_so_that_reading_it_is_refused(self, tmp_path):
        (tmp_path / "gone.csv").symlink_to(tmp_path / "nothing.csv")

        (path,) = landing_files(tmp_path)

        assert "link" in refusal(path)


class TestWholeFilesThatCannotBeRead:
    @pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n\r\n"], ids=["0 bytes", "BOM alone", "blank lines"])
    def test_an_empty_csv_file(self, tmp_path, data):
        assert "empty" in refusal(write(tmp_path, data))

    def test_an_empty_parquet_file(self, tmp_path):
        assert "empty" in refusal(write(tmp_path, b"", "clients.parquet"))

    def test_a_truncated_parquet_file(self, tmp_path):
        pq.write_table(pa.table({"sex": [SECRET] * 1000}), tmp_path / "whole.parquet")
        whole = (tmp_path / "whole.parquet").read_bytes()

        for size in (3, len(whole) // 2, len(whole) - 1):
            assert "no sound Parquet file" in refusal(write(tmp_path, whole[:size], "half.parquet"))

    def test_text_in_a_parquet_file_that_is_not_utf8(self, tmp_path):
        latin = pa.array([f"{SECRET}é".encode("latin-1")])
        text = pa.StringArray.from_buffers(1, *latin.buffers()[1:])
        pq.write_table(pa.table({"sex": text}), tmp_path / "latin.parquet")

        assert "no sound Parquet file" in refusal(tmp_path / "latin.parquet")

    def test_bytes_that_are_not_utf8_with_their_line(self, tmp_path):
        path = write(tmp_path, f"name,note\n{SECRET},1\n{SECRET},Zürich\n".encode("latin-1"))

        assert "line 3: is not UTF-8" in refusal(path)

    def test_utf16_as_spreadsheets_save_it(self, tmp_path):
        assert "line 1: is not UTF-8" in refusal(write(tmp_path, f"a,b\n{SECRET},2\n".encode("utf-16")))

    def test_a_folder_with_the_name_of_a_file(self, tmp_path):
        (tmp_path / "x.csv").mkdir()

        assert "is a folder" in refusal(tmp_path / "x.csv")

    def test_another_kind_of_file(self, tmp_path):
        assert "suffix .xlsx; expected .csv or .parquet" in refusal(write(tmp_path, "x", "clients.xlsx"))
        assert "no suffix" in refusal(write(tmp_path, "x", "clients"))

    def test_a_file_that_is_not_there(self, tmp_path):
        assert "expected a CSV or Parquet file" in refusal(tmp_path / "gone.csv", NotThere)

    @pytest.mark.parametrize("where", ["last column", "first column"])
    def test_a_quote_that_is_never_closed_swallows_no_rows_in_silence(self, tmp_path, where):
        broken = f'4,"{SECRET}' if where == "last column" else f'"{SECRET},4'
        path = write(tmp_path, f"a,b\n1,2\n{broken}\n5,6\n7,8\n")

        assert "line 3: a quoted field that begins in this row is not closed" in refusal(path)

    def test_a_column_that_is_there_twice_is_named_by_position(self, tmp_path):
        assert "columns 1, 3 repeat a name" in refusal(write(tmp_path, f"{SECRET},b,{SECRET}\n1,2,3\n"), ContractError)

    def test_a_column_that_is_there_twice_in_a_parquet_file(self, tmp_path):
        pq.write_table(pa.table([[1], [2]], names=["age", "age"]), tmp_path / "t.parquet")

        assert "columns 1, 2 repeat a name" in refusal(tmp_path / "t.parquet", ContractError)


class TestCsv:
    @pytest.mark.parametrize("data", ["a,b", "a,b\n", "a,b\r\n\r\n", "\ufeffa,b\n"])
    def test_a_header_alone_is_a_table_without_rows(self, tmp_path, data):
        file = read_file(write(tmp_path, data))

        assert (file.table.column_names, file.table.num_rows) == (["a", "b"], 0)

    def test_fields_stay_text(self, tmp_path):
        file = read_file(write(tmp_path, "a,b\n007,1.50\n1e3,\n"))

        assert file.table.to_pydict() == {"a": ["007", "1e3"], "b": ["1.50", ""]}

    def test_a_byte_order_mark_is_no_part_of_the_first_name(self, tmp_path):
        assert read_file(write(tmp_path, "\ufeffa,b\n1,2\n")).table.column_names == ["a", "b"]

    def test_a_column_without_a_name_is_kept(self, tmp_path):
        assert read_file(write(tmp_path, ",a,\n0,1,2\n")).table.column_names == ["column 1", "a", "column 3"]

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("end", ["", "end"])
    def test_rows_and_lines_are_told_whatever_ends_a_line(self, tmp_path, newline, end):
        lines = ["", "a,b", "1,2", "", "3,4", "5", "6,7,8", "9,10"] + ([""] if end else [])

        file = read_file(write(tmp_path, newline.join(lines)))

        assert file.table.to_pydict() == {"a": ["1", "3", "9"], "b": ["2", "4", "10"]}
        assert file.rows.tolist() == [1, 2, 5]
        assert file.lines.tolist() == [3, 5, 8]
        assert [(bad.row, bad.line, bad.rule, bad.text) for bad in file.malformed] == [
            (3, 6, TOO_FEW_FIELDS, "5"),
            (4, 7, TOO_MANY_FIELDS, "6,7,8"),
        ]

    def test_line_breaks_and_commas_inside_quotes_belong_to_the_value(self, tmp_path):
        file = read_file(write(tmp_path, 'a,b\n1,"x\ny, ""z"""\n2\n"3",4\n'))

        assert file.table.to_pydict() == {"a": ["1", "3"], "b": ['x\ny, "z"', "4"]}
        assert file.rows.tolist() == [1, 3]
        assert file.lines.tolist() == [2, 5]
        assert [(bad.row, bad.line, bad.text) for bad in file.malformed] == [(2, 4, "2")]

    @given(
        rows=st.lists(
            st.lists(st.text("ab ,\n\r\"'é", max_size=4), min_size=1, max_size=4).filter(lambda row: row != [""]),
            max_size=8,
        ),
        written=st.sampled_from([(csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\r\n")]),
    )
    @settings(deadline=None)
    def test_no_row_is_lost_or_told_twice(self, rows, written, tmp_path_factory):
        quoting, newline = written
        text = io.StringIO(newline="")
        writer = csv.writer(text, quoting=quoting, lineterminator=newline)
        writer.writerows([["a", "b"], *rows])
        folder = tmp_path_factory.mktemp("csv")

        file = read_file(write(folder, text.getvalue()))

        good = [(number, row) for number, row in enumerate(rows, start=1) if len(row) == 2]
        assert [list(row.values()) for row in file.table.to_pylist()] == [row for _, row in good]
        assert file.rows.tolist() == [number for number, _ in good]
        assert {bad.row for bad in file.malformed} == {n for n, row in enumerate(rows, start=1) if len(row) != 2}


def test_a_parquet_file_keeps_its_types_and_has_rows_but_no_lines(tmp_path):
    table = pa.table({"a": [1, 2], "b": [0.5, None]})
    pq.write_table(table, tmp_path / "t.parquet")

    file = read_file(tmp_path / "t.parquet")

    assert file.table.equals(table)
    assert file.rows.tolist() == [1, 2]
    assert file.lines is None


@pytest.mark.parametrize("where", ["header", "first row"])
def test_a_quote_that_is_never_closed_in_a_large_file_is_told_and_not_a_crash(tmp_path, where):
    path = tmp_path / "large.csv"
    rows = "1,2\n" * 60_000
    path.write_text(f'a,"b\n{rows}' if where == "header" else f'a,b\n1,"2\n{rows}')
    with pytest.raises(UnreadableFile, match=r"large\.csv: .*never closed"):
        read_file(path)
