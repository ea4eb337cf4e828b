"""Rows of JSON are held to the contract of files, and JSON's own types besides."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from credit_default.core.contract.contract import accept
from credit_default.core.contract.json_rows import SCHEMA, check_rows
from credit_default.core.schema import CATEGORIES, CLIENT_ID, FEATURE_NAMES, NUMBERS
from credit_default_tests.strategies import client, client_rows, clients, write_parquet


def reasons(row: dict) -> list[str]:
    _, problems = check_rows([client(0), row])
    assert {problem.row for problem in problems} <= {2}, "the other row is in order"
    return [problem.reason for problem in problems]


@given(rows=client_rows())
@settings(max_examples=50, deadline=None)
def test_rows_that_keep_the_contract_become_what_a_file_of_them_becomes(rows, tmp_path_factory):
    table, problems = check_rows(json.loads(json.dumps(rows)))
    assert problems == []
    assert table.schema == SCHEMA
    file = write_parquet(tmp_path_factory.mktemp("rows") / "rows.parquet", rows)
    assert table.to_pylist() == accept([file], dataset="inference").table.select(SCHEMA.names).to_pylist()


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["30", "thirty", "", True, False, [30], {"is": 30}])
def test_a_number_has_to_be_a_number(name, value):
    assert reasons(client(1, **{name: value})) == [f"{name}: not a number"]


@pytest.mark.parametrize("name", CATEGORIES)
@pytest.mark.parametrize("value", [1, 1.0, True, ["male"], "\ud800"])
def test_a_category_has_to_be_text(name, value):
    assert reasons(client(1, **{name: value})) == [f"{name}: not text"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sex": "other"}, "sex: unknown category"),
        ({"age": 17}, "age: below the minimum 18"),
        ({"age": 121.5}, "age: above the maximum 120"),
        ({"credit_limit": -1}, "credit_limit: below the minimum 0"),
        ({"bill_amount_1": float("inf")}, "bill_amount_1: infinite"),
        ({"bill_amount_1": -(10**400)}, "bill_amount_1: infinite"),
        ({"client_id": 1.5}, "client_id: not text or a whole number"),
        ({"client_id": True}, "client_id: not text or a whole number"),
        ({"client_id": ["A"]}, "client_id: not text or a whole number"),
        ({"client_id": "x" * 1001}, "client_id: longer than 1000 characters"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_breaks_a_rule_is_told_by_the_contracts_own_words(change, reason):
    assert reasons(client(1, **change)) == [reason]


def test_everything_that_is_wrong_is_told_by_row_and_without_a_value():
    rows = clients(4)
    rows[1] |= {"age": 987_654, "sex": "secret"}
    rows[3]["age"] = "secret"
    _, problems = check_rows(rows)
    assert [problem.row for problem in problems] == [2, 2, 4]
    told = json.dumps(problems)
    assert "secret" not in told
    assert "987" not in told


def test_null_is_a_missing_value_and_an_absent_column_is_not():
    row = client(1, age=None, sex=None)
    assert reasons(row) == []
    del row["age"], row["sex"]
    assert reasons(row) == ["sex: is absent (null is a missing value)", "age: is absent (null is a missing value)"]


def test_a_row_without_any_value_is_refused():
    assert reasons({CLIENT_ID: "A", **dict.fromkeys(FEATURE_NAMES)}) == ["row: every feature is missing"]


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        ({"client_id": "A"}, "A"),
        ({"client_id": " A "}, "A"),
        ({"client_id": ""}, None),
        ({"client_id": None, "id": "B"}, None),
        ({"id": 17}, "17"),
        ({"ID": 2**70}, str(2**70)),
        ({"id": "A", "ID": "B"}, "A"),
        ({}, None),
    ],
)
def test_a_client_is_known_by_the_same_columns_as_in_a_file(given_as, expected):
    row = client(0)
    del row[CLIENT_ID]
    table, problems = check_rows([{**row, "branch": "north", **given_as}])
    assert problems == []
    assert table[CLIENT_ID].to_pylist() == [expected]


def test_no_rows_are_no_problem():
    table, problems = check_rows([])
    assert (table.num_rows, table.schema, problems) == (0, SCHEMA, [])
