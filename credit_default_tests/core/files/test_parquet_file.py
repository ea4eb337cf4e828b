from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core.files.reading import read_file
from credit_default.errors import ContractError, UnreadableFile
from credit_default_tests.core.files.test_reading import SECRET, refusal, write


def test_a_parquet_file_keeps_its_types_and_has_rows_but_no_lines(tmp_path):
    table = pa.table({"a": [1, 2], "b": [0.5, None]})
    pq.write_table(table, tmp_path / "t.parquet")

    file = read_file(tmp_path / "t.parquet")

    assert file.table.equals(table)
    assert file.rows.tolist() == [1, 2]
    assert file.lines is None


class TestParquetText:
    """Text is text, whichever layout it has in Arrow: others than `string` choke functions that come later."""

    @pytest.mark.parametrize(
        "kind",
        [
            *(pa.string_view(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary_view()),
            *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string())),
            *(pa.dictionary(pa.int32(), pa.string_view()), pa.dictionary(pa.int16(), pa.binary())),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("rows", [0, 3])
    def test_every_layout_is_read_as_text(self, tmp_path, kind, rows):
        values = ["é", None, "é"][:rows]
        text = pa.array(values, pa.string())
        if pa.types.is_dictionary(kind):
            text = text.dictionary_encode().cast(pa.dictionary(kind.index_type, pa.string()))
        pq.write_table(pa.table({"a": text.cast(kind) if kind.id != text.type.id else text}), tmp_path / "t.parquet")

        assert read_file(tmp_path / "t.parquet").table.equals(pa.table({"a": pa.array(values, pa.string())}))

    def test_bytes_that_are_no_text_stay_bytes(self, tmp_path):
        table = pa.table({"a": pa.array([b"\xff", None], pa.binary()), "b": pa.array([b"0123"] * 2, pa.binary(4))})
        pq.write_table(table, tmp_path / "t.parquet")

        assert read_file(tmp_path / "t.parquet").table.equals(table)

    def test_columns_inside_columns_are_kept(self, tmp_path):
        table = pa.table(
            {
                "list": pa.array([["x", None], None], pa.list_(pa.string_view())),
                "struct": pa.array([{"y": "z"}, None], pa.struct([("y", pa.large_string())])),
                "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
            }
        )
        pq.write_table(table, tmp_path / "t.parquet")

        assert read_file(tmp_path / "t.parquet").table.to_pylist() == table.to_pylist()

    @pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
    @pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary()], ids=str)
    def test_text_that_arrow_cannot_read_as_it_is_coded(self, tmp_path, encoding, kind):
        text = pa.array(["é", None, "éa"], pa.string())
        pq.write_table(
            pa.table({"a": text.cast(kind), "b": text}),
            tmp_path / "t.parquet",
            use_dictionary=["b"],
            column_encoding={"a": encoding},
        )

        assert read_file(tmp_path / "t.parquet").table.equals(pa.table({"a": text, "b": text}))

    def test_a_name_with_a_point_is_no_field_of_a_struct(self, tmp_path):
        rows = [{"a.b": "t", "a": {"b": "x"}}, {"a.b": None, "a": None}]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")

        assert read_file(tmp_path / "t.parquet").table.to_pylist() == rows

    def test_white_space_round_a_name_is_no_part_of_it_as_in_csv(self, tmp_path):
        pq.write_table(pa.table([[1], ["x"], [2]], names=[" a\n", "b ", " "]), tmp_path / "t.parquet")
        assert read_file(tmp_path / "t.parquet").table.column_names == ["a", "b", "column 3"]

        pq.write_table(pa.table([[1], [2]], names=["a", "a "]), tmp_path / "t.parquet")
        assert "columns 1, 2 repeat a name" in refusal(tmp_path / "t.parquet", ContractError)

    @pytest.mark.parametrize(("data", "seen"), [(b"a,b\n1,2\n", "no Parquet file"), (b"PARE....", "encrypted")])
    def test_what_is_no_parquet_file_is_not_called_damaged(self, tmp_path, data, seen):
        assert f"is {'an ' * (seen == 'encrypted')}{seen}" in refusal(write(tmp_path, data, "t.parquet"))

    def test_a_file_as_polars_wrote_it(self, tmp_path):
        table = pa.table({"sex": pa.array(["male", None], pa.string_view()), "n": pa.array([1, 2], pa.int64())})
        pq.write_table(table, tmp_path / "t.parquet")
        assert pq.read_table(tmp_path / "t.parquet").schema.field("sex").type == pa.string_view()

        assert read_file(tmp_path / "t.parquet").table["sex"].type == pa.string()

    @pytest.mark.parametrize("store_schema", [True, False])
    def test_a_column_whose_name_is_not_utf8_is_a_clear_error(self, tmp_path, store_schema):
        pq.write_table(pa.table({"age": [1], f"{SECRET}Q": [2]}), tmp_path / "t.parquet", store_schema=store_schema)
        data = (tmp_path / "t.parquet").read_bytes().replace(f"{SECRET}Q".encode(), f"{SECRET}\xe4".encode("latin-1"))
        (tmp_path / "t.parquet").write_bytes(data)

        told = refusal(tmp_path / "t.parquet", ContractError)

        assert told == "t.parquet: the name of a column is not UTF-8; write the file with other names."

    @given(data=st.data())
    @settings(deadline=None, max_examples=60)
    def test_a_damaged_file_is_refused_or_read_and_nothing_else_happens(self, data, tmp_path_factory):
        path = tmp_path_factory.mktemp("damaged") / "t.parquet"
        pq.write_table(pa.table({"a": [SECRET] * 50, "b": range(50), "c": pa.array([[1]] * 50)}), path)
        whole = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(whole)

        try:
            read_file(path)
        except (UnreadableFile, ContractError) as error:
            assert SECRET not in str(error)  # noqa: PT017 - most damage is found, and some is in a value
