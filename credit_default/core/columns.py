"""Columns of files from outside: what may stand in them, and the type that they get.

Every function here takes an Arrow column as it came and gives it back typed, with the rules that its values
broke and where. A value that broke one is null (or, in the target, 0) until its row is taken out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from credit_default.core.schema import BY_NAME, TARGET, Feature
from credit_default.errors import ContractError

Mask = NDArray[np.bool_]
#: Rules that a column's values broke, and the rows in which they did.
Broken = list[tuple[str, Mask]]

#: Spellings of a missing value in text files; an empty field is the usual one.
MISSING_WORDS = ("", "NaN", "nan", "NA", "null")
_NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?$|^-?(?i:inf|infinity)$"
_TARGETS = {"true": 1, "false": 0}


def client_ids(file: str, name: str, ids: pa.Array) -> pa.Array:
    """Give client ids as text, null where there is none; whole numbers are written without a point."""
    if pa.types.is_dictionary(ids.type):
        ids = ids.cast(ids.type.value_type)
    if pa.types.is_floating(ids.type):
        numbers = ids.to_numpy(zero_copy_only=False)
        ids = pa.array(numbers, mask=np.isnan(numbers))
        if bool((np.nan_to_num(numbers) % 1 == 0).all()) and bool((np.abs(np.nan_to_num(numbers)) < 2**63).all()):
            ids = ids.cast(pa.int64())
    elif not (is_text(ids.type) or pa.types.is_integer(ids.type) or pa.types.is_null(ids.type)):
        raise _refusal(file, name, ids.type, "text or whole numbers")
    text = pc.utf8_trim_whitespace(ids.cast(pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def typed(file: str, name: str, column: pa.Array) -> tuple[pa.Array, Broken]:
    """Give a feature or the target its type.

    Raises
    ------
    ContractError
        The column is of a type that cannot hold it; values of it are never quoted.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if name == TARGET:
        return _target(file, column)
    feature = BY_NAME[name]
    return (_category if feature.kind == "category" else _number)(file, column, feature)


def is_text(got: pa.DataType) -> bool:
    """Tell whether a type holds text, however it is laid out."""
    return bool(pa.types.is_string(got) or pa.types.is_large_string(got) or pa.types.is_string_view(got))


def _is_number(got: pa.DataType) -> bool:
    return bool(pa.types.is_integer(got) or pa.types.is_floating(got) or pa.types.is_decimal(got))


def _number(file: str, column: pa.Array, feature: Feature) -> tuple[pa.Array, Broken]:
    broken: Broken = []
    if is_text(column.type):
        column, wrong = _parsed(column)
        broken.append((f"{feature.name}: not a number", wrong))
    elif not _is_number(column.type):
        raise _refusal(file, feature.name, column.type, "a number")
    numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    infinite = np.isinf(numbers)
    broken.append((f"{feature.name}: infinite", infinite))
    if feature.minimum is not None:
        low = (numbers < feature.minimum) & ~infinite
        broken.append((f"{feature.name}: below the minimum {feature.minimum:g}", low))
    if feature.maximum is not None:
        high = (numbers > feature.maximum) & ~infinite
        broken.append((f"{feature.name}: above the maximum {feature.maximum:g}", high))
    return pa.array(numbers, pa.float64(), mask=np.isnan(numbers)), [rule for rule in broken if rule[1].any()]


def _parsed(text: pa.Array) -> tuple[pa.Array, Mask]:
    """Text as float64, and where it is neither a number nor missing."""
    try:
        return text.cast(pa.float64()), np.zeros(len(text), bool)
    except pa.ArrowInvalid:  # blanks, missing values, or what is no number
        trimmed = pc.utf8_trim_whitespace(text)
        number = pc.fill_null(pc.match_substring_regex(trimmed, _NUMBER), False)
        missing = pc.is_in(trimmed, value_set=pa.array([None, *MISSING_WORDS], trimmed.type))
        wrong = pc.invert(pc.or_(number, missing)).to_numpy(zero_copy_only=False)
        return pc.if_else(number, trimmed, pa.scalar(None, trimmed.type)).cast(pa.float64()), wrong


def _category(file: str, column: pa.Array, feature: Feature) -> tuple[pa.Array, Broken]:
    if not is_text(column.type):
        raise _refusal(file, feature.name, column.type, f"text: {', '.join(feature.categories)}")
    encoded = column.cast(pa.string()).dictionary_encode()
    spelled = pc.utf8_trim_whitespace(encoded.dictionary)
    codes = pc.index_in(spelled, value_set=pa.array(feature.categories)).take(encoded.indices)
    missing = pc.is_in(spelled, value_set=pa.array(MISSING_WORDS)).take(encoded.indices)
    unknown = pc.and_(pc.is_null(codes), pc.invert(pc.fill_null(missing, True)))
    mask = unknown.to_numpy(zero_copy_only=False)
    categories = pa.DictionaryArray.from_arrays(codes.cast(pa.int8()), pa.array(feature.categories))
    return categories, [(f"{feature.name}: unknown category", mask)] if mask.any() else []


def _target(file: str, column: pa.Array) -> tuple[pa.Array, Broken]:
    """0 and 1 however they are written: ``1``, ``1.0``, ``True``, ``true``."""
    if not (is_text(column.type) or _is_number(column.type) or pa.types.is_boolean(column.type)):
        raise _refusal(file, TARGET, column.type, "0 and 1, or True and False")
    encoded = column.cast(pa.string()).dictionary_encode()
    # -1 means missing and -2 something else
    codes = np.array([*map(_target_of, encoded.dictionary.to_pylist()), -1], np.int8)
    values = codes[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
    broken = [(f"{TARGET}: is missing", values == -1), (f"{TARGET}: must be 0 or 1", values == -2)]  # noqa: PLR2004 - see above
    # Rejected rows hold a 0 until they are taken out, since the column has no nulls.
    return pa.array(np.maximum(values, 0), pa.int8()), [rule for rule in broken if rule[1].any()]


def _target_of(text: str) -> int:
    word = text.strip()
    if word in MISSING_WORDS:
        return -1
    if word.lower() in _TARGETS:
        return _TARGETS[word.lower()]
    try:
        return {0.0: 0, 1.0: 1}.get(float(word), -2)
    except ValueError:
        return -2


def _refusal(file: str, column: str, got: pa.DataType, expected: str) -> ContractError:
    return ContractError(f"{file}, column {column}: has type {got}; expected {expected}")
