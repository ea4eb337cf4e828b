"""What only the local registry has: MLflow behind it."""

from __future__ import annotations

import pytest

from credit_default.resources.local.registry import LocalModelRegistry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def registry(database, tmp_path, request) -> LocalModelRegistry:
    return LocalModelRegistry(name=request.node.name, tracking_uri=database, files=tmp_path.as_uri())


def register(registry, number: int):
    return registry.register(f"models/m{number}", sha256=f"{number:064x}", tags={})


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
