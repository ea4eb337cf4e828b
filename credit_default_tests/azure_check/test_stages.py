"""What a check finds where Azure does something else than the stand-in does by default."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from credit_default_tests.azure_check.session import Session
from credit_default_tests.azure_check.stages import look_at_shared_tags
from credit_default_tests.platforms import azure_registry
from credit_default_tests.resources.azure.test_registry import NAME, register

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kept", "observed"), [(True, "yes"), (False, "no")])
def test_tags_that_the_registry_drops_are_found_though_the_platform_goes_on_without_them(
    azure, emulator, kept, observed
):
    registry = azure_registry(NAME)
    emulator.registry(registry.registry, keeps_tags=kept)
    made = register(registry)
    registry.share(made.version)
    place: Any = SimpleNamespace(registry=registry)
    session = Session(place, SimpleNamespace(), print, str, b"", b"")
    look_at_shared_tags(session, made.version)
    assert registry.is_shared(made)
    assert [(one.key, one.observed) for one in session.findings] == [("shared-models", observed)]
