"""KQL that would take for ever, or all the memory, is stopped and called so."""

from __future__ import annotations

import json
import time

import pytest

from credit_default.core import kql, kql_limits
from credit_default.errors import QueryError

ROWS = [
    json.dumps({"timestamp": "2026-01-01T00:00:00Z", "message": "x" * 50, "severityLevel": 1, "customDimensions": {}})
    for _ in range(3000)
]
CROSS = "traces | extend k=1 | join kind=inner (traces | extend k=1) on k"


def run(query: str):
    return kql.run_over(query, {"traces": ROWS})


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("traces | where " + "(" * 5_000 + "true" + ")" * 5_000, "has 10,019 characters; expected 10,000 at most"),
        ("traces | where " + "(" * 4_000, "has brackets 4,000 deep; expected 25 at most"),
        ("traces | where " + "[{" * 30, "has brackets 60 deep"),
        ("traces " + "|take 1" * 1_300, "has 1,300 operators; expected 100 at most"),
        ("traces | extend a = " + "+".join(["1"] * 2_000), "nested too deeply to be read"),
        ("traces | where " + "(" * 24, "malformed KQL"),
    ],
)
def test_what_is_too_long_or_too_deep_is_refused_in_a_line_at_once(query, told):
    began = time.process_time()
    with pytest.raises(QueryError, match=told) as caught:
        run(query)
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 10


def test_what_people_write_is_within_the_limits():
    assert run("traces " + "| where severityLevel > 0 " * 90 + "| take 2").num_rows == 2
    assert run("traces | where " + "(" * 20 + "message != '((((('" + ")" * 20 + " | take 1").num_rows == 1
    assert run("traces | where message == '" + "(|" * 300 + "'").num_rows == 0


@pytest.mark.parametrize(
    "query",
    [CROSS, f"{CROSS} | extend j=1 | join kind=inner (traces | extend j=1) on j | summarize count() by message"],
    ids=["rows", "count"],
)
def test_a_query_that_takes_too_long_is_interrupted(monkeypatch, query):
    monkeypatch.setattr(kql_limits, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(kql_limits, "MAX_MEMORY_BYTES", 4 * 1024**3)
    with pytest.raises(QueryError, match=r"the query was stopped after 0\.5 s; ask for less"):
        run(query)


@pytest.mark.parametrize("query", [CROSS, f"{CROSS} | order by message asc, message1 desc"], ids=["rows", "sort"])
def test_a_query_that_needs_too_much_memory_is_stopped(monkeypatch, query):
    monkeypatch.setattr(kql_limits, "MAX_MEMORY_BYTES", 32 * 1024**2)
    with pytest.raises(QueryError, match=r"the query needs more than 0\.03125 GB of memory; ask for less"):
        run(query)
