from __future__ import annotations

import csv
import json
import random
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core import tables
from credit_default.core.contract.contract import accept, write_rejected
from credit_default.core.schema import CLIENT_ID, FEATURE_NAMES, FEATURES, NUMBERS, REPAYMENT_STATES, TARGET
from credit_default.errors import ContractError, UnreadableFile
from credit_default_tests.strategies import client, client_rows, clients, csv_text, typed, write_csv, write_parquet

SECRET = "secret-cell"


@pytest.fixture
def taken(tmp_path):
    """Accept rows as one CSV file."""

    def take(rows, columns=None, dataset="inference"):
        return accept([write_csv(tmp_path / "clients.csv", rows, columns)], dataset=dataset)

    return take


def figures(accepted, name):
    """Rows that came and rows that were rejected, of a file."""
    about = accepted.counts["files"][name]
    return about["rows"], about["rejected"]


def rejections(accepted):
    """Row number and reasons of each rejected row."""
    return [(row["source_row"], row["reasons"]) for row in accepted.rejected.table().to_pylist()]


class TestRowsThatAreTaken:
    def test_a_file_of_the_curated_schema_is_taken_as_it_is(self, taken):
        rows = clients(5)

        accepted = taken(rows)

        assert accepted.table.schema.equals(tables.schema(source=True))
        assert accepted.table.select([CLIENT_ID, *FEATURE_NAMES]).to_pylist() == rows
        assert accepted.table["source_file"].unique().to_pylist() == ["clients.csv"]
        assert accepted.table["source_row"].to_pylist() == [1, 2, 3, 4, 5]
        assert accepted.rejected.num_rows == 0
        counts = accepted.counts
        assert (counts["rows"], counts["accepted"], counts["rejected"]) == (5, 5, 0)
        assert figures(accepted, "clients.csv") == (5, 0)

    @given(rows=client_rows(), order=st.randoms(use_true_random=False))
    @settings(deadline=None, max_examples=25)
    def test_any_rows_that_keep_the_contract_come_back_the_same(self, rows, order, tmp_path_factory):
        columns = [CLIENT_ID, *FEATURE_NAMES]
        order.shuffle(columns)
        path = write_csv(tmp_path_factory.mktemp("any") / "clients.csv", rows, columns)

        accepted = accept([path], dataset="inference")

        assert accepted.rejected.num_rows == 0
        expected = typed(rows)
        assert tables.content_hash(accepted.table.select(expected.column_names)) == tables.content_hash(expected)

    def test_the_order_of_the_columns_makes_no_difference(self, taken):
        rows, columns = clients(3), list(client())
        expected = taken(rows).table
        random.Random(1).shuffle(columns)

        assert taken(rows, columns).table.equals(expected)

    def test_columns_of_no_use_to_us_are_left_out_and_named_the_target_among_them(self, taken):
        rows = [{**row, TARGET: 1, "note": SECRET} for row in clients(2)]

        accepted = taken(rows)

        assert accepted.table.schema.equals(tables.schema(source=True))
        assert accepted.counts["extra_columns"] == [TARGET, "note"]
        assert accepted.counts["accepted"] == 2

    def test_whole_numbers_and_fractions_are_numbers_however_they_are_written(self, taken):
        written = ["36000", "36000.0", "36000.", "3.6e4", "3.6E+04", " 36000 "]
        rows = [client(number, credit_limit=text) for number, text in enumerate(written)]

        assert taken(rows).table["credit_limit"].to_pylist() == [36000.0] * 6
        assert taken([client(credit_limit="7470.4")]).table["credit_limit"].to_pylist() == [7470.4]

    def test_white_space_round_a_value_and_a_name_is_forgiven(self, taken):
        row = {f" {name} ": f"  {value} " for name, value in client().items()}

        accepted = taken([row])

        assert accepted.table.select(list(client())).to_pylist() == [client()]

    @pytest.mark.parametrize("missing", ["", "NaN", "nan", "NA", "null", "  "])
    def test_a_missing_value_is_taken_as_missing_and_counted(self, taken, missing):
        accepted = taken([client(0, age=missing, sex=missing), client(1)])

        assert accepted.table["age"].to_pylist()[0] is None
        assert accepted.table["sex"].to_pylist()[0] is None
        assert accepted.counts["missing"] == {"sex": 1, "age": 1}
        assert accepted.counts["rejected"] == 0

    def test_a_byte_order_mark_makes_no_difference(self, taken, tmp_path):
        rows = clients(2)
        expected = taken(rows).table
        (tmp_path / "clients.csv").write_text(csv_text(rows), encoding="utf-8-sig")

        assert accept([tmp_path / "clients.csv"], dataset="inference").table.equals(expected)

    def test_a_header_alone_is_no_rows_and_no_error(self, tmp_path):
        path = tmp_path / "clients.csv"
        path.write_text(csv_text(clients(1)).splitlines()[0])

        accepted = accept([path], dataset="inference")

        assert accepted.table.num_rows == accepted.rejected.num_rows == 0
        assert figures(accepted, "clients.csv") == (0, 0)

    def test_a_negative_bill_is_an_overpaid_one(self, taken):
        assert taken([client(bill_amount_1="-12.5")]).table["bill_amount_1"].to_pylist() == [-12.5]


