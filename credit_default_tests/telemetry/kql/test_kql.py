"""KQL over the local traces: the two published queries, what may follow them, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from credit_default.errors import QueryError
from credit_default.telemetry.kql import kql
from credit_default_tests.published_queries import FEATURE_DRIFT, OVERALL_DRIFT


def row(kind, data, *, timestamp="2026-01-02T03:04:05.678901Z", model="credit-card-default", **dimensions):
    message = json.dumps({"model_name": model, "type": kind, "data": data})
    return {"timestamp": timestamp, "message": message, "severityLevel": 1, "customDimensions": dimensions}


def write(path: Path, *rows) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


@pytest.fixture
def traces(tmp_path) -> Path:
    overall = {"n_features": 23, "share_drifted_features": 0.5, "dataset_drift": True, "partition": "2026-01-01"}
    features = [
        {"feature_name": "age", "drift_score": 0.25, "drift_detected": True},
        {"feature_name": "sex", "drift_score": 0.01, "drift_detected": False, "psi": 0.125},
    ]
    return write(
        tmp_path / "traces.jsonl",
        row("OverallDriftMetrics", overall, run="r1"),
        row("FeatureDriftMetrics", features, run="r1"),
        row("OverallDriftMetrics", {"n_features": 7}, model="another-model"),
        row("SomethingElse", {"n_features": 8}),
    )


def test_the_published_overall_query_gives_a_typed_row_per_day(traces):
    table = kql.run(OVERALL_DRIFT, traces)
    assert table.schema.names == [
        "timestamp",
        "dataset_drift",
        "n_features",
        "partition",
        "share_drifted_features",
    ]
    assert table.schema.types == [pa.timestamp("us", "UTC"), pa.bool_(), pa.int64(), pa.string(), pa.float64()]
    assert table.to_pylist() == [
        {
            "timestamp": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
            "dataset_drift": True,
            "n_features": 23,
            "partition": "2026-01-01",
            "share_drifted_features": 0.5,
        }
    ]


def test_the_published_feature_query_gives_a_row_per_feature_and_null_where_a_feature_says_nothing(traces):
    table = kql.run(FEATURE_DRIFT, traces)
    assert table.drop_columns(["timestamp"]).to_pylist() == [
        {"drift_detected": True, "drift_score": 0.25, "feature_name": "age", "psi": None},
        {"drift_detected": False, "drift_score": 0.01, "feature_name": "sex", "psi": 0.125},
    ]


def test_operators_go_on_after_the_bags_were_unpacked(traces):
    query = f"""let least = 0.02;
    {FEATURE_DRIFT} // a comment | evaluate nothing
    | where drift_score > least and drift_detected == true
    | project feature_name, percent = drift_score * 100
    | order by percent desc"""
    assert kql.run(query, traces).to_pylist() == [{"feature_name": "age", "percent": 25.0}]


def test_unpacked_rows_can_be_counted_joined_and_unpacked_again(traces):
    assert kql.run(f"{FEATURE_DRIFT} | summarize n = count() by drift_detected | count", traces).to_pylist() == [
        {"Count": 2}
    ]
    again = f"{OVERALL_DRIFT} | join kind=inner (traces | where isnotempty(customDimensions.run)) on timestamp"
    unpacked = kql.run(f"{again} | evaluate bag_unpack(customDimensions, 'with_') | distinct with_run", traces)
    assert unpacked.to_pylist() == [{"with_run": "r1"}]


@pytest.mark.parametrize(
    ("values", "expected_type", "expected"),
    [
        ([1, 2], pa.int64(), [1, 2]),
        ([1, 0.5], pa.float64(), [1.0, 0.5]),
        ([0, -3], pa.int64(), [0, -3]),
        ([True, None], pa.bool_(), [True, None]),
        (["2026-01-01", "x"], pa.string(), ["2026-01-01", "x"]),
        ([1, "x"], pa.string(), ["1", '"x"']),  # dynamic: JSON text
        ([[1, 2], {"a": None}], pa.string(), ["[1,2]", '{"a":null}']),
        ([None, None], pa.string(), [None, None]),
    ],
)
def test_a_slot_has_the_type_of_its_values_or_is_dynamic(tmp_path, values, expected_type, expected):
    path = write(tmp_path / "traces.jsonl", *(row("OverallDriftMetrics", {"slot": value}) for value in values))
    column = kql.run(OVERALL_DRIFT, path).column("slot")
    assert (column.type, column.to_pylist()) == (expected_type, expected)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("5m", "00:05:00"),
        ("1d + 2h + 3m + 4.5s", "1.02:03:04.5000000"),
        ("datetime(2026-01-01 00:00:01) - datetime(2026-01-03)", "-1.23:59:59"),
        ("1ms", "00:00:00.0010000"),
        ("36500d", "36500.00:00:00"),
        ("0s", "00:00:00"),
        ("timespan(null)", None),
    ],
)
def test_timespans_are_shown_as_kusto_shows_them(traces, expression, expected):
    column = kql.run(f"print span = {expression}", traces).column("span")
    assert (column.type, column.to_pylist()) == (pa.string(), [expected])


def test_timespans_in_a_list_and_in_text_are_shown_alike(traces):
    found = kql.run("print span = 26h | summarize spans = make_list(span), text = take_any(tostring(span))", traces)
    assert found.to_pylist() == [{"spans": ["1.02:00:00"], "text": "1.02:00:00"}]


def test_columns_that_only_azure_writes_have_its_values_here_too(tmp_path, traces):
    metric = {"timestamp": "2026-01-02T03:04:05Z", "name": "credit_default/psi", "value": 0.5, "customDimensions": {}}
    write(tmp_path / "customMetrics.jsonl", metric)
    common = "itemCount, operation_Id, cloud_RoleName"
    told = {"itemCount": 1, "operation_Id": "0" * 32, "cloud_RoleName": "credit-default"}
    assert kql.run(f"traces | distinct {common}", traces).to_pylist() == [told]
    assert kql.run("traces | summarize n = sum(itemCount)", traces).to_pylist() == [{"n": 4}]
    query = f"customMetrics | project {common}, mean = valueSum / valueCount"
    assert kql.run(query, traces).to_pylist() == [{**told, "mean": 0.5}]
    assert kql.run(f"exceptions | project {common}", traces).num_rows == 0


def test_slots_with_awkward_names_are_read_as_they_are_called(tmp_path):
    names = ["", "a/b", "a~1b", 'quo"te', "apo'strophe", "$.x", "0", "ünï", "space d"]
    bag = {name: position for position, name in enumerate(names)}
    path = write(tmp_path / "traces.jsonl", row("OverallDriftMetrics", bag))
    query = OVERALL_DRIFT.replace("bag_unpack(data)", "bag_unpack(data, 'x_')")
    assert kql.run(query, path).drop_columns(["timestamp"]).to_pylist() == [
        {f"x_{name}": bag[name] for name in sorted(names)}
    ]


def test_what_is_no_bag_keeps_its_row_with_nulls(tmp_path):
    path = write(tmp_path / "traces.jsonl", *(row("OverallDriftMetrics", data) for data in ({"a": 1}, None, [2])))
    assert kql.run(OVERALL_DRIFT, path).column("a").to_pylist() == [1, None, None]


@pytest.mark.parametrize("content", [None, b"", b"\n\n"])
def test_no_traces_are_no_rows(tmp_path, content):
    path = tmp_path / "traces.jsonl"
    if content is not None:
        path.write_bytes(content)
    for query in ("traces", OVERALL_DRIFT, FEATURE_DRIFT):
        table = kql.run(query, path)
        assert (table.num_rows, table.schema.names[0]) == (0, "timestamp")


def test_torn_lines_and_bytes_that_are_no_text_are_left_out(traces):
    before = traces.read_bytes()
    traces.write_bytes(before[:200] + b"\n" + b"\xff\xfe\n[]\n17\n" + before + before[:-30])
    assert kql.run(f"{OVERALL_DRIFT} | count", traces).to_pylist() == [{"Count": 2}]


def test_a_message_may_hold_separators_that_are_no_line_ends(tmp_path):
    message = {**row("x", {}), "message": "a\u2028b\x85c"}
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(message, ensure_ascii=False) + "\n", encoding="utf-8")
    assert kql.run("traces | project message", path).to_pylist() == [{"message": "a\u2028b\x85c"}]


@pytest.mark.parametrize(
    "query",
    [
        "['{path}'] | take 1",
        "['{path}.csv']",
        "externaldata(line:string)['{path}']",
        "read_csv('{path}')",
        "union traces, ['{path}']",
        "duckdb_tables",
        "database('system').duckdb_tables",
        "cluster('x').database('system').duckdb_tables",
        "traces | where toscalar(duckdb_settings | project name | take 1) == 'x'",
        "traces | join (['information_schema.tables']) on $left.message == $right.table_name",
        "secret",
        ".show tables",
        ".set stolen <| traces",
    ],
)
def test_nothing_but_the_traces_can_be_read(traces, tmp_path, query):
    (tmp_path / "private.csv").write_text("a,b\n1,2\n")
    secret = pa.table({"a": [1]})  # a variable of this name must not become a table
    with pytest.raises(QueryError):
        kql.run(query.replace("{path}", str(tmp_path / "private.csv")), traces)
    assert secret.num_rows == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "expected a KQL query"),
        ("traces | wherex", "malformed KQL.*1:7"),
        ("traces | evaluate pivot(message)", r"not supported: `evaluate pivot\(message\)`.*bag_unpack"),
        ("traces | evaluate bag_unpack(customDimensions) : (run:string)", "not supported.*bag_unpack"),
        ("union (traces | evaluate bag_unpack(customDimensions))", "bag_unpack"),
        ("traces | evaluate bag_unpack(message)", "message is VARCHAR: try parse_json"),
        ("traces | evaluate bag_unpack(nothing)", "nothing is none of timestamp, message"),
        ("traces | project run = 1, customDimensions | evaluate bag_unpack(customDimensions)", "second column run"),
        ("traces | where nothing > 1", "nothing.*getschema"),
        ("print x = toint(message)", "message"),
        ("secret | take 1", "there is no table secret; supported are"),
        ("declare query_parameters(x:string = 'y'); traces | where message == x", "query_parameters"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_can(traces, query, expected):
    with pytest.raises(QueryError, match=f"(?s){expected}"):
        kql.run(query, traces)


def test_slots_that_differ_only_in_case_are_refused_rather_than_mixed_up(tmp_path):
    path = write(tmp_path / "traces.jsonl", row("OverallDriftMetrics", {"psi": 1, "PSI": 2}))
    with pytest.raises(QueryError, match="second column"):
        kql.run(OVERALL_DRIFT, path)
