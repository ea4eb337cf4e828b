"""What dagster-azure's launcher of runs on Container Apps does with a cancelled run, as docs/dagster-azure.md says.

When this fails, the launcher has changed: read the page again, and decide anew.
"""

import importlib
import sys
from unittest.mock import MagicMock, call

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test


@pytest.fixture
def launchers(monkeypatch):
    """The launcher's module with a stand-in for the SDK of Container Apps, which is not locked here."""
    for name in ("azure.mgmt.appcontainers", "azure.mgmt.appcontainers.models"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    before = set(sys.modules)
    yield importlib.import_module("dagster_azure.container_apps.launcher")
    for name in set(sys.modules) - before:
        if name.startswith("dagster_azure.container_apps"):
            del sys.modules[name]


def test_a_cancelled_run_has_its_job_deleted_at_once(launchers):
    names = ("subscription_id", "resource_group", "region", "environment_id")
    settings = dict.fromkeys(("env_vars", "run_resources", "identity_id", "run_job_replica_timeout"))
    with pytest.warns(dg.BetaWarning):
        launcher = launchers.AcaRunLauncher(inst_data=None, **{name: name for name in names}, **settings)
    with dg.DagsterInstance.ephemeral() as instance:
        launcher.register_instance(instance)
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
        instance.add_run_tags(run.run_id, {launchers._JOB_NAME_TAG: "job"})
        assert launcher.terminate(run.run_id)
        assert instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.CANCELING
    # Nothing between the two lets the run cancel what it has on Azure ML.
    asked = launcher._get_client().mock_calls
    assert asked == [
        call.jobs.begin_stop_multiple_executions("resource_group", "job"),
        call.jobs.begin_delete("resource_group", "job"),
    ]