@pytest.mark.parametrize("spell", [str.upper, str.title, "'{}'".format])
def test_names_of_columns_in_another_spelling_are_said_to_be_there(taken, spell):
    row = {name if name == CLIENT_ID else spell(name): value for name, value in client().items()}

    with pytest.raises(ContractError, match="there in another spelling: write names in small letters"):
        taken([row], list(row))


class TestParquet:
    def test_a_time_in_a_zone_that_nobody_knows_stands_in_quarantine_as_its_number(self, tmp_path):
        table = typed([client(age=17)]).append_column("opened", pa.array([5], pa.timestamp("us", "CST")))

        accepted = accept([write_parquet(tmp_path / "c.parquet", table)], dataset="inference")

        assert json.loads(accepted.rejected.table()["row"][0].as_py())["opened"] == 5

    @pytest.mark.parametrize(
        "kind", [pa.timestamp("us", "\x1b[31mX"), pa.struct([("\x1b[31m\n2026-01-02: 5 of 5", pa.int64())] * 99)]
    )
    def test_the_name_of_a_type_is_printable_and_short(self, tmp_path, kind):
        table = typed([client()]).set_column(0, CLIENT_ID, pa.nulls(1, kind))
        with pytest.raises(ContractError) as caught:
            accept([write_parquet(tmp_path / "c.parquet", table)], dataset="inference")

        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 250

    def test_a_date_beyond_pythons_calendar_stands_in_quarantine_as_its_number(self, tmp_path):
        dates = pa.array([740_000_000], pa.int32()).view(pa.date32())
        table = typed([client(age=17)]).append_column("opened", dates)

        accepted = accept([write_parquet(tmp_path / "c.parquet", table)], dataset="inference")

        assert json.loads(accepted.rejected.table()["row"][0].as_py())["opened"] == 740_000_000

    def test_it_is_taken_like_csv_whole_numbers_floats_decimals_and_text(self, tmp_path):
        rows = [client(number, bill_amount_1=number + 0.5) for number in range(3)]
        as_text = typed(rows)
        types = {"credit_limit": pa.int64(), "age": pa.int8(), "bill_amount_1": pa.float32()}
        types |= {"payment_amount_1": pa.decimal128(12, 2), "payment_amount_2": pa.string(), "sex": pa.large_string()}
        for name, kind in types.items():
            values = [row[name] for row in rows]
            if pa.types.is_decimal(kind):
                values = [Decimal(str(value)) for value in values]
            column = pa.array(values).cast(kind)
            as_text = as_text.set_column(as_text.column_names.index(name), name, column)

        accepted = accept([write_parquet(tmp_path / "c.parquet", as_text)], dataset="inference")

        assert accepted.rejected.num_rows == 0
        assert accepted.table.select(FEATURE_NAMES).equals(typed(rows).select(FEATURE_NAMES))

    def test_nan_is_missing_and_a_column_of_nulls_is_missing_throughout(self, tmp_path):
        table = pa.Table.from_pylist([client(0, age=float("nan"), sex=None), client(1, sex=None)])

        accepted = accept([write_parquet(tmp_path / "c.parquet", table)], dataset="inference")

        assert accepted.counts["missing"] == {"sex": 2, "age": 1}

    def test_rejected_rows_of_parquet_have_a_row_and_no_line(self, tmp_path):
        path = write_parquet(tmp_path / "c.parquet", [client(0), client(1, age=-1.0)])

        (row,) = accept([path], dataset="inference").rejected.table().to_pylist()

        assert (row["source_row"], row["line"]) == (2, None)

    def test_rejected_rows_of_any_type_are_kept_as_json(self, tmp_path):
        extra = {
            "note": 'say "what",\n\\now é',
            "nan": float("nan"),
            "infinite": float("inf"),
            "number": 0.1,
            "day": date(2026, 1, 1),
            "flag": True,
            "list": [1, 2],
            "nothing": None,
        }
        path = write_parquet(tmp_path / "c.parquet", [client(0, sex="?", **extra)])

        (row,) = accept([path], dataset="inference").rejected.table().to_pylist()

        kept = json.loads(row["row"])
        expected = {**extra, "nan": "nan", "infinite": "inf", "day": "2026-01-01"}
        assert kept == {**client(0), "sex": "?", **expected}

    @pytest.mark.parametrize(
        ("column", "values"),
        [("age", [date(2026, 1, 1)]), ("age", [True]), ("sex", [1]), ("client_id", [True]), ("credit_limit", [[1.0]])],
    )
    def test_a_column_of_a_type_that_cannot_hold_the_values_is_refused(self, tmp_path, column, values):
        path = write_parquet(tmp_path / "c.parquet", [client(**{column: values[0]})])

        with pytest.raises(ContractError, match=rf"c\.parquet, column {column}: has type .+; expected "):
            accept([path], dataset="inference")


