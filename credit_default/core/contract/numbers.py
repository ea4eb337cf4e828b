r"""One grammar for numbers that are written as text, and one way to float64 for those that are not.

::

    number   = [sign] (digits ["." [digits]] | "." digits) [("e" | "E") [sign] digits]
    infinity = [sign] ("inf" | "infinity"), in any case

Digits are ASCII. So ``+4000``, ``.5``, ``5.``, ``1.5E+03`` and ``1e0005`` are numbers, and ``1,000``, ``1_000``,
``0x1F``, ``1d5`` and ``4000-`` are none. White space around a number is ignored. A number beyond the range of a
float64 is infinite. Whether a text is a number never depends on the other rows.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from credit_default.core.contract.missing import is_missing

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
#: In text of these characters Arrow knows the same grammar (a property test compares the two), many times faster.
_CHARACTERS = b"0123456789.eE+-"


def parse(text: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Turn text (of type string) into float64, null where it is missing or wrong; and find what is wrong."""
    if consists_of(text, _CHARACTERS):
        try:
            return text.cast(pa.float64()), np.zeros(len(text), bool)
        except pa.ArrowInvalid:
            pass  # a missing value, or one that is no number
    trimmed = pc.utf8_trim_whitespace(text)
    number = pc.fill_null(pc.match_substring_regex(trimmed, _NUMBER), False)
    wrong = pc.invert(pc.or_(number, is_missing(trimmed))).to_numpy(zero_copy_only=False)
    return pc.if_else(number, trimmed, pa.scalar(None, trimmed.type)).cast(pa.float64()), wrong


def to_float64(column: pa.Array) -> pa.Array:
    """Convert integers, floats and decimals to the float64 that the same values have when they are read as text.

    A float32 becomes the shortest decimal that stands for it: 0.1, and not 0.10000000149011612. A decimal becomes
    the nearest float64, which Arrow's own conversion misses (it multiplies by 0.1 instead of dividing by 10).
    """
    if pa.types.is_float16(column.type):
        values = column.to_numpy(zero_copy_only=False)
        column = pa.array(values.astype(str), mask=column.is_null().to_numpy(zero_copy_only=False))
    elif pa.types.is_float32(column.type) or pa.types.is_decimal(column.type):
        column = column.cast(pa.string())
    return column.cast(pa.float64(), safe=False)


def consists_of(text: pa.Array, characters: bytes) -> bool:
    """Tell whether text (of type string) holds these characters only; may say no where nulls hide others."""
    _, offsets, data = text.buffers()
    if data is None or len(text) == 0:
        return True
    bounds = np.frombuffer(offsets, np.int32)
    used = data.slice(bounds[text.offset], bounds[text.offset + len(text)] - bounds[text.offset])
    return not used.to_pybytes().translate(None, characters)
