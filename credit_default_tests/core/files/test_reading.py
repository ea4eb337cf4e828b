from __future__ import annotations

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from credit_default.core.files.csv_file import STRAY_QUOTE, TOO_FEW_FIELDS, TOO_MANY_FIELDS
from credit_default.core.files.reading import read_file
from credit_default.core.schema import FEATURE_NAMES
from credit_default.errors import ContractError, NotThere, UnreadableFile

SECRET = "secret-cell"
HEADER = ["client_id", *FEATURE_NAMES]


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
        for end in ("\n", "\r\n", "\r"):
            path = write(tmp_path, end.join(["name,note", f"{SECRET},1", f"{SECRET},Zürich"]).encode("latin-1"))

            assert "line 3: is not UTF-8" in refusal(path)

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
    @pytest.mark.parametrize("text", [f"a,b\n{SECRET},2\n", f"größe;ж\r\n{SECRET};2\r\n" + "1;2\r\n" * 99])
    def test_other_encodings_are_named_with_and_without_their_mark(self, tmp_path, encoding, text):
        told = refusal(write(tmp_path, text.encode(encoding)))

        assert f"is {encoding[:6].upper()}, expected UTF-8; save it as UTF-8" in told

    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (b"PK\x03\x04 and more", "an Excel workbook or a ZIP archive"),
            (b"\x1f\x8b\x08 and more", "compressed by gzip"),
            (b"BZh91AY&SY and more", "compressed by bzip2"),
            (b"\xfd7zXZ\x00 and more", "compressed by xz"),
            (b"PAR1 and more", "a Parquet file"),
        ],
    )
    def test_what_is_no_text_is_named(self, tmp_path, data, kind):
        assert f"is {kind} by its first bytes" in refusal(write(tmp_path, data))

    @pytest.mark.parametrize("data", [f"a,b\n{SECRET},2\n" + "\0" * 400, "\0" * 512, "a\0b,c\n1,2\n"])
    def test_zeros_of_a_file_that_was_not_sent_whole(self, tmp_path, data):
        assert "holds zero bytes" in refusal(write(tmp_path, data))

    def test_a_folder_with_the_name_of_a_file(self, tmp_path):
        (tmp_path / "x.csv").mkdir()

        assert "is a folder" in refusal(tmp_path / "x.csv")

    def test_another_kind_of_file(self, tmp_path):
        assert "suffix .xlsx; expected .csv or .parquet" in refusal(write(tmp_path, "x", "clients.xlsx"))
        assert 'suffix ".csv "; expected' in refusal(write(tmp_path, "x", "clients.csv "))
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


class TestOtherLayouts:
    """A header that is not ours is looked at: what is seen is named in a line, and no cell is."""

    def told(self, tmp_path, text):
        told = refusal(write(tmp_path, text), ContractError)
        assert len(told) < 200
        return told

    @pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
    @pytest.mark.parametrize("header", [HEADER, [f'"{name.upper()}"' for name in HEADER], ["kunde", "alter", "betrag"]])
    def test_another_delimiter(self, tmp_path, delimiter, name, header):
        row = delimiter.join([SECRET, *("1,5" for _ in header[1:])])

        told = self.told(tmp_path, f"{delimiter.join(header)}\n{row}\n")

        assert f"separated by {name}, expected commas" in told

    @pytest.mark.parametrize(
        ("line", "seen"),
        [
            ("sep=;", "by semicolons"),
            ('"sep=,"', "remove that line"),
            ("SEP=\t", "by tabs"),
            ("sep=x", "remove that line"),
        ],
    )
    def test_a_line_for_excel(self, tmp_path, line, seen):
        told = self.told(tmp_path, f"{line}\r\na;b\r\n{SECRET};1\r\n")

        assert "begins with a line sep=" in told
        assert seen in told

    @pytest.mark.parametrize("above", ["Kunden im März", f"{SECRET},,\n\n", "x1,x2,x3", "client,client,bill"])
    @pytest.mark.parametrize("delimiter", [",", ";"])
    def test_lines_above_the_header(self, tmp_path, above, delimiter):
        text = f"{above}\n{delimiter.join(HEADER)}\n{delimiter.join([SECRET] * 24)}\n"

        told = self.told(tmp_path, text)

        assert f"the names of the columns are in line {2 + above.count(chr(10))}" in told
        assert ("separated by semicolons" in told) == (delimiter == ";")
        assert "remove what is above it" in told

    @pytest.mark.parametrize("second", [HEADER, [name.upper() for name in HEADER]])
    def test_a_second_header_below_the_first(self, tmp_path, second):
        text = f"{','.join(HEADER)}\n{','.join(second)}\n{','.join([SECRET] * 24)}\n"

        assert "second header below the first" in self.told(tmp_path, text)

    def test_a_column_of_no_use_to_us_may_be_named_as_it_likes(self, tmp_path):
        file = read_file(write(tmp_path, "client_id,a;b;c;d\n1,2\n"))

        assert file.table.column_names == ["client_id", "a;b;c;d"]


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

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("more", [",", ",,,", ', ,""'])
    def test_commas_behind_every_row_are_forgiven(self, tmp_path, more, end):
        file = read_file(write(tmp_path, end.join(["a,b", f"1,2{more}", f"3,4{more}", f"5,{more}"])))

        assert file.table.to_pydict() == {"a": ["1", "3", "5"], "b": ["2", "4", ""]}
        assert not file.malformed

    def test_a_row_with_something_behind_its_fields_is_malformed_and_the_others_are_rows(self, tmp_path):
        file = read_file(write(tmp_path, "a,b\n1,2,\n3,4\n5,6,,7\n8,9,,\n10\n"))

        assert file.table.to_pydict() == {"a": ["1", "3", "8"], "b": ["2", "4", "9"]}
        assert file.rows.tolist() == [1, 2, 4]
        assert file.lines.tolist() == [2, 3, 5]
        assert [(bad.row, bad.rule) for bad in file.malformed] == [(3, TOO_MANY_FIELDS), (5, TOO_FEW_FIELDS)]

    def test_commas_behind_some_rows_forgive_nothing_that_stands_behind_another(self, tmp_path):
        raw = read_file(write(tmp_path, "a,b\n1,2,\n3,4,x\n5,6,\n"))

        assert raw.table["a"].to_pylist() == ["1", "5"]
        assert [(bad.row, bad.line) for bad in raw.malformed] == [(2, 3)]

    def test_commas_behind_the_header_alone_are_forgiven(self, tmp_path):
        assert read_file(write(tmp_path, "a,b,,\n1,2\n3,4\n")).table.to_pydict() == {"a": ["1", "3"], "b": ["2", "4"]}

    def test_two_columns_are_never_one_by_a_name_that_was_made(self, tmp_path):
        assert read_file(write(tmp_path, ",column 1\n0,1\n")).table.column_names == ["column 1'", "column 1"]

    def test_a_last_line_without_its_end_is_a_row(self, tmp_path):
        assert read_file(write(tmp_path, "a,b\n1,2\n3,4")).table.num_rows == 2

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

        good = [(n, row[:2]) for n, row in enumerate(rows, start=1) if len(row) > 1 and not "".join(row[2:]).strip()]
        assert [list(row.values()) for row in file.table.to_pylist()] == [row for _, row in good]
        assert file.rows.tolist() == [number for number, _ in good]
        assert {bad.row for bad in file.malformed} == set(range(1, len(rows) + 1)) - {number for number, _ in good}


