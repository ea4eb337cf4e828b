"""What every test starts from."""

import os

import pytest
from dagster._core.storage.defs_state import base

from credit_default_tests.azure_emulator import Emulator

# What would lead a process to the Azure of whoever runs the tests, or past the emulator.
_OF_AZURE = ("AZURE", "ARM_", "MSI_", "IDENTITY_", "CREDIT_DEFAULT_", "APPLICATIONINSIGHTS_", "MLFLOW_")
_OF_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "CURL_CA_BUNDLE")


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that no worker sits over a long file when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    long = {"deploy", "end_to_end"}
    items.sort(key=lambda item: (long.isdisjoint(item.path.parts), item.path not in slow))


@pytest.fixture(autouse=True)
def no_instance_of_an_earlier_test():
    """Dagster remembers the storage of the instance that was entered last, also after that instance is gone."""
    base._current_storage.set(None)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """Azure, played by a process on this machine; see azure_emulator/README.md."""
    with Emulator.started(tmp_path_factory.mktemp("azure")) as running:
        yield running


@pytest.fixture
def azure(emulator, monkeypatch):
    """A new workspace in the emulator, which this process's environment points at."""
    for name in list(os.environ):
        if name.startswith(_OF_AZURE) or name.upper() in _OF_PROXIES:
            monkeypatch.delenv(name)
    workspace = emulator.workspace()
    for name, value in emulator.environment_in(workspace).items():
        monkeypatch.setenv(name, value)
    yield workspace
    emulator.clear_faults()
    assert emulator.unknown() == []
    assert emulator.refused_hosts() == []
