"""A model registry, on every platform: one version a model file, numbered as numbers, found by version or alias."""

from __future__ import annotations

import uuid

import pytest

from credit_default.errors import NotThere
from credit_default.ports import ModelRegistry
from credit_default_tests.platforms import platforms, registry_of, storage_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    """An MLflow database, which takes seconds to make: each test has a registered model of its own in it."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'below' / 'mlflow.db'}"


@pytest.fixture(params=platforms())
def open_registry(request, tmp_path):
    """Open the registry of a platform for one model, and its storage."""
    database = ""
    if request.param == "local":
        database = request.getfixturevalue("database")
    elif request.param == "azure":
        request.getfixturevalue("azure")
    storage = storage_of(request.param, tmp_path)

    def make(name: str) -> ModelRegistry:
        return registry_of(request.param, name, database, tmp_path)

    make.storage = storage
    return make


@pytest.fixture
def register(open_registry):
    """Put a model folder into storage and register it."""

    def make(registry, number: int, **tags: str):
        key = f"models/{registry.name}-{number}"  # a real workspace is not new for each test
        open_registry.storage.write(f"{key}/MLmodel", b"flavors: {}")
        return registry.register(key, sha256=f"{number:064x}", tags={"verdict": "promote", **tags})

    return make


@pytest.fixture
def registry(open_registry) -> ModelRegistry:
    return open_registry(f"model-{uuid.uuid4().hex[:12]}")


def test_an_empty_registry_has_no_versions_and_says_how_to_get_one(registry):
    assert registry.versions() == []
    with pytest.raises(NotThere, match=r"no version or alias 'champion'.*versions there: none.*train_model"):
        registry.get("champion")


def test_a_version_knows_its_folder_its_hash_and_its_tags(registry, register):
    made = register(registry, 1, roc_auc="0.77")
    assert (made.version, made.key, made.sha256) == ("1", f"models/{registry.name}-1", f"{1:064x}")
    assert made.tags["roc_auc"] == "0.77"
    assert made.name == registry.name
    assert registry.get("1") == made


def test_the_same_model_file_is_registered_once(registry, register):
    first = register(registry, 1)
    register(registry, 2)
    assert register(registry, 1, verdict="reject") == first
    assert [version.version for version in registry.versions()] == ["2", "1"]


def test_versions_are_numbers_and_the_newest_comes_first(registry, register):
    for number in range(1, 12):
        register(registry, number)
    assert [version.version for version in registry.versions()] == [str(number) for number in range(11, 0, -1)]


def test_an_alias_moves_and_is_on_one_version_only(registry, register):
    register(registry, 1)
    register(registry, 2)
    registry.set_alias("champion", "1")
    registry.set_alias("challenger", "2")
    assert registry.get("champion").version == "1"
    registry.set_alias("champion", "2")
    assert registry.get("champion").version == "2"
    assert registry.get("2").aliases == ("challenger", "champion")
    assert registry.get("1").aliases == ()


def test_what_is_not_there_is_named_with_what_is(registry, register):
    register(registry, 1)
    register(registry, 2)
    with pytest.raises(NotThere, match=r"'3'.*versions there: 2, 1\."):
        registry.get("3")


def test_registries_of_other_models_are_not_mixed_in(registry, open_registry, register):
    register(registry, 1)
    other = open_registry(f"{registry.name}-other")
    assert other.versions() == []
    assert register(other, 1).version == "1"
    other.set_alias("champion", "1")
    assert registry.get("1").aliases == ()


def test_another_process_sees_the_same_versions(registry, open_registry, register):
    register(registry, 1)
    registry.set_alias("champion", "1")
    again = open_registry(registry.name)
    assert again.get("champion").version == "1"


def test_an_alias_of_a_version_that_is_not_there_is_refused(registry, register):
    register(registry, 1)
    registry.set_alias("champion", "1")
    with pytest.raises(NotThere, match=r"'7'.*versions there: 1\."):
        registry.set_alias("champion", "7")
    assert registry.get("champion").version == "1"
