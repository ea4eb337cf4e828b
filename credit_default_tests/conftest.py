"""What every test starts from."""

import os
from collections import defaultdict

import pytest
from dagster._core.storage.defs_state import base

from credit_default_tests.azure_emulator import Emulator

# What would lead a process to the Azure of whoever runs the tests, or past the emulator.
_OF_AZURE = ("AZURE", "ARM_", "MSI_", "IDENTITY_", "CREDIT_DEFAULT_", "APPLICATIONINSIGHTS_", "MLFLOW_")
_OF_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "CURL_CA_BUNDLE")

#: Folders of tests whose processes are seldom idle.
COMPUTING = {"deploy", "end_to_end"}


def pytest_collection_modifyitems(items):
    """Begin with the files that are slow, those that compute and those that mostly wait for jobs by turns.

    So the cores have something to do all the time, and no worker sits over a long file when the others are done.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    kinds = defaultdict(list)
    for path in dict.fromkeys(item.path for item in items):
        kinds[path in slow, COMPUTING.isdisjoint(path.parts)].append(path)
    place = {path: number / len(paths) for paths in kinds.values() for number, path in enumerate(paths)}
    items.sort(key=lambda item: (item.path not in slow, place[item.path]))


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
    """A new workspace in the emulator, which this process's environment points at; it has the code of others."""
    for name in list(os.environ):
        if name.startswith(_OF_AZURE) or name.upper() in _OF_PROXIES:
            monkeypatch.delenv(name)
    workspace = emulator.workspace(with_code=True)
    for name, value in emulator.environment_in(workspace).items():
        monkeypatch.setenv(name, value)
    yield workspace
    emulator.clear_faults()
    assert emulator.unknown() == []
    assert emulator.refused_hosts() == []
