"""Columns of files from outside: what may stand in them, and the type that they get.

Every function here takes an Arrow column as it came and gives it back typed, with the rules that its values
broke and where. A value that broke one is null (or, in the target, 0) until its row is taken out.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from credit_default.core.contract import numbers
from credit_default.core.contract.missing import is_missing
from credit_default.core.contract.rules import Broken, refused_type
from credit_default.core.files.plain_columns import is_text, plain
from credit_default.core.schema import BY_NAME, TARGET, Feature

_TARGETS = {"true": 1, "false": 0}
#: Codes of targets that are neither 0 nor 1.
_MISSING, _STRANGE = -1, -2


def typed(file: str, name: str, column: pa.Array) -> tuple[pa.Array, Broken]:
    """Give a feature or the target its type.

    Raises
    ------
    ContractError
        The column is of a type that cannot hold it; values of it are never quoted.
    """
    column = plain(column)
    if name == TARGET:
        return _target(file, column)
    feature = BY_NAME[name]
    return (_category if feature.kind == "category" else _number)(file, column, feature)


def _is_number(got: pa.DataType) -> bool:
    return bool(pa.types.is_integer(got) or pa.types.is_floating(got) or pa.types.is_decimal(got))


def _number(file: str, column: pa.Array, feature: Feature) -> tuple[pa.Array, Broken]:
    broken: Broken = []
    if is_text(column.type):
        column, wrong = numbers.parse(column)
        broken.append((f"{feature.name}: not a number", wrong))
    elif not _is_number(column.type):
        raise refused_type(file, feature.name, column.type, "a number")
    # Adding 0.0 makes 0.0 of -0.0, which is the same number and would be another value in comparisons.
    with np.errstate(invalid="ignore"):  # of a signalling NaN, which a damaged file may hold
        values = numbers.to_float64(column).to_numpy(zero_copy_only=False) + 0.0
    infinite = np.isinf(values)
    broken.append((f"{feature.name}: infinite", infinite))
    if feature.minimum is not None:
        low = (values < feature.minimum) & ~infinite
        broken.append((f"{feature.name}: below the minimum {feature.minimum:g}", low))
    if feature.maximum is not None:
        high = (values > feature.maximum) & ~infinite
        broken.append((f"{feature.name}: above the maximum {feature.maximum:g}", high))
    return pa.array(values, pa.float64(), mask=np.isnan(values)), [rule for rule in broken if rule[1].any()]


def _category(file: str, column: pa.Array, feature: Feature) -> tuple[pa.Array, Broken]:
    if not is_text(column.type):
        raise refused_type(file, feature.name, column.type, f"text: {', '.join(feature.categories)}")
    encoded = column.dictionary_encode()
    spelled = pc.utf8_trim_whitespace(encoded.dictionary)
    codes = pc.index_in(spelled, value_set=pa.array(feature.categories)).take(encoded.indices)
    missing = is_missing(spelled).take(encoded.indices)
    unknown = pc.and_(pc.is_null(codes), pc.invert(pc.fill_null(missing, True)))
    mask = unknown.to_numpy(zero_copy_only=False)
    categories = pa.DictionaryArray.from_arrays(codes.cast(pa.int8()), pa.array(feature.categories))
    return categories, [(f"{feature.name}: unknown category", mask)] if mask.any() else []


def _target(file: str, column: pa.Array) -> tuple[pa.Array, Broken]:
    """0 and 1 however they are written: ``1``, ``1.0``, ``True``, ``true``."""
    if not (is_text(column.type) or _is_number(column.type) or pa.types.is_boolean(column.type)):
        raise refused_type(file, TARGET, column.type, "0 and 1, or True and False")
    encoded = column.cast(pa.string()).dictionary_encode()
    spelled = pc.utf8_trim_whitespace(encoded.dictionary)
    values, _ = numbers.parse(spelled)
    codes = [
        _MISSING if missing else _TARGETS.get(word.lower(), {0.0: 0, 1.0: 1}.get(value, _STRANGE))
        for word, value, missing in zip(
            spelled.to_pylist(), values.to_pylist(), is_missing(spelled).to_pylist(), strict=True
        )
    ]
    found = np.array([*codes, _MISSING], np.int8)[pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)]
    broken = [(f"{TARGET}: is missing", found == _MISSING), (f"{TARGET}: must be 0 or 1", found == _STRANGE)]
    # Rejected rows hold a 0 until they are taken out, since the column has no nulls.
    return pa.array(np.maximum(found, 0), pa.int8()), [rule for rule in broken if rule[1].any()]