class TestRowsThatAreRejected:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"sex": SECRET}, "sex: unknown category"),
            ({"sex": "Male"}, "sex: unknown category"),
            ({"repayment_status_3": "delay_9_months"}, "repayment_status_3: unknown category"),
            ({"credit_limit": SECRET}, "credit_limit: not a number"),
            ({"credit_limit": "1,000"}, "credit_limit: not a number"),
            ({"credit_limit": "0x10"}, "credit_limit: not a number"),
            ({"credit_limit": "inf"}, "credit_limit: infinite"),
            ({"bill_amount_2": "-Infinity"}, "bill_amount_2: infinite"),
            ({"bill_amount_2": "1e999"}, "bill_amount_2: infinite"),
            ({"age": "-1"}, "age: below the minimum 18"),
            ({"age": "121"}, "age: above the maximum 120"),
            ({"payment_amount_6": "-0.01"}, "payment_amount_6: below the minimum 0"),
            (dict.fromkeys(FEATURE_NAMES), "row: every feature is missing"),
            ({"age": "old", "sex": "?"}, "sex: unknown category; age: not a number"),
        ],
    )
    def test_the_row_that_breaks_a_rule_and_no_other(self, taken, changes, reason):
        rows = [client(0), client(1, **changes), client(2)]

        accepted = taken(rows)

        assert accepted.table[CLIENT_ID].to_pylist() == ["1", "3"]
        assert rejections(accepted) == [(2, reason)]
        assert accepted.counts["by_reason"] == dict.fromkeys(sorted(reason.split("; ")), 1)
        assert figures(accepted, "clients.csv") == (3, 1)

    def test_a_rejected_row_is_kept_as_it_came_with_its_line(self, taken):
        accepted = taken([client(0), client(1, age=" -5.50 ", note=SECRET)], [*client(), "note"])

        (row,) = accepted.rejected.table().to_pylist()

        assert (row["source_file"], row["source_row"], row["line"]) == ("clients.csv", 2, 3)
        came = json.loads(row["row"])
        assert came["age"] == " -5.50 "
        assert came["note"] == SECRET
        assert list(came) == [*client(), "note"]

    def test_a_line_with_too_many_or_too_few_fields_is_kept_with_its_text(self, tmp_path):
        lines = csv_text(clients(3)).splitlines()
        lines[2] += f",{SECRET}"
        lines.insert(3, f"{SECRET},male")
        path = tmp_path / "clients.csv"
        path.write_text("\n".join(lines))

        accepted = accept([path], dataset="inference")

        assert accepted.table["source_row"].to_pylist() == [1, 4]
        assert rejections(accepted) == [
            (2, "row: more fields than the header"),
            (3, "row: fewer fields than the header"),
        ]
        assert accepted.rejected.table()["line"].to_pylist() == [3, 4]
        assert json.loads(accepted.rejected.table()["row"][0].as_py()) == {"text": lines[2]}
        assert accepted.counts["rows"] == 4

    def test_rejected_rows_can_be_read_again_from_their_file(self, taken, tmp_path):
        accepted = taken([client(0, sex='say "what", now'), client(1, sex="?")])

        write_rejected(accepted.rejected, tmp_path / "quarantine" / "rejected.csv")

        with (tmp_path / "quarantine" / "rejected.csv").open(newline="") as file:
            first, _ = csv.DictReader(file)
        assert first["reasons"] == "sex: unknown category"
        assert json.loads(first["row"])["sex"] == 'say "what", now'

    @given(data=st.data())
    @settings(deadline=None, max_examples=40)
    def test_every_row_is_either_taken_or_kept_with_a_reason(self, data, tmp_path_factory):
        texts = st.sampled_from(["", "1", "-1", "30", "1e400", "inf", "male", "no_delay", "x,y", "é", " ", "1 2"])
        ids = st.sampled_from(["", "1", "2", "3", "x"])
        rows = data.draw(
            st.lists(st.fixed_dictionaries({CLIENT_ID: ids, **dict.fromkeys(FEATURE_NAMES, texts)}), max_size=6)
        )
        path = write_csv(tmp_path_factory.mktemp("any") / "clients.csv", rows, [CLIENT_ID, *FEATURE_NAMES])

        accepted = accept([path], dataset="inference")

        taken, refused = (part["source_row"].to_pylist() for part in (accepted.table, accepted.rejected.table()))
        assert sorted(taken + refused) == list(range(1, len(rows) + 1))
        assert all(accepted.rejected.table()["reasons"].to_pylist())
        for feature in FEATURES:
            for value in accepted.table[feature.name].to_pylist():
                assert value is None or value in feature.categories or feature.name in NUMBERS

    def test_counts_and_reasons_hold_no_value_of_a_row(self, taken):
        accepted = taken([client(0, **{CLIENT_ID: SECRET}, age=SECRET), client(1, sex=SECRET)])

        assert SECRET not in json.dumps(accepted.counts)
        assert SECRET not in str(accepted.rejected.table()["reasons"].to_pylist())