@pytest.mark.parametrize("where", ["header", "first row"])
def test_a_quote_that_is_never_closed_in_a_large_file_is_told_and_not_a_crash(tmp_path, where):
    path = tmp_path / "large.csv"
    rows = "1,2\n" * 60_000
    path.write_text(f'a,"b\n{rows}' if where == "header" else f'a,b\n1,"2\n{rows}')
    line = 1 if where == "header" else 2
    assert f"large.csv, line {line}: a quoted field that begins in this row is not closed" in refusal(path)


def outcome(path):
    """Give the rows of a file, and the numbers of its malformed ones; only the error where it is refused."""
    try:
        file = read_file(path)
    except UnreadableFile as error:
        return str(error).split(": ", 1)[1]
    return file.table.to_pylist(), [(bad.row, bad.rule, bad.text) for bad in file.malformed]


class TestQuotes:
    """Files are read in two ways, by what quotes they hold; what comes of a row is the same in both."""

    def both(self, folder, text):
        # A line break inside a field is what only one of the two ways can read.
        alone = outcome(write(folder, f"a,b\n{text}"))
        beside = outcome(write(folder, f'a,b\n"\n",\n{text}'))
        if isinstance(beside, tuple):
            assert beside[0].pop(0) == {"a": "\n", "b": ""}
            beside = beside[0], [(row - 1, rule, line) for row, rule, line in beside[1]]
        assert alone == beside
        return alone

    @given(text=st.text(',"\nx\ufeff ', max_size=12))
    @settings(deadline=None, max_examples=300)
    @example(text='1,2\n3,"4')
    @example(text='1,2\n"3" ,4\n5,"6"0\n7,8"9')
    @example(text="\ufeff1,2")
    def test_both_ways_give_the_same_rows(self, text):
        with TemporaryDirectory() as folder:
            self.both(Path(folder), text)

    @pytest.mark.parametrize("text", ['1,"2', '1,2\n3,"4', '1,2\n3,"4\n', 'a"b,"2', '"1,2\n3,4'])
    def test_a_file_that_was_cut_inside_a_field_is_refused(self, tmp_path, text):
        assert "is not closed as it should be" in self.both(tmp_path, text)

    @pytest.mark.parametrize("bad", ['"3" ,4', '"3"0,4', '3,"4"0', '"3"4"'])
    def test_a_quote_that_closes_no_field_takes_its_row_along_and_no_other(self, tmp_path, bad):
        rows, malformed = self.both(tmp_path, f"1,2\n{bad}\n5,6\n")

        assert rows == [{"a": "1", "b": "2"}, {"a": "5", "b": "6"}]
        assert malformed == [(2, STRAY_QUOTE, bad)]

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_a_byte_order_mark_between_parts_of_a_file_is_no_part_of_a_value(self, tmp_path, end):
        path = write(tmp_path, f'a,b{end}\ufeff1,2{end}\ufeff"3",4\ufeff')

        assert outcome(path)[0] == [{"a": "1", "b": "2"}, {"a": "3", "b": "4\ufeff"}]

    @pytest.mark.parametrize("place", [0, 1])
    def test_a_long_field_is_taken_in_any_row_and_the_limit_of_others_stays(self, tmp_path, place):
        lines = ["1,2", "3,4"]
        lines[place] = f"{'x' * 200_000},5"
        before = csv.field_size_limit()

        rows, malformed = self.both(tmp_path, "\n".join(lines))

        assert len(rows[place]["a"]) == 200_000
        assert not malformed
        assert csv.field_size_limit() == before
