"""KQL that would take for ever, or all the memory, is stopped and called so."""

from __future__ import annotations

import json
import time

import pytest

from credit_default.errors import QueryError
from credit_default.telemetry.kql import kql, limits

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


def nested(function: str, depth: int) -> str:
    return "print x = " + f"{function}(" * depth + "'1'" + ")" * depth


@pytest.mark.parametrize(
    "query",
    [nested(name, 20) for name in ("tostring", "tobool", "gettype", "strcat", "isempty", "array_length")]
    + [
        nested("tostring", 4),
        "; ".join(["let x0 = '1'", *(f"let x{n + 1} = tostring(x{n})" for n in range(60)), "print x60"]),
        "let f = (x: string) { tostring(x) }; print x = " + "f(" * 20 + "'1'" + ")" * 20,
    ],
)
def test_a_query_that_becomes_too_much_sql_is_refused_before_it_is_made(query):
    began = time.process_time()
    with pytest.raises(QueryError, match=r"becomes more than 100,000 characters of SQL; nest fewer functions"):
        run(query)
    assert time.process_time() - began < 10


def test_a_translation_that_takes_too_long_is_stopped(monkeypatch):
    monkeypatch.setattr(limits, "TIMEOUT_SECONDS", 0.5)
    doubled = "; ".join(f"let x{n + 1} = x{n} + x{n}" for n in range(60))
    with pytest.raises(QueryError, match=r"the query was stopped after 0\.5 s; ask for less"):
        run(f"let x0 = 1; {doubled}; print x60")


@pytest.mark.parametrize("name", ["toint", "tolong", "todouble", "todatetime", "totimespan", "toguid", "todynamic"])
def test_conversions_that_repeat_nothing_may_be_nested(name):
    assert run(nested(name, 4)).num_rows == 1


def test_a_conversion_of_a_conversion_may_be_named_first():
    assert run("print x = 1" + "| extend x = tostring(x)" * 20).to_pylist() == [{"x": "1"}]


@pytest.mark.parametrize(
    "text",
    ["// don't\n", r"""where message != 'a\' ' | """, r"""where message != @'a\' | """, "where message != h'a' | "],
    ids=["comment", "escape", "verbatim", "hidden"],
)
def test_brackets_count_wherever_quotes_before_them_end(text):
    with pytest.raises(QueryError, match="has brackets 60 deep"):
        run(f"traces | {text} where " + "(" * 60)
    within = f"traces | {text} where '{'(' * 60}' != message // {'(' * 60}\n | take 1"
    assert run(within).num_rows == 1


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
    monkeypatch.setattr(limits, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(limits, "MAX_MEMORY_BYTES", 4 * 1024**3)
    with pytest.raises(QueryError, match=r"the query was stopped after 0\.5 s; ask for less"):
        run(query)


@pytest.mark.parametrize("query", [CROSS, f"{CROSS} | order by message asc, message1 desc"], ids=["rows", "sort"])
def test_a_query_that_needs_too_much_memory_is_stopped(monkeypatch, query):
    monkeypatch.setattr(limits, "MAX_MEMORY_BYTES", 32 * 1024**2)
    with pytest.raises(QueryError, match=r"the query needs more than 0\.03125 GB of memory; ask for less"):
        run(query)


def test_a_command_is_stopped_where_nothing_else_stops_it(monkeypatch):
    monkeypatch.setattr(limits, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(QueryError, match=r"the query was stopped after 0\.5 s"), limits.limited_process():
        run("traces | extend x=" + "''" * 4_900)  # the parser alone takes a minute


def test_a_command_takes_no_more_memory_for_a_list_that_the_database_does_not_count():
    with limits.limited_process(), pytest.raises(QueryError, match="the query needs more than 1 GB of memory"):
        run("range x from 1 to 500000000 step 1 | summarize count()")
    with limits.limited_process():
        assert run("range x from 1 to 1000000 step 1 | summarize count()").column(0).to_pylist() == [1_000_000]
