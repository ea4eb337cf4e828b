"""The queries of alerts and workbook over telemetry that the platform's own code emits, of days that it measured.

Nothing here writes a message by hand: a field that is renamed where it is measured or emitted makes these fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from credit_default.cli.main import main
from credit_default.core.contract import acceptance
from credit_default.core.data.sample import arrivals, development_clients
from credit_default.core.monitoring.drift import SCORE, Reference, measure
from credit_default.core.monitoring.performance import DECISION, PROBABILITY, measure_performance
from credit_default.core.promotion.decisions import RetrainingDecision
from credit_default.core.schema import AMOUNTS, CLIENT_ID, FEATURE_NAMES, TARGET
from credit_default.core.statistics.bins import make_bins
from credit_default.defs.assets import monitoring, scoring
from credit_default.defs.assets.daily import NO_ROWS
from credit_default.defs.automation import retraining
from credit_default.defs.automation.failures import run_failures
from credit_default.defs.automation.jobs import judge_predictions, score_batch
from credit_default.defs.landing.scan import RANGE_END, RANGE_START
from credit_default.resources.local.storage import LocalStorage
from credit_default.resources.local.telemetry import LocalTelemetry
from credit_default.telemetry.kql import kql
from credit_default.telemetry.records import TraceRecord, acceptance_record, drift_records, measurements
from credit_default_tests.defs.assets.test_daily import EmptyRegistry, ScriptedCompute, ScriptedEndpoint
from credit_default_tests.deploy.deployed import QUERIES

pytestmark = pytest.mark.slow

DUE = "2 of the last 2 days violate"
WITHDRAWN, WORTHLESS, CALM, VIOLATING, REFUSED = "2026-01-28", "2026-01-29", "2026-01-30", "2026-01-31", "2026-02-01"
TEXTS = {path.stem: path.read_text("utf-8") for path in sorted(QUERIES.glob("*.kql"))}


@cache
def drift_of(day: str) -> dict[str, Any]:
    """Real clients against others of the same bank; on one day, amounts arrive in another unit."""
    reference, rows = (
        table.slice(0, 4_000).append_column(SCORE, pc.divide(table["age"].slice(0, 4_000).cast(pa.float64()), 100.0))
        for table in (development_clients(), arrivals())
    )
    if day == VIOLATING:
        for name in AMOUNTS:
            rows = rows.set_column(rows.column_names.index(name), name, pc.multiply(rows[name], 20.0))
    columns = [*FEATURE_NAMES, SCORE]
    measured = measure(Reference(reference.select(columns), make_bins(reference, columns)), rows.select(columns))
    return measured.as_json(partition=day, model_name="credit-card-default", model_version="7")


@cache
def performance_of(day: str) -> dict[str, Any]:
    """How a score does that only looks at age."""
    rows = arrivals().slice(0, 2_000)
    score = pc.divide(rows["age"].cast(pa.float64()), 100.0)
    predictions = pa.table({CLIENT_ID: rows[CLIENT_ID], PROBABILITY: score, DECISION: pc.greater(score, 0.4)})
    # Of one day the outcomes are those of others.
    named = pc.binary_join_element_wise("other-", rows[CLIENT_ID], "") if day == VIOLATING else rows[CLIENT_ID]
    outcomes = pa.table({CLIENT_ID: named, TARGET: rows[TARGET]})
    return {"partition": day, "model_version": "7", **measure_performance(predictions, outcomes)}


class MeasuringCompute(ScriptedCompute):
    """Jobs whose results are measured here, of real rows."""

    def _files(self, step: str, day: str) -> dict[str, str]:
        if step == "drift":
            return {"drift": json.dumps(drift_of(day)), "report": "<html>"}
        if step == "performance":
            return {"performance": json.dumps(performance_of(day))}
        return super()._files(step, day)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """The home of a platform that took in five days.

    One has no accepted row, one is in violation, one was refused, one in violation was withdrawn since.
    """
    root = tmp_path_factory.mktemp("home")
    (root / "jobs").mkdir()
    telemetry = LocalTelemetry(folder=str(root / "telemetry"))
    problem = {f"inference_data/{REFUSED}": "clients.csv, columns age: missing; expected the curated schema"}
    compute = MeasuringCompute(folder=str(root / "jobs"), refused=problem, worthless=[WORTHLESS])
    definitions = dg.Definitions(
        assets=[*scoring.ASSETS, *monitoring.ASSETS],
        jobs=[score_batch, judge_predictions],
        resources={
            "compute": compute,
            "storage": LocalStorage(root=str(root / "lake")),
            "endpoint": ScriptedEndpoint(compute=compute),
            "registry": EmptyRegistry(),
            "telemetry": telemetry,
        },
    )
    with dg.DagsterInstance.ephemeral() as instance:
        for job, first, last in (("score_batch", WORTHLESS, REFUSED), ("judge_predictions", CALM, VIOLATING)):
            result = definitions.resolve_job_def(job).execute_in_process(
                instance=instance, raise_on_error=False, tags={RANGE_START: first, RANGE_END: last}
            )
            for event in result.all_events:
                if event.event_type_value == "PIPELINE_FAILURE":
                    context = dg.build_run_status_sensor_context(
                        "run_failures",
                        dagster_event=event,
                        dagster_instance=instance,
                        dagster_run=result.dagster_run,
                    )
                    run_failures(context.for_run_failure(), telemetry=telemetry)
    with pytest.MonkeyPatch.context() as production:
        production.setenv("CREDIT_DEFAULT_ENV", "production")
        context = dg.build_sensor_context(sensor_name="drift_sensor")
        retraining.ask(context, telemetry, "drift_sensor-42", RetrainingDecision(retrain=True, words=DUE, evidence={}))
    telemetry.emit(drift_records({**drift_of(VIOLATING), "partition": WITHDRAWN}))
    telemetry.emit([taken_in(WITHDRAWN, NO_ROWS, "withdrawal")])
    return root


def taken_in(day: str, result: Mapping[str, Any], run_id: str) -> TraceRecord:
    return acceptance_record("credit-card-default", result, dataset="inference_data", partition=day, run_id=run_id)


def rows(text: str, home: Path) -> list[dict[str, Any]]:
    return kql.run(text, home / "telemetry" / "traces.jsonl").to_pylist()


rows_before = cache(rows)


def without_moment(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "timestamp"} for row in found]


def moment(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


def test_a_day_in_violation_raises_the_alert_and_a_calm_day_does_not(home):
    assert not drift_of(CALM)["overall"]["violation"]
    overall = drift_of(VIOLATING)["overall"]
    assert without_moment(rows(TEXTS["overall_violation"], home)) == [
        {
            "day": VIOLATING,
            "model_version": "7",
            "features": ", ".join(overall["violating_features"]),
            "psi": overall["psi"],
            "max_csi": overall["max_csi"],
        }
    ]


def test_each_feature_in_violation_is_told_with_its_index_and_its_limit(home):
    violating = [feature for feature in drift_of(VIOLATING)["features"] if feature["violation"]]
    assert len(violating) > 5
    found = without_moment(rows(TEXTS["feature_drift"], home))
    assert {row["feature_name"] for row in found} == {feature["feature_name"] for feature in violating}
    for feature in violating:
        expected = {name: feature[name] for name in ("feature_name", "csi", "csi_limit")}
        assert {**expected, "day": VIOLATING, "model_version": "7"} in found


def test_a_run_that_lost_a_day_raises_the_alert_with_its_error(home):
    (row,) = rows(TEXTS["failed_scoring"], home)
    assert row["error"] == "Failure"
    assert REFUSED in row["told"]
    assert "columns age: missing" in row["told"]
    assert re.fullmatch(r"[0-9a-f-]{36}", row["run_id"])


def test_a_day_of_which_no_row_was_accepted_raises_the_alert_until_it_landed_again(home, tmp_path):
    assert without_moment(rows(TEXTS["low_acceptance"], home)) == [
        {
            "day": WORTHLESS,
            "dataset": "inference_data",
            "acceptance": "error",
            "landed": 129,
            "accepted": 0,
            "accepted_share": 0.0,
        }
    ]
    telemetry = LocalTelemetry(folder=str(tmp_path / "telemetry"))
    told = []
    for run, accepted in enumerate((90, 100, 90)):
        result = {
            "rows": 100,
            "accepted": accepted,
            "rejected": 100 - accepted,
            **acceptance.evaluate_share(100, accepted),
        }
        record = taken_in(CALM, result, f"run-{run}")
        telemetry.emit([record, record])
        told.append([row["acceptance"] for row in rows(TEXTS["low_acceptance"], tmp_path)])
    assert told == [["warning"], [], ["warning"]]


def test_a_day_whose_outcomes_do_not_join_raises_the_alert(home):
    assert without_moment(rows(TEXTS["unjoined_outcomes"], home)) == [
        {"day": VIOLATING, "outcomes": 2_000, "joined": 0, "joined_share": 0.0}
    ]


def test_a_retraining_that_production_does_not_start_raises_the_alert_with_its_reason(home):
    assert without_moment(rows(TEXTS["retraining_due"], home)) == [
        {"request": "drift_sensor-42", "sensor": "drift_sensor", "told": f"drift_sensor: {DUE}"}
    ]


def test_the_figures_of_each_day_are_drawn(home):
    drawn = {name: {} for name in ("drift_over_time", "scoring_over_time", "performance_over_time")}
    for name, figures in drawn.items():
        for row in rows(TEXTS[name], home):
            figures[row["day"], row["figure"]] = row["value"]
    for day in (WORTHLESS, CALM, VIOLATING):
        overall = drift_of(day)["overall"]
        for figure in ("share_drifted_features", "psi", "violation"):
            assert drawn["drift_over_time"].pop((moment(day), figure)) == overall[figure]
        scripted = 100 + int(day[-2:])
        assert drawn["scoring_over_time"].pop((moment(day), "rows_scored")) == scripted
        rejected = scripted if day == WORTHLESS else 1
        assert drawn["scoring_over_time"].pop((moment(day), "rows_rejected")) == rejected
    for figure in ("roc_auc", "gini", "ks", "brier"):
        assert drawn["performance_over_time"].pop((moment(CALM), figure)) == performance_of(CALM)["metrics"][figure]
    assert not any(drawn.values()), drawn


def fields(text: str) -> set[str]:
    """What a query reads of telemetry: fields of messages, dimensions, names of metrics."""
    inside = re.findall(r"\b(?:data|customDimensions)\.(\w+)", text)
    return {*inside, *re.findall(r"'(credit_default/\w+|\w+DriftMetrics)'", text)}


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, text in TEXTS.items() for field in sorted(fields(text))],
)
def test_a_field_that_is_renamed_changes_the_answer(home, tmp_path, name, field):
    if name == "stale_predictions":
        text = at(TEXTS[name], f"{VIOLATING}T23:00:00Z")
    else:
        # A run that fails is known by its job, or by its step.
        text = TEXTS[name] if field != "step" else TEXTS[name].replace("customDimensions.job == 'score_batch' or ", "")
        text = text.replace(" or customDimensions.step == 'score_days'", "") if field == "job" else text
    for file in (home / "telemetry").glob("*.jsonl"):
        # Quotation marks inside a message are escaped.
        renamed = re.sub(rf'"{field}(\\?)"', rf'"another{Path(field).name}\1"', file.read_text("utf-8"))
        (tmp_path / "telemetry").mkdir(exist_ok=True)
        (tmp_path / "telemetry" / file.name).write_text(renamed, "utf-8")
    assert rows(text, tmp_path) != rows_before(text, home)


def test_a_day_that_was_measured_again_counts_as_it_was_measured_last(tmp_path):
    telemetry = LocalTelemetry(folder=str(tmp_path / "telemetry"))
    telemetry.emit(drift_records(drift_of(VIOLATING)))
    assert [row["day"] for row in rows(TEXTS["overall_violation"], tmp_path)] == [VIOLATING]
    telemetry.emit(drift_records({**drift_of(CALM), "partition": VIOLATING}))
    assert rows(TEXTS["overall_violation"], tmp_path) == []
    assert rows(TEXTS["feature_drift"], tmp_path) == []


def test_a_day_in_violation_that_was_withdrawn_is_left_out_until_it_is_filled_again(tmp_path):
    telemetry = LocalTelemetry(folder=str(tmp_path / "telemetry"))
    landed = {"rows": 4_000, "accepted": 4_000, "rejected": 0, **acceptance.evaluate_share(4_000, 4_000)}
    for run, result, found in (("first", landed, [VIOLATING]), ("second", NO_ROWS, []), ("third", landed, [VIOLATING])):
        # Equal figures of drift are told once, however often a day is measured.
        telemetry.emit([taken_in(VIOLATING, result, run), *(drift_records(drift_of(VIOLATING)) if found else [])])
        assert [row["day"] for row in rows(TEXTS["overall_violation"], tmp_path)] == found
        assert {row["day"] for row in rows(TEXTS["feature_drift"], tmp_path)} == set(found)


def at(text: str, now: str) -> str:
    """Return a query as it would be asked at a moment."""
    assert "now()" in text
    return text.replace("now()", f"datetime({now})")


def test_predictions_are_stale_from_the_hour_on_at_which_yesterday_is_due(home, tmp_path):
    due = datetime.fromisoformat(VIOLATING).replace(hour=retraining._DUE_HOUR, tzinfo=UTC) + timedelta(days=2)
    early = (due - timedelta(minutes=1)).isoformat()
    text = TEXTS["stale_predictions"]
    assert rows(at(text, early), home) == []
    assert rows(at(text, due.isoformat()), home) == [{"due_day": "2026-02-01", "newest_day": VIOLATING}]
    assert rows(at(text, (due - timedelta(days=1)).isoformat()), home) == []
    # Nothing within what the alert looks at: as if no day had ever been scored.
    assert rows(at(text, due.isoformat()), tmp_path) == [{"due_day": "2026-02-01", "newest_day": None}]
    # A day that was refused has no predictions, and a table of it changes nothing.
    telemetry = LocalTelemetry(folder=str(tmp_path / "telemetry"))
    telemetry.emit(measurements({"rows_accepted": 3}, {"partition": "2026-02-01", "dataset": "inference_data"}))
    assert len(rows(at(text, due.isoformat()), tmp_path)) == 1
    # Nor has one that was left out, since the next one came in time.
    telemetry.emit(measurements({"rows_scored": 3}, {"partition": "2026-02-02", "model_version": "7"}))
    assert rows(at(text, due.isoformat()), tmp_path) == [{"due_day": "2026-02-01", "newest_day": "2026-02-02"}]
    telemetry.emit(measurements({"rows_scored": 3}, {"partition": "2026-02-01", "model_version": "7"}))
    assert rows(at(text, due.isoformat()), tmp_path) == []


@pytest.mark.parametrize("name", TEXTS)
def test_each_file_runs_by_the_command_line(home, monkeypatch, name):
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(home))
    monkeypatch.setenv("CREDIT_DEFAULT_ENV", "local")
    done = CliRunner().invoke(main, ["query", "-", "--json"], input=TEXTS[name])
    assert done.exit_code == 0, done.output
    # By the clock of this machine no day of these was scored yesterday, from noon on.
    expected = kql.run(TEXTS[name], home / "telemetry" / "traces.jsonl").num_rows
    assert len(done.stdout.splitlines()) == expected
