"""The Dagster instance of an environment: prepared without touching what a user has changed, and as it should be."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator

from credit_default.errors import SettingsError
from credit_default.resources.local.run_launcher import WatchfulRunLauncher
from credit_default.runs import instance as local
from credit_default.settings import read
from credit_default_tests import CHECKOUT
from credit_default_tests.platforms import azure_storage
from credit_default_tests.settings_of_azure import AZURE_SETTINGS


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


@pytest.mark.parametrize("text", ["{{{", "nosuch: 1", "- a", "telemetry: 3", "a: !!python/name:os.system", "\udcff"])
def test_a_configuration_that_is_none_is_told_in_a_line(settings, text):
    local.prepare(settings)
    configuration = settings.dagster_home / "dagster.yaml"
    configuration.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError, match="remove it") as refused:
        local.prepare(settings)
    assert str(refused.value).startswith(f"{configuration} is no configuration of a Dagster instance (")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 700


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


@pytest.fixture
def development(tmp_path):
    return read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home"), "CREDIT_DEFAULT_ENV": "development"})


def test_an_azure_environment_gets_no_landing_folders_and_a_configuration_of_its_own(development, monkeypatch):
    for name, value in AZURE_SETTINGS.items():
        monkeypatch.setenv(name, value)
    local.prepare(development)
    assert [path.name for path in development.home.iterdir()] == ["dagster"]
    assert "LakeComputeLogManager" in (development.dagster_home / "dagster.yaml").read_text()


def test_logs_of_an_azure_environment_are_kept_in_its_own_folder_until_they_are_in_the_lake(development, monkeypatch):
    for name, value in AZURE_SETTINGS.items():
        monkeypatch.setenv(name, value)
    for name, value in local.prepare(development).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as made:
        kept = made.compute_log_manager.local_manager.get_captured_local_path(["run", "compute_logs", "step"], "out")
    assert Path(kept).is_relative_to(development.dagster_home)


def test_an_azure_environment_whose_settings_are_wrong_is_refused_before_anything_is_made(development, monkeypatch):
    for name in AZURE_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="8 settings"):
        local.prepare(development)
    assert not development.home.exists()


def test_the_configurations_differ_only_where_azure_does():
    common, azure = (
        yaml.safe_load((CHECKOUT / f"credit_default/resources/{name}/dagster.yaml").read_text())
        for name in ("local", "azure")
    )
    assert azure.pop("compute_logs")["class"] == "LakeComputeLogManager"
    assert azure["concurrency"]["runs"].pop("max_concurrent_runs") >= common["concurrency"]["runs"].pop(
        "max_concurrent_runs"
    )
    # A run that is stopped cancels its job first, and waits for Azure.
    assert azure["run_monitoring"].pop("cancel_timeout_seconds") > common["run_monitoring"].pop(
        "cancel_timeout_seconds"
    )
    assert azure == common


@dg.op
def talkative():
    print("said at the beginning", flush=True)
    time.sleep(14)
    print("said at the end")


@dg.job(executor_def=dg.in_process_executor)
def talk():
    talkative()


@pytest.mark.slow
def test_what_a_step_prints_is_in_the_lake_while_it_runs_and_afterwards(azure, development, monkeypatch):
    for name, value in local.prepare(development).items():
        monkeypatch.setenv(name, value)
    storage = azure_storage()

    def logs(*endings: str) -> list[str]:
        found = storage._list("dagster/logs/")
        return [storage.read(blob.name).decode() for blob in found if blob.name.endswith(endings)]

    with dg.DagsterInstance.get() as instance:
        assert not instance.telemetry_enabled
        assert isinstance(instance.run_launcher, WatchfulRunLauncher)
        run = threading.Thread(target=lambda: talk.execute_in_process(instance=instance))
        run.start()
        while run.is_alive() and not logs(".out.partial"):
            time.sleep(0.5)
        assert run.is_alive(), "it was over before anything could be seen"
        assert "said at the beginning" in "".join(logs(".out.partial"))
        run.join()
    assert "said at the end" in "".join(logs(".out"))
