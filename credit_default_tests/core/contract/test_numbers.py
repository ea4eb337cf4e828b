"""One grammar for numbers, whatever stands in the other rows and whatever type a file has."""

from __future__ import annotations

import re
import struct
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_default.core.contract.missing import MISSING_WORDS
from credit_default.core.contract.numbers import parse, to_float64
from credit_default.core.schema import BY_NAME, CATEGORIES
from credit_default_tests.strategies import texts_like_numbers

_GRAMMAR = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)


def parsed(*texts: str | None) -> list[tuple[float | None, bool]]:
    values, wrong = parse(pa.array(texts, pa.string()))
    return list(zip(values.to_pylist(), wrong.tolist(), strict=True))


@given(text=texts_like_numbers())
@settings(max_examples=200, deadline=None)
def test_a_text_is_what_it_is_whatever_the_other_rows_are(text):
    (alone,) = parsed(text)
    for other in ("", "x", "1", "NULL", "+1"):
        assert repr(parsed(text, other)[0]) == repr(alone)
        assert repr(parsed(other, text)[1]) == repr(alone)


@given(text=texts_like_numbers())
@settings(max_examples=200, deadline=None)
def test_numbers_are_those_of_the_grammar_and_have_the_nearest_value(text):
    ((value, wrong),) = parsed(text)
    plain = pc.utf8_trim_whitespace(pa.scalar(text)).as_py()
    if _GRAMMAR.fullmatch(plain) or _INFINITE.fullmatch(plain):
        assert (value, wrong) == (float(plain), False)
    else:
        assert (value, wrong) == (None, plain.lower() not in MISSING_WORDS)


@pytest.mark.parametrize(
    ("text", "value"),
    [("+4000", 4000), ("1e0005", 100_000), ("1.5E+03", 1500), (".5", 0.5), ("5.", 5), ("1e999", float("inf"))],
)
def test_what_programs_write_is_a_number(text, value):
    assert parsed(text) == [(value, False)]


@pytest.mark.parametrize(
    "text", ["1_000", "1,000", "0x1", "1d5", "4000-", "\uff11", "nan(1)", "--1", "1e", ".e1", "#DIV/0!"]
)
def test_what_may_mean_anything_is_none(text):
    assert parsed(text) == [(None, True)]


@pytest.mark.parametrize("word", ["NAN", "NaN", "-nan", "NULL", "None", "N/A", "#N/A", r"\N", "<NA>", " NA ", "", None])
def test_words_for_nothing_are_missing(word):
    assert parsed(word, "1") == [(None, False), (1.0, False)]


def test_no_category_is_a_word_for_nothing():
    assert not {category.lower() for name in CATEGORIES for category in BY_NAME[name].categories} & set(MISSING_WORDS)


@given(bits=st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_a_float32_is_the_number_that_it_is_written_as(bits):
    value = np.frombuffer(struct.pack("<I", bits), np.float32)
    assert to_float64(pa.array(value)).to_numpy() == pytest.approx(np.array([float(str(value[0]))]), rel=0, nan_ok=True)


@given(value=st.decimals(-(10**15), 10**15, places=4, allow_nan=False))
@settings(max_examples=300)
def test_a_decimal_is_the_nearest_float(value):
    assert to_float64(pa.array([value], pa.decimal128(30, 4))).to_pylist() == [float(value)]


def test_every_type_of_number_is_converted():
    for kind in (pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.float64()):
        assert to_float64(pa.array([3, None]).cast(kind)).to_pylist() == [3.0, None], kind
    assert to_float64(pa.array([Decimal("0.1"), None], pa.decimal256(60, 40))).to_pylist() == [0.1, None]
    assert to_float64(pa.array(np.array([0.1, np.inf], np.float16))).to_pylist() == [0.1, float("inf")]
