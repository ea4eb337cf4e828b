"""What only the local registry has: MLflow behind it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from credit_default.errors import DamagedFile, NotThere
from credit_default.resources.local.registry import LocalModelRegistry
from credit_default.resources.local.registry_database import read_versions

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


def test_a_database_that_another_process_holds_for_a_while_is_waited_for(registry, database):
    register(registry, 1)
    holder = sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    # Longer than MLflow waits by itself, which is 5 s.
    timer = threading.Timer(7.0, lambda: holder.execute("COMMIT"))
    timer.start()
    began = time.monotonic()
    registry.set_alias("champion", "1")
    timer.join()
    assert time.monotonic() - began > 6.5
    assert registry.get("champion").version == "1"


def test_a_version_that_lost_its_tags_is_named_and_takes_no_other_along(registry):
    first, second = register(registry, 1), register(registry, 2)
    registry._client().delete_model_version_tag(registry.name, second.version, "storage_key")
    assert registry.versions() == [first]
    with pytest.raises(
        NotThere, match=rf"versions there: 1; without the tags storage_key and model_sha256.*: {second.version}"
    ):
        registry.get(second.version)


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0cut off"])
def test_what_is_no_database_is_called_so_at_once(tmp_path, content):
    (tmp_path / "mlflow.db").write_bytes(content)
    broken = LocalModelRegistry(name="m", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", files=tmp_path.as_uri())
    with pytest.raises(DamagedFile, match=r"mlflow\.db is damaged"):
        broken.versions()


def test_versions_are_read_as_mlflow_itself_reads_them(registry):
    for number in (1, 2, 3):
        registry.register(f"models/m{number}", sha256=f"{number:064x}", tags={"verdict": f"v{number}"})
    registry.set_alias("challenger", "3")
    registry.set_alias("champion", "1")
    registry.set_alias("champion", "3")
    client = registry._client()
    client.delete_model_version(registry.name, "2")
    client.set_model_version_tag(registry.name, "1", "verdict", "another")
    database = Path(registry.tracking_uri.removeprefix("sqlite:///"))
    assert read_versions(database, registry.name) == registry._ask_server()
    assert [(one.version, one.aliases, one.tags["verdict"]) for one in registry.versions()] == [
        ("3", ("challenger", "champion"), "v3"),
        ("1", (), "another"),
    ]
    assert read_versions(database, "another") == []


def test_a_database_of_another_mlflow_is_left_to_mlflow(tmp_path):
    database = tmp_path / "mlflow.db"
    sqlite3.connect(database).execute("CREATE TABLE model_versions (name TEXT, number INTEGER)")
    assert read_versions(database, "model") is None


def test_to_read_a_version_imports_no_mlflow(registry):
    made = register(registry, 1)
    program = (
        "import sys; from credit_default.resources.local.registry import LocalModelRegistry; "
        f"registry = LocalModelRegistry(name={registry.name!r}, tracking_uri={registry.tracking_uri!r}, files=''); "
        f"print(registry.get({made.version!r}).sha256, 'mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [made.sha256, "False"]
