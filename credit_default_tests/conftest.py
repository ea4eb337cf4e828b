"""What every test starts from."""

import pytest
from dagster._core.storage.defs_state import base


@pytest.fixture(autouse=True)
def no_instance_of_an_earlier_test():
    """Dagster remembers the storage of the instance that was entered last, also after that instance is gone."""
    base._current_storage.set(None)
