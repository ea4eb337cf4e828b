"""What exists: assets, checks, jobs, schedules and sensors, as a user of the UI finds them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pytest

from credit_default.definitions import defs
from credit_default.resources import resources_for
from credit_default.settings import read

#: The asset keys that users rely on, upstream first; the last six are daily.
ASSETS = [
    *("curated_data", "prepared_data", "data_quality_report", "trained_model", "registered_model", "batch_deployment"),
    "online_deployment",
    *("online_inputs", "inference_data", "batch_predictions", "drift_metrics", "outcomes", "model_performance"),
]
DAILY = ASSETS[-6:]
JOBS = {
    *("train_model", "deploy_model", "score_batch", "retrain", "rollback_model"),
    *("deploy_online", "export_online_inputs"),
}

graph = defs.resolve_asset_graph()
repository = defs.get_repository_def()
nodes = {node.key.to_user_string(): node for node in graph.asset_nodes}


def names(keys) -> list[str]:
    return sorted(key.to_user_string() for key in keys)


def freshness(policy: Any) -> str | None:
    return (
        policy and f"warns after {policy.warn_window.to_timedelta()}, fails after {policy.fail_window.to_timedelta()}"
    )


def columns(metadata: Mapping[str, Any]) -> list[str]:
    schema = metadata.get("dagster/column_schema")
    return [column.name for column in schema.columns] if schema else []


def described(name: str) -> dict[str, Any]:
    node = nodes[name]
    checks = [graph.get_check_spec(key) for key in node.check_keys]
    return {
        "group": node.group_name,
        "after": names(node.parent_keys),
        "kinds": sorted(node.kinds),
        "owners": list(node.owners),
        "daily": node.partitions_def is not None,
        "freshness": freshness(node.freshness_policy),
        "checks": {spec.name: "blocks" if spec.blocking else "warns" for spec in sorted(checks, key=lambda s: s.name)},
        "columns": columns(node.metadata),
    }


@pytest.mark.parametrize("name", ASSETS)
def test_an_asset_is_as_users_know_it(name, snapshot):
    assert described(name) == snapshot


def test_the_jobs_are_as_users_know_them(snapshot):
    told = {}
    for job in defs.resolve_all_job_defs():
        if job.name.startswith("__"):
            continue
        layer = job.asset_layer
        told[job.name] = {
            "makes": names(layer.selected_asset_keys),
            "checks": sorted(key.to_user_string() for key in layer.asset_graph.asset_check_keys)
            if not layer.selected_asset_keys
            else "those of its assets",
            "daily": job.partitions_def is not None,
            "tags": dict(job.run_tags),
            "description": job.description,
        }
    assert told == snapshot


def test_the_schedules_are_as_users_know_them(snapshot):
    assert {
        schedule.name: {
            "job": schedule.job_name,
            "cron": schedule.cron_schedule,
            "timezone": schedule.execution_timezone or "UTC",
            "status": schedule.default_status.value,
        }
        for schedule in repository.schedule_defs
    } == snapshot


def test_the_sensors_are_as_users_know_them(snapshot):
    assert {
        sensor.name: {
            "job": sensor.job_name if sensor.has_jobs else None,
            "every": f"{sensor.minimum_interval_seconds} s",
            "status": sensor.default_status.value,
        }
        for sensor in repository.sensor_defs
    } == snapshot


def test_the_asset_keys_are_the_promised_ones():
    assert sorted(nodes) == sorted(ASSETS)


def test_the_promised_jobs_are_there():
    assert {job.name for job in defs.resolve_all_job_defs()} >= JOBS


def test_every_dependency_names_an_asset_that_is_made_here():
    # Dagster takes a misspelt dependency for an asset of somebody else and says nothing.
    assert {name for name, node in nodes.items() if not node.is_materializable} == set()
    for name, node in nodes.items():
        assert {key.to_user_string() for key in node.parent_keys} <= set(nodes), name


def test_predictions_never_become_training_data():
    def ancestors(name: str) -> set[str]:
        parents = {key.to_user_string() for key in nodes[name].parent_keys}
        return parents.union(*(ancestors(parent) for parent in parents))

    assert "batch_predictions" not in ancestors("curated_data")
    assert {"curated_data", "registered_model"} <= ancestors("batch_predictions")


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_says_what_it_is_whose_it_is_and_by_which_code(name):
    node = nodes[name]
    assert len(node.description) > 60
    assert node.description.rstrip().endswith(".")
    assert node.kinds
    assert node.owners
    for owner in node.owners:
        assert re.fullmatch(r"team:[a-z-]+|[^@\s]+@[^@\s]+\.[a-z]+", owner), owner
    assert re.fullmatch(r"[0-9a-f]{12}", node.code_version)
    assert node.group_name != "default"


@pytest.mark.parametrize("name", DAILY)
def test_daily_assets_share_their_days_and_are_made_in_one_run(name):
    assert nodes[name].partitions_def == nodes["inference_data"].partitions_def
    assert nodes[name].backfill_policy == dg.BackfillPolicy.single_run()


@pytest.mark.parametrize("name", sorted(set(ASSETS) - set(DAILY)))
def test_the_other_assets_have_no_days(name):
    assert nodes[name].partitions_def is None


def test_jobs_checks_schedules_and_sensors_say_what_they_are_for():
    things = [
        *(job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")),
        *repository.schedule_defs,
        *repository.sensor_defs,
        *(graph.get_check_spec(key) for key in graph.asset_check_keys),
    ]
    for thing in things:
        assert thing.description, thing.name
        assert thing.description.endswith("."), thing.name


def test_the_jobs_of_schedules_and_sensors_exist():
    jobs = {job.name for job in defs.resolve_all_job_defs()}
    assert {schedule.job_name for schedule in repository.schedule_defs} <= jobs
    assert {sensor.job_name for sensor in repository.sensor_defs if sensor.has_jobs} <= jobs


def test_a_job_never_mixes_daily_assets_with_others():
    for job in defs.resolve_all_job_defs():
        made = set(names(job.asset_layer.selected_asset_keys))
        if not job.name.startswith("__"):
            assert made <= set(DAILY) or not made & set(DAILY), job.name


def test_nothing_is_made_just_because_something_else_was_recorded():
    # `deployed_elsewhere` records a deployment that no run of this instance made: no paid run may follow from that.
    assert {name for name, node in nodes.items() if node.automation_condition is not None} == set()
    kinds = {sensor.name: sensor.sensor_type.name for sensor in repository.sensor_defs}
    assert set(kinds.values()) <= {"STANDARD", "RUN_STATUS"}, kinds


def test_every_resource_that_an_asset_asks_for_is_provided(tmp_path):
    provided = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path)}))
    assert set(provided) == {"compute", "storage", "registry", "endpoint", "online_endpoint", "telemetry"}
    for job in defs.resolve_all_job_defs():
        assert job.get_required_resource_defs().keys() - {"io_manager"} <= set(provided)


def test_the_connection_string_is_shown_by_its_name_only(monkeypatch, tmp_path):
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", "InstrumentationKey=a-secret")
    telemetry = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path)}))["telemetry"]
    assert "a-secret" not in repr(telemetry)
    assert "a-secret" not in str(telemetry.__dict__)