class TestClientIds:
    @pytest.mark.parametrize("column", ["client_id", "id", "ID"])
    def test_an_id_column_may_have_three_names(self, taken, column):
        row = {column if name == CLIENT_ID else name: value for name, value in client(4).items()}

        accepted = taken([row])

        assert accepted.table[CLIENT_ID].to_pylist() == ["5"]
        assert accepted.counts["rows_without_client_id"] == 0
        assert accepted.counts["extra_columns"] == []

    def test_without_an_id_column_ids_are_made_from_file_and_row_and_counted(self, taken):
        accepted = taken(clients(2), FEATURE_NAMES)

        assert accepted.table[CLIENT_ID].to_pylist() == ["clients.csv:1", "clients.csv:2"]
        assert accepted.counts["rows_without_client_id"] == 2

    def test_made_ids_hold_the_day_so_that_a_file_of_one_name_every_day_brings_other_clients(self, tmp_path):
        path = write_csv(tmp_path / "clients.csv", clients(2), FEATURE_NAMES)

        days = [accept([path], dataset="inference", day=f"2026-01-{day}").table for day in (30, 31)]

        assert [table[CLIENT_ID].to_pylist() for table in days] == [
            ["2026-01-30/clients.csv:1", "2026-01-30/clients.csv:2"],
            ["2026-01-31/clients.csv:1", "2026-01-31/clients.csv:2"],
        ]

    @pytest.mark.parametrize(
        "word",
        ["", " ", "NaN", "nan", "NA", "N/A", "#N/A", "null", "NULL", "None", r"\N", "<NA>", "-nan", "(null)", "."],
    )
    def test_a_word_for_nothing_is_no_client(self, taken, word):
        rows = [client(number, target=True) for number in range(3)]
        rows[1][CLIENT_ID] = rows[2][CLIENT_ID] = word

        clients, outcomes = taken(rows), taken(rows, dataset="outcomes")

        assert clients.table[CLIENT_ID].to_pylist() == ["1", "clients.csv:2", "clients.csv:3"]
        assert clients.counts["rows_without_client_id"] == 2
        # Nobody can say whose outcome it is.
        assert outcomes.table[CLIENT_ID].to_pylist() == ["1"]
        assert rejections(outcomes) == [(2, "client_id: is missing"), (3, "client_id: is missing")]

    @pytest.mark.parametrize("name", ["Client_ID", "customer_id", "CLIENTID", "Id", "client id", "customerNo"])
    def test_a_column_that_looks_like_ids_and_is_none_is_pointed_out(self, taken, name):
        rows = [{name if column == CLIENT_ID else column: value for column, value in client(4, target=True).items()}]

        counts = taken(rows).counts

        assert (counts["rows_without_client_id"], counts["id_like_columns"]) == (1, [name])
        with pytest.raises(
            ContractError, match=rf"missing column client_id \({name} looks like one: name it client_id"
        ):
            taken(rows, dataset="outcomes")

    def test_where_there_are_ids_no_other_column_is_taken_for_them(self, taken):
        accepted = taken([{**client(0), "customer_id": SECRET, "ID": SECRET}])

        assert accepted.table[CLIENT_ID].to_pylist() == ["1"]
        assert accepted.counts["id_like_columns"] == []

    def test_a_row_that_is_no_header_is_not_pointed_out(self, tmp_path):
        path = tmp_path / "outcomes.csv"
        path.write_text(f"{SECRET}-id,1\n2,0\n")

        with pytest.raises(ContractError) as caught:
            accept([path], dataset="outcomes")

        assert SECRET not in str(caught.value)

    def test_equal_rows_of_one_client_are_taken_once_across_files_and_spellings(self, tmp_path):
        first = write_csv(tmp_path / "a.csv", [client(0), client(1), client(0)])
        second = write_parquet(tmp_path / "b.parquet", [client(1)])

        accepted = accept([first, second], dataset="inference")

        assert accepted.table[CLIENT_ID].to_pylist() == ["1", "2"]
        assert [(row["source_file"], row["source_row"]) for row in accepted.rejected.table().to_pylist()] == [
            ("a.csv", 3),
            ("b.parquet", 1),
        ]
        assert accepted.counts["by_reason"] == {"client_id: duplicate of an earlier row": 2}

    def test_of_a_client_with_different_values_no_row_is_taken(self, taken):
        rows = [client(0), client(1), client(0, age=77), client(0), client(2, age=None), client(2)]

        accepted = taken(rows)

        assert accepted.table[CLIENT_ID].to_pylist() == ["2"]
        reason = "client_id: occurs more than once with different values"
        assert rejections(accepted) == [(row, reason) for row in (1, 3, 4, 5, 6)]

    def test_a_row_that_breaks_another_rule_does_not_take_the_client_with_it(self, taken):
        accepted = taken([client(0, age="?"), client(0)])

        assert accepted.table["source_row"].to_pylist() == [2]
        assert rejections(accepted) == [(1, "age: not a number")]

    def test_rows_with_made_ids_are_never_duplicates(self, taken):
        assert taken([client(0), client(0)], FEATURE_NAMES).counts["accepted"] == 2


