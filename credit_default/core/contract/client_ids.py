r"""One way of writing a client's id, whatever it came in: CSV, Parquet, JSON or outcomes.

- White space around an id is ignored; the words of `credit_default.core.contract.missing` are no id.
- A whole number is written in digits: ``1001``, ``1001.0``, ``1001.``, ``+1001`` and ``1.001e3`` are the client
  ``1001``, and so are the integers, floats and decimals of Parquet. An exponent counts where programs write one:
  after one digit before the point, and within the range of a float64.
- A number with a point or an exponent that is 2^53 or more has been a float64, which is no exact number there (in a
  float32 from 2^24, in a float16 from 2^11): two clients may have become one, so such a row is refused.
- A UUID is written in lower case with hyphens. ``fixed_size_binary(16)`` is one, too, unless it is printable ASCII,
  which no UUID of RFC 9562 is: its variant sets the highest bit of the ninth byte.
- Everything else stays exactly as it is: ``007`` (and ``007.0``), ``1.50``, ``0x10``, ``1_000``, ``1e400``, ``A-7``,
  digits that are not ASCII. Text that holds U+FFFD has lost a character, so such a row is refused.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core.contract.missing import is_missing
from credit_default.core.contract.numbers import consists_of
from credit_default.core.contract.rules import Broken, Mask, refused_type
from credit_default.core.files.plain_columns import LOST_CHARACTER, is_text, plain, unwrapped
from credit_default.core.schema import CLIENT_ID

INEXACT = f"{CLIENT_ID}: a floating-point number too large to be exact"
INFINITE = f"{CLIENT_ID}: infinite"
DAMAGED = f"{CLIENT_ID}: holds a character that was lost (U+FFFD)"

#: Whole numbers of each type of floats are exact below these.
MAX_EXACT = {pa.float16(): 2**11, pa.float32(): 2**24, pa.float64(): 2**53}
_NOTHING = pa.scalar(None, pa.string())
_UUID_BYTES = 16
_DIGITS = b"0123456789"
_WHOLE = r"^(?:\+|(-))?(0|[1-9]\d*)(?:\.0*)?$"
#: Long enough to be 2^53 and written as a float is.
_LARGE = r"^[+-]?[1-9]\d{15,}\.0*$"
_SCIENTIFIC = r"^[+-]?\d(\.\d*)?[eE][+-]?\d{1,3}$"
_UUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
#: The largest power of ten in a float64.
_MAX_EXPONENT = 308

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_IDENTIFIERS = {"id", "ids", "uuid", "guid"}
_CLIENTS = {"account", "acct", "applicant", "borrower", "cardholder", "client", "cust", "customer", "debtor", "member"}
_CLIENTS |= {"obligor", "party", "person", "user"}
_NUMBERS = {"code", "key", "no", "nr", "num", "number", "ref", "reference"}


def normalise(file: str, name: str, column: pa.Array) -> tuple[pa.Array, Broken]:
    """Write ids as text, null where there is none, and find those that cannot be used (they are empty text).

    Raises
    ------
    ContractError
        The column is of a type that holds no ids.
    """
    column = unwrapped(column)
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == _UUID_BYTES:
        return _of_text(_of_sixteen_bytes(column))
    column = plain(column)
    if pa.types.is_floating(column.type):
        return _of_floats(column)
    if pa.types.is_integer(column.type):
        return column.cast(pa.string()), []
    if pa.types.is_decimal(column.type):
        return _of_text(column.cast(pa.string()), exact=True)
    if is_text(column.type):
        return _of_text(column)
    raise refused_type(file, name, column.type, "text or whole numbers")


def rewrite(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write ids of a stored table as they are written now; one that would be refused now stays as it is."""
    chunks = []
    for chunk in ids.chunks:
        written, _ = _of_text(chunk)
        chunks.append(pc.if_else(pc.fill_null(pc.equal(written, ""), True), chunk, written))
    return pa.chunked_array(chunks, pa.string())


