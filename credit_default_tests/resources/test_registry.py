"""The registry on a real MLflow: one version a model file, numbered as numbers, found by version or alias."""

from __future__ import annotations

import os
import uuid

import pytest

from credit_default.errors import NotThere
from credit_default.resources.local.registry import LocalModelRegistry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    """An MLflow database, which takes seconds to make: each test has a registered model of its own in it."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'below' / 'mlflow.db'}"


@pytest.fixture(params=["local", "azure"])
def open_registry(request, tmp_path):
    """Open a registry as the environment does: a database here, a server there."""
    if request.param == "local":
        where = {"tracking_uri": request.getfixturevalue("database"), "files": tmp_path.as_uri()}
    else:
        workspace = request.getfixturevalue("azure")
        files = f"wasbs://{workspace.container}@{workspace.account}.blob.core.windows.net"
        where = {"tracking_uri": os.environ["MLFLOW_TRACKING_URI"], "files": files}

    def make(name: str) -> LocalModelRegistry:
        return LocalModelRegistry(name=name, **where)

    return make


@pytest.fixture
def registry(open_registry) -> LocalModelRegistry:
    return open_registry(f"model-{uuid.uuid4().hex[:12]}")


def register(registry, number: int, **tags: str):
    return registry.register(f"models/m{number}", sha256=f"{number:064x}", tags={"verdict": "promote", **tags})


def test_an_empty_registry_has_no_versions_and_says_how_to_get_one(registry):
    assert registry.versions() == []
    with pytest.raises(NotThere, match=r"no version or alias 'champion'.*versions there: none.*train_model"):
        registry.get("champion")


def test_a_version_knows_its_folder_its_hash_and_its_tags(registry):
    made = register(registry, 1, roc_auc="0.77")
    assert (made.version, made.key, made.sha256) == ("1", "models/m1", f"{1:064x}")
    assert made.tags["roc_auc"] == "0.77"
    assert made.name == registry.name
    assert registry.get("1") == made


def test_the_same_model_file_is_registered_once(registry):
    first = register(registry, 1)
    register(registry, 2)
    assert register(registry, 1, verdict="reject") == first
    assert [version.version for version in registry.versions()] == ["2", "1"]


def test_versions_are_numbers_and_the_newest_comes_first(registry):
    for number in range(1, 12):
        register(registry, number)
    assert [version.version for version in registry.versions()] == [str(number) for number in range(11, 0, -1)]


def test_an_alias_moves_and_is_on_one_version_only(registry):
    register(registry, 1)
    register(registry, 2)
    registry.set_alias("champion", "1")
    registry.set_alias("challenger", "2")
    assert registry.get("champion").version == "1"
    registry.set_alias("champion", "2")
    assert registry.get("champion").version == "2"
    assert registry.get("2").aliases == ("challenger", "champion")
    assert registry.get("1").aliases == ()


def test_what_is_not_there_is_named_with_what_is(registry):
    register(registry, 1)
    register(registry, 2)
    with pytest.raises(NotThere, match=r"'3'.*versions there: 2, 1\."):
        registry.get("3")


def test_registries_of_other_models_are_not_mixed_in(registry, open_registry):
    register(registry, 1)
    other = open_registry(f"{registry.name}-other")
    assert other.versions() == []
    assert register(other, 1).version == "1"
    other.set_alias("champion", "1")
    assert registry.get("1").aliases == ()


def test_another_process_sees_the_same_versions(registry, open_registry):
    register(registry, 1)
    registry.set_alias("champion", "1")
    again = open_registry(registry.name)
    assert again.get("champion").version == "1"


def test_a_registration_whose_answer_was_lost_and_was_sent_again_makes_one_version(registry, monkeypatch):
    from mlflow import MlflowClient

    create = MlflowClient.create_model_version

    def send_twice(self, *arguments, **options):
        create(self, *arguments, **options)
        return create(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_model_version", send_twice)
    made = register(registry, 1)
    assert made.version == "1"
    assert registry.versions() == [made]
    assert register(registry, 1) == made


def test_mlflow_itself_knows_where_the_files_are(registry):
    register(registry, 1)
    source = registry._client().get_model_version(registry.name, "1").source
    assert source == f"{registry.files}/models/m1"


def test_a_server_that_holds_many_models_still_tells_the_aliases_of_ours(database, tmp_path):
    from mlflow import MlflowClient

    registry = LocalModelRegistry(name="zz-last-by-name", tracking_uri=database, files=tmp_path.as_uri())
    register(registry, 1)
    registry.set_alias("champion", "1")
    client = MlflowClient(tracking_uri=database, registry_uri=database)
    for number in range(101):
        client.create_registered_model(f"other-{number}")
    assert registry.get("champion").version == "1"