class TestTargets:
    @pytest.mark.parametrize("dataset", ["curated", "outcomes"])
    def test_it_may_be_written_in_many_ways(self, taken, dataset):
        written = ["0", "0.0", "False", "false", "FALSE", " 0 ", "1", "1.0", "True", "true", "TRUE"]
        rows = [client(number, **{TARGET: text}) for number, text in enumerate(written)]

        accepted = taken(rows, dataset=dataset)

        assert accepted.table[TARGET].to_pylist() == [0] * 6 + [1] * 5

    @pytest.mark.parametrize("values", [[True, False], [1, 0], [1.0, 0.0], ["True", "0"]])
    def test_it_may_have_many_types_in_parquet(self, tmp_path, values):
        rows = [client(number, **{TARGET: value}) for number, value in enumerate(values)]

        accepted = accept([write_parquet(tmp_path / "c.parquet", rows)], dataset="curated")

        assert accepted.table[TARGET].to_pylist() == [1, 0]

    @pytest.mark.parametrize("dataset", ["curated", "outcomes"])
    def test_a_missing_or_strange_one_is_rejected(self, taken, dataset):
        rows = [client(number, **{TARGET: text}) for number, text in enumerate(["1", "", "nan", "2", "yes", "0.5"])]

        accepted = taken(rows, dataset=dataset)

        missing, strange = f"{TARGET}: is missing", f"{TARGET}: must be 0 or 1"
        assert rejections(accepted) == [(2, missing), (3, missing), (4, strange), (5, strange), (6, strange)]

    def test_outcomes_need_nothing_but_a_client_and_a_target(self, taken):
        rows = [{CLIENT_ID: "7", TARGET: "True"}, {CLIENT_ID: "", TARGET: "0"}, {CLIENT_ID: "8", TARGET: "0"}]

        accepted = taken(rows, dataset="outcomes")

        assert accepted.table.schema.equals(tables.outcomes_schema())
        assert accepted.table.select([CLIENT_ID, TARGET]).to_pylist() == [
            {CLIENT_ID: "7", TARGET: 1},
            {CLIENT_ID: "8", TARGET: 0},
        ]
        assert rejections(accepted) == [(2, "client_id: is missing")]

    def test_contradicting_outcomes_of_a_client_are_both_rejected(self, taken):
        rows = [{CLIENT_ID: "7", TARGET: "1"}, {CLIENT_ID: "7", TARGET: "0"}, {CLIENT_ID: "8", TARGET: "1"}]

        assert taken(rows, dataset="outcomes").table[CLIENT_ID].to_pylist() == ["8"]

    def test_outcomes_without_an_id_column_are_refused_since_they_cannot_be_joined(self, taken):
        with pytest.raises(
            ContractError, match=rf"clients\.csv: missing column client_id; expected.+client_id and {TARGET}"
        ):
            taken([{TARGET: "1"}], dataset="outcomes")


