"""The second half of the demo where its resources are Azure's: they have to be closed, those of a laptop need not."""

from __future__ import annotations

from types import SimpleNamespace

import dagster as dg
import pytest

from credit_default import settings
from credit_default.demo.loop import ClosingTheLoop
from credit_default.resources import resources_for
from credit_default.resources.azure.telemetry import AzureTelemetry
from credit_default_tests.end_to_end.world import ago


@pytest.mark.slow
def test_the_drift_sensor_is_asked_on_azure_as_the_daemon_asks_it(azure, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDIT_DEFAULT_HOME", str(tmp_path))
    demo = SimpleNamespace(console=SimpleNamespace(print=print), ports=resources_for(settings.read()))
    assert isinstance(demo.ports["telemetry"], AzureTelemetry)
    with dg.DagsterInstance.ephemeral() as instance:
        day = ago(2)
        for asset, partition, metadata in (
            ("registered_model", None, {"version": "1", "roc_auc": 0.78}),
            ("batch_deployment", None, {"live_version": "1"}),
            ("drift_metrics", day, {"violation": True, "violating_features": "age", "model_version": "1"}),
        ):
            instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=partition, metadata=metadata))
        told = ClosingTheLoop(demo, instance, trials=1)._look().skip_message
    assert told == f"{day} violates, and 1 of the last 1 day violates; 2 of 5 are needed."
