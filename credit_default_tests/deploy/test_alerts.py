"""Alerts and the workbook are made of the query files, and ask what Azure Monitor can answer."""

from __future__ import annotations

import json
import re

import pytest

from credit_default.telemetry.kql import kql
from credit_default_tests.deploy.bicep import BicepError
from credit_default_tests.deploy.deployed import ENVIRONMENTS, GIVEN, QUERIES, deployed, environment

TEXTS = {path.stem: path.read_text("utf-8") for path in sorted(QUERIES.glob("*.kql"))}
ALERTS = {
    "overall_violation",
    "feature_drift",
    "failed_scoring",
    "low_acceptance",
    "stale_predictions",
    "retraining_due",
    "unjoined_outcomes",
}
DRAWN = {"drift_over_time", "feature_drift", "scoring_over_time", "performance_over_time", "failed_scoring"}


#: Days are scored there only to try things out, so that one without predictions is no trouble.
SILENT = {"development": {"stale_predictions"}, "staging": {"stale_predictions"}, "production": set()}


def rules(name: str, **changed: object):
    made = deployed(name, **changed) if changed else environment(name)
    return {
        one.name.removeprefix(f"credit-default-{name}-").replace("-", "_"): one.config["properties"]
        for one in made.of("Microsoft.Insights/scheduledQueryRules")
    }


def columns(query: str) -> list[str]:
    """The columns of an answer, also where it has no rows."""
    return kql.run_over(query, {}).schema.names


def test_every_query_raises_an_alert_or_is_drawn():
    assert set(TEXTS) == ALERTS | DRAWN


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_each_alert_asks_its_own_file_of_application_insights_and_tells_people(name):
    found = rules(name)
    assert set(found) == ALERTS
    (insights,) = environment(name).of("Microsoft.Insights/components")
    (people,) = environment(name).of("Microsoft.Insights/actionGroups")
    (receiver,) = people.config["properties"]["emailReceivers"]
    assert receiver["emailAddress"] == GIVEN["ALERT_EMAIL"]
    assert people.config["location"] == "global"
    for file, rule in found.items():
        (condition,) = rule["criteria"]["allOf"]
        assert condition["query"] == TEXTS[file]
        # One row is enough.
        assert (condition["timeAggregation"], condition["operator"], condition["threshold"]) == (
            "Count",
            "GreaterThan",
            0,
        )
        assert rule["scopes"] == [insights.id]
        assert rule["enabled"] is (file not in SILENT[name])
        assert rule["actions"]["actionGroups"] == [people.id]


@pytest.mark.parametrize("file", sorted(ALERTS))
def test_each_alert_can_be_silent_in_one_environment(file):
    found = rules("production", mutedAlerts=[file.replace("_", "-")])
    assert {name for name, rule in found.items() if not rule["enabled"]} == {file}


def test_an_alert_that_is_not_there_cannot_be_made_silent():
    with pytest.raises(BicepError, match="mutedAlerts is"):
        deployed("production", mutedAlerts=["stale-prediction"])


def test_each_alert_is_told_apart_by_a_column_of_text_that_its_query_returns():
    for file, rule in rules("production").items():
        (condition,) = rule["criteria"]["allOf"]
        (dimension,) = condition["dimensions"]
        assert (dimension["operator"], dimension["values"]) == ("Include", ["*"])
        schema = kql.run_over(TEXTS[file], {}).schema
        assert str(schema.field(dimension["name"]).type) == "string", file


def test_a_day_without_predictions_is_looked_for_as_far_back_as_it_may_have_been_scored():
    windows = {file: rule["windowSize"] for file, rule in rules("production").items()}
    # At the end of today, yesterday began two days ago. Azure takes no longer window.
    assert windows.pop("stale_predictions") == "P2D"
    assert set(windows.values()) == {"P1D"}


@pytest.mark.parametrize("file", sorted(ALERTS))
def test_alerts_use_nothing_that_azure_monitor_refuses_in_them(file):
    code = "\n".join(line for line in TEXTS[file].splitlines() if not line.startswith("//"))
    assert code.split("\n")[0] in kql.TABLES
    assert re.findall(r"\b(union|search|bag_unpack|pivot|narrow|take|limit|AggregatedValue)\b", code) == []


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_workbook_draws_the_files(name):
    (workbook,) = environment(name).of("Microsoft.Insights/workbooks")
    (insights,) = environment(name).of("Microsoft.Insights/components")
    assert workbook.config["properties"]["sourceId"] == insights.id
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", workbook.name)
    page = json.loads(workbook.config["properties"]["serializedData"])
    assert page["fallbackResourceIds"] == [insights.id]
    queries = {item["name"].replace("-", "_"): item["content"] for item in page["items"] if item["type"] == 3}
    assert set(queries) == DRAWN
    (times,) = (item for item in page["items"] if item["type"] == 9)
    for file, content in queries.items():
        assert content["query"] == TEXTS[file]
        assert content["resourceType"] == "microsoft.insights/components"
        assert content["timeContextFromParameter"] == times["content"]["parameters"][0]["name"]
        if content["visualization"] != "table":
            # Azure draws a line for each value of the column between the moment and the number.
            assert columns(content["query"]) == ["day", "figure", "value"]
