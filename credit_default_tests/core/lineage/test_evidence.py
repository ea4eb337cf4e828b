"""How a trace ends."""

from __future__ import annotations

import pytest

from credit_default.core.lineage.evidence import Finding, conclusion, worst

NOTHING = "Nothing on the way was altered"


def finding(verdict) -> Finding:
    return Finding("step", verdict, verdict, "")


@pytest.mark.parametrize(
    ("verdicts", "whole", "told"),
    [
        (["ok", "ok"], "ok", f"{NOTHING}."),
        (["ok", "cannot be checked"], "ok", f"{NOTHING}, as far as it can be checked: 1 of it cannot."),
        (["ok", "missing", "cannot be checked"], "missing", "Missing: step (missing)."),
        (["missing", "altered"], "altered", "Altered: step (altered); missing: step (missing)."),
    ],
)
def test_a_trace_ends_with_the_worst_that_it_found(verdicts, whole, told):
    findings = [finding(verdict) for verdict in verdicts]
    assert worst(findings) == whole
    assert conclusion(findings) == told
