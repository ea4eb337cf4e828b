"""Environments that the tests of a module share, since making them takes a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from credit_default.core.sealing import new_key
from credit_default.settings import COLLECTION_KEY_VARIABLE
from credit_default_tests.conftest import _OF_AZURE, _OF_PROXIES
from credit_default_tests.deploy.delivery import Delivery


@pytest.fixture(scope="module")
def delivery(emulator, tmp_path_factory) -> Iterator[Delivery]:
    """Development, staging and production, in a shell that has the secrets and is set up for none of them."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OF_AZURE) and name.upper() not in _OF_PROXIES
    }
    shell = {**kept, **emulator.environment, COLLECTION_KEY_VARIABLE: new_key(), "AZUREML_CURRENT_CLOUD": "AzureCloud"}
    with patch.dict(os.environ, shell, clear=True):
        yield Delivery(emulator, tmp_path_factory.mktemp("delivery"))
    emulator.clear_faults()
    assert emulator.unknown() == []
    assert emulator.refused_hosts() == []
