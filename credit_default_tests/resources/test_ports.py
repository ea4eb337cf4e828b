"""Each environment provides every port in full, under the port's own method names and parameters."""

from __future__ import annotations

import inspect

import pytest

from credit_default.resources import resources_for
from credit_default.resources.ports import BatchEndpoint, Compute, ModelRegistry, Storage, Telemetry
from credit_default.settings import read

PORTS = {
    "compute": Compute,
    "storage": Storage,
    "registry": ModelRegistry,
    "endpoint": BatchEndpoint,
    "telemetry": Telemetry,
}


@pytest.fixture
def provided(tmp_path):
    return resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))


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


def test_every_path_of_the_local_ports_is_below_home(provided, tmp_path):
    home = str(tmp_path / "home")
    assert provided["compute"].jobs.startswith(home)
    assert provided["compute"].lake == provided["storage"].root == provided["registry"].storage.root == f"{home}/lake"
    assert provided["registry"].tracking_uri.startswith(f"sqlite:///{home}/")
    assert provided["telemetry"].folder.startswith(home)
