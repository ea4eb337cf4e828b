from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core import tables
from credit_default.core.schema import FEATURE_NAMES, REPAYMENT_STATES
from credit_default.errors import ContractError, NotThere, UnreadableFile
from credit_default_tests.strategies import client_rows, clients, typed


def test_a_table_of_clients_has_id_features_and_what_was_asked_for_in_that_order():
    names = tables.schema(target=True, as_of=True, source=True).names

    assert names[:2] == ["client_id", "as_of"]
    assert tuple(names[2:25]) == FEATURE_NAMES
    assert names[25:] == ["default_payment_next_month", "source_file", "source_row"]
    assert tables.schema().names == ["client_id", *FEATURE_NAMES]


@given(rows=client_rows(), cut=st.integers(0, 8))
@settings(deadline=None, max_examples=40)
def test_the_hash_does_not_depend_on_chunks_or_dictionary_coding(rows, cut):
    table = typed(rows)
    plain = pa.table(
        {
            name: table[name].cast(table[name].type.value_type)
            if pa.types.is_dictionary(table[name].type)
            else table[name]
            for name in table.column_names
        }
    )
    in_pieces = pa.concat_tables([plain.slice(0, cut), plain.slice(cut)])
    other_dictionary = pa.table(
        {
            name: plain[name].dictionary_encode() if pa.types.is_string(plain[name].type) else plain[name]
            for name in plain.column_names
        }
    )

    expected = tables.content_hash(table)

    assert len(expected) == 32
    assert [tables.content_hash(other) for other in (plain, in_pieces, other_dictionary)] == [expected] * 3


@pytest.mark.parametrize(
    "other",
    [
        {"a": ["x", None], "b": [1.0, 3.0]},
        {"a": ["x", ""], "b": [1.0, 2.0]},
        {"a": [None, "x"], "b": [2.0, 1.0]},
        {"b": [1.0, 2.0], "a": ["x", None]},
        {"a": ["x", None], "c": [1.0, 2.0]},
        {"a": ["x", None], "b": [1, 2]},
        {"a": ["x", None], "b": [1.0, None]},
        {"a": ["x"], "b": [1.0]},
    ],
    ids=["value", "empty is not missing", "order of rows", "order of columns", "name", "type", "missing", "fewer"],
)
def test_the_hash_changes_with_the_content(other):
    table = {"a": ["x", None], "b": [1.0, 2.0]}

    assert tables.content_hash(pa.table(other)) != tables.content_hash(pa.table(table))


def test_where_one_text_ends_and_the_next_begins_is_part_of_the_hash():
    assert tables.content_hash(pa.table({"a": ["ab", "c"]})) != tables.content_hash(pa.table({"a": ["a", "bc"]}))


def test_a_missing_number_is_not_a_zero_in_the_hash():
    missing, zero = pa.table({"a": pa.array([None], pa.float64())}), pa.table({"a": [0.0]})

    assert tables.content_hash(missing) != tables.content_hash(zero)


@given(rows=client_rows(target=True))
@settings(deadline=None, max_examples=40)
def test_a_table_written_and_read_again_is_the_same(rows, tmp_path_factory):
    table = typed(rows, target=True)
    path = tmp_path_factory.mktemp("tables") / "table.parquet"

    tables.write(table, path, data_version="abc")
    again = tables.read(path)

    assert again.replace_schema_metadata().equals(table)
    assert tables.content_hash(again) == tables.content_hash(table)
    assert tables.data_version_of(path) == "abc"


def test_the_codes_of_a_category_are_its_rank_whatever_order_a_file_had_them_in(tmp_path):
    written_elsewhere = pa.table({"repayment_status_1": pa.array(["delay_2_months", "duly_paid"]).dictionary_encode()})
    pq.write_table(written_elsewhere, tmp_path / "t.parquet")

    column = tables.read(tmp_path / "t.parquet")["repayment_status_1"].combine_chunks()

    assert column.dictionary.to_pylist() == list(REPAYMENT_STATES)
    assert column.indices.to_pylist() == [3, 0]


def test_a_failed_write_leaves_the_table_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    tables.write(typed(clients(2)), path, data_version="first")

    def dies_half_way(table, where, **_):
        where.write_bytes(b"PAR1 half")
        raise OSError("no space left on device")

    monkeypatch.setattr(tables.pq, "write_table", dies_half_way)
    with pytest.raises(OSError, match="no space"):
        tables.write(typed(clients(3)), path, data_version="second")

    assert tables.read(path).num_rows == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.parquet"]


def test_reading_says_what_is_wrong_with_the_file(tmp_path):
    (tmp_path / "half.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")

    with pytest.raises(NotThere, match=r"gone\.parquet is not there"):
        tables.read(tmp_path / "gone.parquet")
    with pytest.raises(UnreadableFile, match=r"half\.parquet"):
        tables.read(tmp_path / "half.parquet")
    with pytest.raises(UnreadableFile, match=r"half\.parquet"):
        tables.data_version_of(tmp_path / "half.parquet")
    with pytest.raises(ContractError, match=r"other\.parquet holds no data version"):
        tables.data_version_of(tmp_path / "other.parquet")
