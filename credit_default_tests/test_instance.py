"""The local Dagster instance: prepared without touching what a user has changed, and as it should be."""

from __future__ import annotations

import os

import dagster as dg
import pytest
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator

from credit_default import instance as local
from credit_default.resources.local.run_launcher import WatchfulRunLauncher
from credit_default.settings import read


@pytest.fixture
def settings(tmp_path):
    return read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")})


def test_every_folder_that_files_arrive_in_is_made(settings):
    local.prepare(settings)
    for folder in ("curated", "inference/batch", "outcomes"):
        assert (settings.landing / folder).is_dir()


def test_preparing_twice_changes_nothing_and_a_users_configuration_is_left_alone(settings):
    local.prepare(settings)
    (settings.dagster_home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n# mine\n")
    (settings.landing / "curated" / "mine.csv").write_text("a\n")
    local.prepare(settings)
    assert (settings.dagster_home / "dagster.yaml").read_text().endswith("# mine\n")
    assert (settings.landing / "curated" / "mine.csv").exists()


def test_other_processes_get_the_same_home_and_no_telemetry(settings):
    environment = local.prepare(settings)
    assert environment["DAGSTER_HOME"] == str(settings.dagster_home)
    assert environment["CREDIT_DEFAULT_HOME"] == str(settings.home)
    assert environment["DAGSTER_DISABLE_TELEMETRY"]
    assert environment["PATH"] == os.environ["PATH"]


@pytest.fixture
def loaded(settings, monkeypatch):
    for name, value in local.prepare(settings).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as made:
        yield made


def test_the_packaged_configuration_loads_and_is_as_promised(loaded, settings):
    assert not loaded.telemetry_enabled
    assert isinstance(loaded.run_launcher, WatchfulRunLauncher)
    assert loaded.run_launcher.supports_check_run_worker_health
    assert loaded.run_monitoring_enabled
    assert loaded.run_retries_enabled
    assert loaded.run_retries_max_retries >= 1
    assert not loaded.run_retries_retry_on_asset_or_op_failure
    assert isinstance(loaded.run_coordinator, QueuedRunCoordinator)
    assert loaded.root_directory == str(settings.dagster_home)


def test_writers_of_the_same_tables_are_never_dequeued_together(loaded):
    limits = loaded.get_concurrency_config().run_queue_config.tag_concurrency_limits
    found = {(limit["key"], limit["value"]): limit["limit"] for limit in limits}
    assert found[("credit_default/tables", "daily")] == 1
    assert found[("credit_default/tables", "model")] == 1


def test_entering_makes_this_process_one_of_the_instance(settings, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "/nowhere")
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(settings.home))
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "")
    assert local.enter().home == settings.home
    assert os.environ["DAGSTER_HOME"] == str(settings.dagster_home)