def look_like_ids(names: Iterable[str]) -> list[str]:
    """Return the names of columns that a person would take for ids: ``Client_ID``, ``customerId``, ``account no``."""
    return [name for name in names if _looks_like_id(name)]


def _looks_like_id(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    *first, last = words
    if not _IDENTIFIERS.isdisjoint(words) or "".join(words).removesuffix("id") in _CLIENTS:
        return True
    return last in _NUMBERS and not _CLIENTS.isdisjoint(first)


def _of_sixteen_bytes(column: pa.Array) -> pa.Array:
    return pa.array([None if value is None else _text_of(value) for value in column.to_pylist()], pa.string())


def _text_of(value: bytes) -> str:
    is_text = value.isascii() and value.decode("ascii").isprintable()
    return value.decode("ascii") if is_text else str(uuid.UUID(bytes=value))


def _of_floats(column: pa.Array) -> tuple[pa.Array, Broken]:
    numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    missing, infinite = np.isnan(numbers), np.isinf(numbers)
    large = (np.abs(numbers) >= MAX_EXACT[column.type]) & ~infinite
    whole = ~(missing | infinite | large) & (np.mod(np.where(missing | infinite, 0, numbers), 1) == 0)
    digits = pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string())
    ids = pc.if_else(pa.array(missing), _NOTHING, pc.if_else(pa.array(infinite | large), "", digits))
    if (fractions := ~(whole | missing | infinite | large)).any():
        written = column.filter(pa.array(fractions)).to_numpy(zero_copy_only=False).astype(str)
        ids = pc.replace_with_mask(ids, pa.array(fractions), pa.array(written, pa.string()))
    return ids, _found((INFINITE, infinite), (INEXACT, large))


def _of_text(text: pa.Array, *, exact: bool = False) -> tuple[pa.Array, Broken]:
    """Normalise text; ``exact`` says that no number in it has been a float."""
    if consists_of(text, _DIGITS):
        return pc.if_else(pc.equal(text, ""), _NOTHING, text), []
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(is_missing(text), _NOTHING, text)
    damaged = _mask(pc.match_substring(text, LOST_CHARACTER))
    inexact = np.zeros(len(text), bool)
    if not exact and (large := _mask(pc.match_substring_regex(text, _LARGE))).any():
        numbers = pc.if_else(pa.array(large), text, _NOTHING).cast(pa.float64())
        inexact |= _mask(pc.greater_equal(pc.abs(numbers), float(MAX_EXACT[pa.float64()])))
    if (scientific := _mask(pc.match_substring_regex(text, _SCIENTIFIC))).any():
        places = np.flatnonzero(scientific)
        written = [_in_digits(word, exact=exact) for word in text.take(pa.array(places)).to_pylist()]
        inexact[places] |= np.array([word is None for word in written])
        text = pc.replace_with_mask(text, pa.array(scientific), pa.array(written, pa.string()))
    if (uuids := _mask(pc.match_substring_regex(text, _UUID))).any():
        text = pc.if_else(pa.array(uuids), pc.ascii_lower(text), text)
    text = pc.replace_substring_regex(text, _WHOLE, r"\1\2")
    text = pc.if_else(pc.equal(text, "-0"), "0", text)
    return pc.if_else(pa.array(damaged | inexact), "", text), _found((DAMAGED, damaged), (INEXACT, inexact))


def _found(*rules: tuple[str, Mask]) -> Broken:
    return [rule for rule in rules if rule[1].any()]


def _mask(values: pa.Array) -> Mask:
    mask: Mask = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return mask


def _in_digits(word: str, *, exact: bool) -> str | None:
    """Write a whole number in digits; leave any other as it is; None stands for one that is not exact."""
    number = Decimal(word)
    if number.adjusted() > _MAX_EXPONENT or number != number.to_integral_value():
        return word
    return None if not exact and abs(number) >= MAX_EXACT[pa.float64()] else f"{int(number)}"
