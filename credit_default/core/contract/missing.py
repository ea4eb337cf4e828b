"""Words that programs export for a missing value: one list for numbers, categories, targets and client ids."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

#: In lower case, since letter case makes no difference. What stands for an error or a zero is not among them:
#: ``#DIV/0!``, ``-``.
MISSING_WORDS = (
    "",
    *("nan", "-nan", "+nan", "nan(ind)", "-nan(ind)", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),  # floats in C
    *("na", "n/a", "<na>"),  # R, pandas
    *("#n/a", "#n/a n/a", "#na"),  # Excel
    *("null", "<null>", "(null)", "[null]", r"\n", "#null!"),  # databases and their tools, SPSS
    "none",  # Python
    ".",  # SAS, Stata
)


def is_missing(text: pa.Array) -> pa.Array:
    """Find null and the words for it, in text without white space around it."""
    return pc.is_in(pc.ascii_lower(text), value_set=pa.array([None, *MISSING_WORDS], text.type))
