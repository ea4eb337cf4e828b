"""The accepted share of what landed for a day, and when somebody has to look at it.

A day of which rows are refused is made all the same: the verdict stands beside it.
"""

from __future__ import annotations

from typing import Any, Literal

Acceptance = Literal["ok", "warning", "error"]

#: Below this share of a day's rows it is a warning; that none is accepted is an error. Here until it is configuration.
MIN_ACCEPTED_SHARE = 0.95


def evaluate_share(rows: int, accepted: int) -> dict[str, Any]:
    """Return ``accepted_share`` (None when nothing but a header landed) and ``acceptance``, the verdict on it."""
    share = accepted / rows if rows else None
    verdict: Acceptance = "ok"
    if not accepted:
        verdict = "error"
    elif accepted / rows < MIN_ACCEPTED_SHARE:
        verdict = "warning"
    return {"accepted_share": share, "acceptance": verdict}
