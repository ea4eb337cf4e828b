"""What another instance made live is recorded here as it is: once, without a run, and days are scored after it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.remote_origin import RemoteJobOrigin

from credit_default.core.lake import LEDGER
from credit_default.definitions import defs
from credit_default.defs.assets import deployment
from credit_default.defs.assets.deployment import _go_live
from credit_default.defs.automation import event_log
from credit_default.defs.automation.external_deployments import deployed_elsewhere
from credit_default.defs.automation.sensors import inference_landing
from credit_default.defs.shared.history import newest
from credit_default.errors import LedgerError
from credit_default.resources import resources_for
from credit_default.resources.local.registry import LocalModelRegistry
from credit_default.settings import read
from credit_default_tests.defs.assets.test_deployment_ledger import wish
from credit_default_tests.defs.conftest import ORIGIN, day, ranges

TRAINED_AT = "2026-01-02T03:04:05+00:00"


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> LocalModelRegistry:
    """A registry with two versions that promised something, and one whose tags somebody has spoilt."""
    folder = tmp_path_factory.mktemp("registry")
    made = LocalModelRegistry(name="m", tracking_uri=f"sqlite:///{folder}/mlflow.db", files="file:///lake")
    for number, auc, trained in (("1", "0.780000", TRAINED_AT), ("2", "0.790000", TRAINED_AT), ("3", "good", "once")):
        tags = {"verdict": "promote", "roc_auc": auc, "trained_at": trained}
        made.register(f"models/m{number}", sha256=number * 64, tags=tags)
    return made


class Host:
    """An instance that deployed nothing, on a lake on which others do."""

    def __init__(self, instance: dg.DagsterInstance, ports: dict, registry: LocalModelRegistry) -> None:
        self.instance = instance
        self.ports = {**ports, "registry": registry}
        for version in ("1", "2", "3"):
            self.ports["endpoint"]._add(version)

    def elsewhere(self, version: str, action: str = "promote") -> None:
        """Another instance makes a version live."""
        _go_live(wish(version, action, root=f"{action} {version}"), self.ports["storage"], self.ports["endpoint"])

    def tick(self, sensor=deployed_elsewhere):
        """Evaluate a sensor and record its events, as the daemon does."""
        resources = {name: self.ports[name] for name in sensor.required_resource_keys}
        with dg.build_sensor_context(
            instance=self.instance,
            resources=resources,
            repository_def=defs.get_repository_def(),
            sensor_name=sensor.name,
        ) as context:
            done = sensor.evaluate_tick(context)
        for event in done.asset_events:
            self.instance.report_runless_asset_event(event)
        return done

    def newest(self) -> dg.AssetMaterialization:
        return newest(self.instance, "batch_deployment").asset_materialization

    def told(self) -> dict:
        return {name: value.value for name, value in self.newest().metadata.items()}


@pytest.fixture
def host(instance, tmp_path, registry) -> Host:
    return Host(instance, resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path)})), registry)


def test_what_went_live_elsewhere_is_recorded_once_and_starts_nothing(host):
    host.elsewhere("1")
    done = host.tick()
    assert done.run_requests == []
    assert done.skip_message == "Recorded: version 1 is live, by promote of run promote 1 (better)."
    told = host.told()
    assert {name: told[name] for name in ("live_version", "previous_version", "changed", "reason", "who")} == {
        "live_version": "1",
        "previous_version": "none",
        "changed": True,
        "reason": "better",
        "who": "run promote 1",
    }
    assert (told["roc_auc"], datetime.fromtimestamp(told["trained_at"], UTC).isoformat()) == (0.78, TRAINED_AT)
    assert host.newest().tags["dagster/data_version"] == "1" * 16
    again = host.tick()
    assert (again.asset_events, again.skip_message) == ([], "It is known here that version 1 is live.")
    assert host.instance.get_runs() == []


def test_it_tells_what_a_run_of_this_instance_tells_and_is_silent_after_one(host):
    host.elsewhere("1")
    host.tick()
    recorded = host.told()
    asset = dg.Definitions(assets=deployment.ASSETS, resources=host.ports)
    config = {"ops": {"batch_deployment": {"config": {"version": "1", "reason": "looked at"}}}}
    done = asset.resolve_implicit_global_asset_job_def().execute_in_process(config, instance=host.instance)
    assert done.success
    by_run = host.told()
    ours = ("changed", "reason", "who")
    assert {n: v for n, v in by_run.items() if n not in ours} == {n: v for n, v in recorded.items() if n not in ours}
    assert host.newest().tags["dagster/data_version"] == "1" * 16
    assert host.tick().asset_events == []


def test_landed_days_are_scored_once_it_is_known_that_a_version_is_live(host, landing):
    landing.storage = host.ports["storage"]
    landing.put(day(2))
    host.elsewhere("1")
    assert host.tick(inference_landing).skip_message.startswith("No model is live yet")
    host.tick()
    assert ranges(host.tick(inference_landing).run_requests) == [(day(2), day(2))]


def test_promotions_and_rollbacks_that_follow_are_recorded_too(host):
    host.elsewhere("1")
    host.tick()
    host.elsewhere("2")
    host.tick()
    assert (event_log.live_version(host.instance), event_log.expected_auc(host.instance, "2")) == ("2", 0.79)
    host.elsewhere("1", "rollback")
    host.tick()
    told = host.told()
    assert (told["live_version"], told["previous_version"], told["ledger_lines"]) == ("1", "2", 3)
    # Forth and back between two looks: the same version is live, and the ledger tells more than is recorded.
    host.elsewhere("2")
    host.elsewhere("1", "rollback")
    host.tick()
    told = host.told()
    assert (told["live_version"], told["changed"], told["ledger_lines"]) == ("1", False, 5)
    assert host.tick().asset_events == []


def test_a_tag_that_cannot_be_read_is_no_promise(host):
    host.elsewhere("3")
    host.tick()
    assert host.told().keys().isdisjoint({"roc_auc", "trained_at"})
    assert event_log.trained_at(host.instance, "3") is None


@pytest.mark.parametrize("job", ["deploy_model", "retrain", "rollback_model"])
def test_it_waits_for_a_run_of_its_own_instance(host, job):
    host.elsewhere("1")
    run = dg.DagsterRun(
        job_name=job,
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.STARTED,
        remote_job_origin=RemoteJobOrigin(ORIGIN, job),
    )
    host.instance.add_run(run)
    waiting = host.tick()
    assert waiting.asset_events == []
    assert waiting.skip_message == f"Version 1 is live; a run of {job} is at work, and records what is."
    host.instance.report_run_canceled(run)
    assert len(host.tick().asset_events) == 1


def test_nothing_is_recorded_while_ledger_and_endpoint_disagree(host):
    host.elsewhere("1")
    host.ports["endpoint"].make_default("2")
    done = host.tick()
    assert done.asset_events == []
    assert done.skip_message.startswith(
        "Version 1 is live by the ledger of promotions (line 1), and the endpoint answers with version 2: nothing is "
    )


def test_a_ledger_that_was_changed_is_not_believed(host):
    host.elsewhere("1")
    host.elsewhere("2")
    storage = host.ports["storage"]
    storage.write(LEDGER, storage.read(LEDGER).replace(b"better", b"because", 1))
    with pytest.raises(LedgerError, match="cannot be relied on from line 1 on"):
        host.tick()


def test_before_anything_was_live_there_is_nothing_to_record(host):
    done = host.tick()
    assert (done.asset_events, done.skip_message) == ([], "By the ledger of promotions nothing was ever live.")
