"""Each environment provides every port in full, under the port's own method names and parameters."""

from __future__ import annotations

import inspect

import pytest

from credit_default.ports import BatchEndpoint, Compute, ModelRegistry, OnlineEndpoint, Storage, Telemetry
from credit_default.resources import resources_for
from credit_default.settings import read
from credit_default_tests.settings_of_azure import AZURE_SETTINGS

PORTS = {
    "compute": Compute,
    "storage": Storage,
    "registry": ModelRegistry,
    "endpoint": BatchEndpoint,
    "online_endpoint": OnlineEndpoint,
    "telemetry": Telemetry,
}


@pytest.fixture(params=["local", "development"])
def provided(request, tmp_path, monkeypatch):
    for name, value in AZURE_SETTINGS.items():
        monkeypatch.setenv(name, value)
    return resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home"), "CREDIT_DEFAULT_ENV": request.param}))


def test_making_the_ports_connects_to_nothing_and_makes_no_folder(provided, tmp_path):
    assert set(provided) == set(PORTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(PORTS))
def test_a_port_can_be_called_as_it_is_declared(provided, name):
    port, made = PORTS[name], provided[name]
    assert isinstance(made, port)
    for method in port.__abstractmethods__:
        declared = inspect.signature(getattr(port, method)).parameters
        assert list(inspect.signature(getattr(type(made), method)).parameters) == list(declared), method


def test_no_port_shows_a_secret(provided):
    assert "00000000000c" not in "".join(f"{port!r}{port._resolved_config_dict}" for port in provided.values())


def test_the_azure_ports_are_told_what_the_settings_say(tmp_path, monkeypatch):
    for name, value in {**AZURE_SETTINGS, "CREDIT_DEFAULT_UPLOAD_LIMIT": "42"}.items():
        monkeypatch.setenv(name, value)
    made = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path), "CREDIT_DEFAULT_ENV": "staging"}))
    assert (made["storage"].account, made["storage"].container) == ("stcreditdefault", "lake")
    assert made["storage"].time_limit == made["compute"].upload_limit == 42
    assert made["compute"].environment == "staging"
    assert made["compute"].targets["train"].compute == "cpu-cluster"
    assert made["registry"].registry == AZURE_SETTINGS["AZURE_ML_REGISTRY"]
    assert made["registry"].time_limit == 42
    online = made["online_endpoint"]
    assert online.name == "credit-card-default-oe"
    assert [endpoint.only_from_registry for endpoint in (online, made["endpoint"])] == [False, False]
    production = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path), "CREDIT_DEFAULT_ENV": "production"}))
    assert all(production[endpoint].only_from_registry for endpoint in ("online_endpoint", "endpoint"))
    assert (online.instance_type, online.instance_count) == ("Standard_DS3_v2", 1)
    assert made["storage"].uri("a/b") == "https://stcreditdefault.blob.core.windows.net/lake/a/b"


def test_every_path_of_the_local_ports_is_below_home(tmp_path):
    provided = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))
    home = str(tmp_path / "home")
    assert provided["compute"].jobs.startswith(home)
    assert provided["compute"].lake == provided["storage"].root == f"{home}/lake"
    assert provided["registry"].files == f"file://{home}/lake"
    assert provided["registry"].tracking_uri.startswith(f"sqlite:///{home}/")
    assert provided["telemetry"].folder.startswith(home)


@pytest.mark.parametrize("environment", ["local", "staging"])
def test_telemetry_is_sent_by_what_the_settings_say(tmp_path, monkeypatch, environment):
    for name, value in AZURE_SETTINGS.items():
        monkeypatch.setenv(name, value)
    told = {"CREDIT_DEFAULT_HOME": str(tmp_path), "CREDIT_DEFAULT_ENV": environment}
    provided = resources_for(read({**told, "CREDIT_DEFAULT_TELEMETRY": "opentelemetry"}))
    assert provided["telemetry"].exporter == "opentelemetry"
