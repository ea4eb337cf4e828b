"""Every query, held to Microsoft's own language service: it parses, and each name in it is known and fits."""

from __future__ import annotations

import json

from credit_default.defs.assets.online_inputs import QUERY
from credit_default.telemetry.kql import classic_tables
from credit_default.telemetry.kql.tables import TABLES as OURS
from credit_default_tests.deploy import kusto
from credit_default_tests.deploy.deployed import ENVIRONMENTS, QUERIES, environment
from credit_default_tests.published_queries import FEATURE_DRIFT, OVERALL_DRIFT


def in_alerts(name: str) -> dict[str, str]:
    rules = environment(name).of("Microsoft.Insights/scheduledQueryRules")
    return {rule.name: rule.config["properties"]["criteria"]["allOf"][0]["query"] for rule in rules}


def in_workbook(name: str) -> dict[str, str]:
    (workbook,) = environment(name).of("Microsoft.Insights/workbooks")
    items = json.loads(workbook.config["properties"]["serializedData"])["items"]
    return {f"{name}, workbook, {item['name']}": item["content"]["query"] for item in items if item["type"] == 3}


def asked() -> dict[str, str]:
    """Queries of the command and of the platform itself."""
    files = {path.name: path.read_text("utf-8") for path in QUERIES.glob("*.kql")}
    return files | {"overall drift": OVERALL_DRIFT, "feature drift": FEATURE_DRIFT, "online inputs": QUERY}


def test_nothing_is_said_against_any_query():
    queries = asked()
    for name in ENVIRONMENTS:
        queries |= in_alerts(name) | in_workbook(name)
    judged = kusto.judge(queries)
    assert {name: said for name, said in judged.items() if said} == {}


def test_nothing_is_said_against_a_query_over_the_tables_of_log_analytics():
    everything = {table: f"{table} | project {', '.join(columns)}" for table, columns in OURS.items()}
    queries = {name: classic_tables.over_log_analytics(query) for name, query in (asked() | everything).items()}
    judged = kusto.judge(queries, kusto.LOG_ANALYTICS)
    assert {name: said for name, said in judged.items() if said} == {}
    without_views = kusto.judge(everything, kusto.LOG_ANALYTICS)
    assert all(any(one["severity"] == "Error" for one in said) for said in without_views.values())


def test_the_tables_of_this_machine_are_among_those_of_application_insights():
    for table, columns in OURS.items():
        assert columns.items() <= kusto.columns(table).items()


def test_the_judge_finds_what_azure_would_refuse():
    wrong = {
        "a column that is not there": "traces | project timestmp",
        "a table that is not there": "metrics | count",
        "an operator that is not there": "traces | wherever true",
        "types that do not meet": "traces | where severityLevel has 'high'",
        "a function that is not there": "traces\n| extend x = to_string(message)",
        "cut short": "traces | where (message has 'x'",
    }
    judged = kusto.judge(wrong)
    assert [name for name, said in judged.items() if not any(one["severity"] == "Error" for one in said)] == []
    (said,) = judged["a function that is not there"]
    assert (said["line"], "to_string" in said["message"]) == (2, True)
