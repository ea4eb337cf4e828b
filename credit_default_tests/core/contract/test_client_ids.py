"""A client has one id, whatever format, type or program wrote it."""

from __future__ import annotations

import uuid
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core.contract import json_rows
from credit_default.core.contract.client_ids import DAMAGED, INEXACT, INFINITE, normalise
from credit_default.errors import ContractError
from credit_default_tests.strategies import client, texts_like_numbers

UUID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def ids(values, kind=None):
    """Ids, and the rules that they broke."""
    column = values if isinstance(values, pa.Array) else pa.array(values, kind or pa.string())
    found, broken = normalise("clients.csv", "client_id", column)
    assert len(found) == len(column)
    return found.to_pylist(), [rule for rule, _ in broken]


@given(number=st.integers(0, 2**53 - 1))
@settings(max_examples=60, deadline=None)
def test_a_whole_number_is_one_client_in_every_format(number):
    scientific = np.format_float_scientific(float(number), exp_digits=2)
    texts = [f"{number}", f" {number} ", f"{number}.0", f"{number}.", f"+{number}", f"{number}.000", scientific]
    assert ids([*texts, "another-client"]) == ([str(number)] * len(texts) + ["another-client"], [])
    assert ids([number], pa.int64()) == ids([float(number)], pa.float64()) == ([str(number)], [])
    for scale, kind in ((0, pa.decimal128(38, 0)), (2, pa.decimal128(38, 2)), (30, pa.decimal256(70, 30))):
        assert ids([Decimal(number).quantize(Decimal(1).scaleb(-scale)) if scale < 10 else Decimal(number)], kind) == (
            [str(number)],
            [],
        )
    for value in (number, float(number), f"{number}.0"):
        table, problems = json_rows.check_rows([client(0, client_id=value)])
        assert (table["client_id"].to_pylist(), problems) == ([str(number)], [])


@given(text=texts_like_numbers(), other=st.sampled_from(["", "x", "1", "1.0", "NULL"]))
@settings(max_examples=200, deadline=None)
def test_an_id_does_not_depend_on_other_ids_and_is_read_the_same_again(text, other):
    (alone,), rules = ids([text])
    assert ids([text, other])[0][0] == ids([other, text])[0][1] == alone
    assert not rules or alone == ""
    assert alone in (None, "") or ids([alone]) == ([alone], [])


@pytest.mark.parametrize(
    "text",
    ["007", "007.0", "1.50", "0x10", "1_000", "1e400", "12e3", "1e-3", "A-7", "\uff11\uff10", "9" * 40, "1,000", "-"],
)
def test_text_that_may_mean_anything_stays_as_it_is(text):
    assert ids([f" {text} ", "x"]) == ([text, "x"], [])


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array(["9007199254740993.0"]), INEXACT),
        (pa.array(["1.23456789e+17"]), INEXACT),
        (pa.array([2.0**53]), INEXACT),
        (pa.array(np.array([2**24], np.float32)), INEXACT),
        (pa.array(np.array([2**11], np.float16)), INEXACT),
        (pa.array([float("-inf")]), INFINITE),
        (pa.array(["Ren\ufffd"]), DAMAGED),
        (pa.array([b"Ren\xe9"]), DAMAGED),
    ],
    ids=str,
)
def test_ids_that_may_be_several_clients_are_refused(column, reason):
    assert ids(column) == ([""], [reason])


def test_large_numbers_that_were_never_floats_are_exact():
    large = 12345678901234567890123456789012345678
    assert ids([Decimal(large)], pa.decimal128(38, 0)) == ids([str(large)]) == ([str(large)], [])
    assert ids([2**64 - 1], pa.uint64()) == ([str(2**64 - 1)], [])
    _, problems = json_rows.check_rows([client(0, client_id=2.0**53)])
    assert [problem.reason for problem in problems] == [INEXACT]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([uuid.UUID(UUID).bytes, None], pa.uuid()),
        pa.array([uuid.UUID(UUID).bytes, None], pa.binary(16)),
        pa.array([UUID.upper(), None]),
        pa.array([UUID.encode(), None], pa.large_binary()),
        pa.array([UUID, None], pa.string_view()),
        pa.array([UUID, "NULL"], pa.large_string()).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_a_uuid_is_one_client_however_it_is_kept(column):
    assert ids(column) == ([UUID, None], [])


def test_minus_zero_is_the_client_zero():
    assert ids(["-0", "-0.0", "+0", "0"]) == (["0"] * 4, [])


def test_sixteen_characters_of_text_are_no_uuid():
    column = pa.array([b"0000000000001001", b"ACCT-00000000-42", uuid.UUID(UUID).bytes, None], pa.binary(16))
    assert ids(column) == (["0000000000001001", "ACCT-00000000-42", UUID, None], [])


@pytest.mark.parametrize("column", [pa.array([True]), pa.array([[1]]), pa.array([0], pa.date32())], ids=str)
def test_what_can_be_no_id_is_refused_as_a_column(column):
    with pytest.raises(ContractError, match=r"clients\.csv, column client_id: has type .+; expected text or whole"):
        ids(column)