class TestFilesThatAreRefused:
    def test_a_missing_column_is_named_with_what_was_expected(self, taken):
        columns = [name for name in client() if name not in {"age", "sex"}]

        with pytest.raises(ContractError) as caught:
            taken(clients(2), columns)

        message = str(caught.value)
        assert message.startswith("clients.csv: missing columns sex, age")
        assert "repayment_status_6" in message

    def test_a_training_file_without_a_target_is_refused(self, taken):
        with pytest.raises(ContractError, match=f"missing column {TARGET}"):
            taken(clients(2), dataset="curated")

    def test_a_file_without_a_header_tells_no_value_of_its_first_row(self, tmp_path):
        path = tmp_path / "clients.csv"
        path.write_text(f"{SECRET},male,university\n1,female,others\n")

        with pytest.raises(ContractError) as caught:
            accept([path], dataset="inference")

        assert "is the first line a header" in str(caught.value)
        assert SECRET not in str(caught.value)

    def test_a_semicolon_as_delimiter_is_named(self, tmp_path):
        path = tmp_path / "clients.csv"
        path.write_text(csv_text(clients(1)).replace(",", ";"))

        with pytest.raises(ContractError, match="separated by semicolons, expected commas"):
            accept([path], dataset="inference")

    def test_every_file_that_cannot_be_used_is_named_at_once(self, tmp_path):
        good = write_csv(tmp_path / "a.csv", clients(1))
        empty = tmp_path / "b.csv"
        empty.touch()
        folder = tmp_path / "x.csv"
        folder.mkdir()

        with pytest.raises(UnreadableFile) as caught:
            accept([good, empty, folder], dataset="inference")

        assert "b.csv: is empty" in str(caught.value)
        assert "x.csv: is a folder" in str(caught.value)
        assert "a.csv" not in str(caught.value)


def test_rows_come_in_the_order_of_files_and_rows(tmp_path):
    paths = [write_csv(tmp_path / name, clients(2, start=start)) for name, start in (("a.csv", 4), ("b.csv", 0))]

    table = accept(paths, dataset="inference").table

    assert table[CLIENT_ID].to_pylist() == ["5", "6", "1", "2"]
    assert table["source_row"].to_pylist() == [1, 2, 1, 2]


def test_the_codes_of_a_category_are_the_same_in_every_file(tmp_path):
    rows = [client(0, repayment_status_1="delay_2_months"), client(1, repayment_status_1="duly_paid")]
    paths = [write_csv(tmp_path / f"{n}.csv", [row]) for n, row in enumerate(rows)]

    for chunk in accept(paths, dataset="inference").table["repayment_status_1"].chunks:
        assert chunk.dictionary.to_pylist() == list(REPAYMENT_STATES)


class TestFilesOfTheSameBytes:
    def test_the_first_by_name_is_read_and_the_others_are_named_for_every_dataset(self, tmp_path):
        for dataset, target in (("inference", False), ("curated", True), ("outcomes", True)):
            rows = clients(3, target=target)
            names = [name for name in rows[0] if name != CLIENT_ID] if dataset == "inference" else None
            first, again, other = (tmp_path / dataset / name for name in ("a.csv", "b.csv", "c.csv"))
            write_csv(first, rows, names)
            again.write_bytes(first.read_bytes())
            write_csv(other, rows[:1], names)

            counts = accept([first, again, other], dataset=dataset).counts

            assert counts["rows"] == 4, "without ids, each row would be two clients"
            assert {name: about["rows"] for name, about in counts["files"].items()} == {
                "a.csv": 3,
                "b.csv": 0,
                "c.csv": 1,
            }
            assert {name: about.get("same_as") for name, about in counts["files"].items()} == {
                "a.csv": None,
                "b.csv": "a.csv",
                "c.csv": None,
            }
            assert counts["files"]["b.csv"]["sha256"] == counts["files"]["a.csv"]["sha256"]


def test_a_file_that_a_person_names_may_be_a_link_and_one_that_landed_may_not(tmp_path):
    write_csv(tmp_path / "a.csv", clients(2))
    link = tmp_path / "link.csv"
    link.symlink_to("a.csv")

    accepted = accept([link], dataset="inference", follow_links=True)

    assert accepted.table["source_file"].unique().to_pylist() == ["link.csv"]
    with pytest.raises(UnreadableFile, match=r"link\.csv: is a link; put the file itself here"):
        accept([link], dataset="inference")


class TestExtraColumns:
    def test_the_first_are_named_and_all_are_counted(self, taken):
        rows = [{**client(0), **{f"more {number:03}": SECRET for number in range(300)}}]

        counts = taken(rows).counts

        assert counts["extra_columns"] == [f"more {number:03}" for number in range(20)]
        assert counts["extra_columns_count"] == 300
        assert SECRET not in str(counts)

    def test_a_name_that_is_long_or_cannot_be_printed_is_shown_short_and_escaped(self, taken):
        (shown,) = taken([{**client(0), "\x1b[31m" + "n" * 100_000: 1}]).counts["extra_columns"]

        assert shown.startswith(r"\x1b[31mnnn")
        assert len(shown) < 100


def test_no_files_are_no_rows():
    accepted = accept([], dataset="curated")

    assert accepted.table.schema.equals(tables.schema(target=True, source=True))
    assert accepted.counts["rows"] == 0
