"""Versioned assets, seen through the real SDK."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from credit_default_tests.emulator.clients import client_of
from credit_default_tests.emulator.test_workspaces import blob_datastore


@pytest.fixture
def client(azure):
    return client_of(azure)


def data(version, path, **options):
    from azure.ai.ml.entities import Data

    address = f"azureml://datastores/workspaceblobstore/paths/{path}"
    return Data(name="table", version=version, type="uri_file", path=address, **options)


class TestData:
    def test_it_is_found_by_version_and_as_the_latest(self, client):
        client.data.create_or_update(data("1", "first.csv"))
        client.data.create_or_update(data("2", "second.csv", tags={"rows": "7"}))

        assert client.data.get("table", version="1").path.endswith("/first.csv")
        latest = client.data.get("table", label="latest")
        assert (latest.version, latest.tags) == ("2", {"rows": "7"})
        assert [one.version for one in client.data.list("table")] == ["2", "1"]

    def test_a_file_is_uploaded(self, azure, client, tmp_path):
        from azure.ai.ml.entities import Data
        from azure.identity import DefaultAzureCredential
        from azure.storage.blob import ContainerClient

        file = tmp_path / "table.csv"
        file.write_text("client_id\n")

        made = client.data.create_or_update(Data(name="uploaded", version="1", type="uri_file", path=str(file)))

        address = f"https://{azure.account}.blob.core.windows.net"
        with ContainerClient(address, azure.artifacts, DefaultAzureCredential()) as container:
            stored = made.path.partition("/paths/")[2]
            assert container.download_blob(stored).readall() == b"client_id\n"

    def test_a_file_is_uploaded_to_a_datastore_without_credentials(self, azure, client, tmp_path):
        from azure.ai.ml.entities import Data

        client.datastores.create_or_update(blob_datastore("lake", azure))
        (tmp_path / "table.csv").write_text("client_id\n")

        table = Data(name="uploaded", version="1", type="uri_file", path=str(tmp_path / "table.csv"), datastore="lake")
        assert "/datastores/lake/paths/" in client.data.create_or_update(table).path

    def test_a_version_is_not_changed_but_for_its_tags(self, client):
        client.data.create_or_update(data("1", "first.csv"))

        assert client.data.create_or_update(data("1", "first.csv", tags={"seen": "twice"})).tags == {"seen": "twice"}
        with pytest.raises(HttpResponseError, match="dataUri cannot be changed") as refused:
            client.data.create_or_update(data("1", "other.csv"))
        assert refused.value.status_code == 409
        assert client.data.get("table", version="1").path.endswith("/first.csv")

    def test_what_was_never_made_is_not_found(self, client):
        with pytest.raises(ResourceNotFoundError, match="table:9"):
            client.data.get("table", version="9")

    def test_a_malformed_name_is_refused(self, client):
        from azure.ai.ml.entities import Data

        with pytest.raises(HttpResponseError, match="does not fit") as refused:
            client.data.create_or_update(Data(name="ta ble", version="1", type="uri_file", path=data("1", "x").path))
        assert refused.value.status_code == 400


class TestEnvironments:
    def test_an_image_with_packages(self, client, tmp_path):
        from azure.ai.ml.entities import Environment

        conda = tmp_path / "conda.yaml"
        conda.write_text("name: it\ndependencies: [python=3.11]\n")
        client.environments.create_or_update(
            Environment(name="packed", version="1", image="ubuntu:24.04", conda_file=str(conda))
        )

        found = client.environments.get("packed", version="1")
        assert (found.image, found.conda_file["dependencies"]) == ("ubuntu:24.04", ["python=3.11"])

    def test_a_folder_to_build_is_uploaded_once(self, emulator, azure, client, tmp_path):
        from azure.ai.ml.entities import BuildContext, Environment

        (tmp_path / "Dockerfile").write_text("FROM ubuntu:24.04\n")

        def make():
            build = BuildContext(path=str(tmp_path))
            return client.environments.create_or_update(Environment(name="built", version="abc123", build=build))

        first = make()
        uploads = len(puts(emulator, azure))
        second = make()

        assert first.build.path == second.build.path
        assert uploads > 0
        assert len(puts(emulator, azure)) == uploads
        assert client.environments.get("built", label="latest").version == "abc123"

    def test_a_version_is_not_changed(self, client):
        from azure.ai.ml.entities import Environment

        with pytest.raises(HttpResponseError, match="image cannot be changed") as refused:
            client.environments.create_or_update(Environment(name="plain", version="1", image="ubuntu:24.04"))
        assert refused.value.status_code == 409


def test_a_registry_keeps_an_environment_once_and_no_signature(azure, tmp_path):
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import BuildContext, Environment
    from azure.identity import DefaultAzureCredential

    (tmp_path / "Dockerfile").write_text("FROM ubuntu:24.04\n")
    registry = MLClient(DefaultAzureCredential(), registry_name=azure.settings["AZURE_ML_REGISTRY"])

    def make():
        return Environment(name="built", version="abc123", build=BuildContext(path=str(tmp_path)))

    with pytest.raises(ResourceNotFoundError):
        registry.environments.get("built", "abc123")
    assert list(registry.environments.list("built")) == []
    registry.environments.create_or_update(make())
    with pytest.raises(HttpResponseError) as refused:
        registry.environments.create_or_update(make())
    assert refused.value.status_code in {400, 409}

    found = registry.environments.get("built", "abc123")
    assert "sig=" not in found.build.path
    assert [one.version for one in registry.environments.list("built")] == ["abc123"]


def test_code_is_uploaded_once_for_all_its_jobs(emulator, azure, client, tmp_path):
    from azure.ai.ml.entities._assets import Code

    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "program.py").write_text("print('here')\n")

    before = len(emulator.journal())
    first = client._code.create_or_update(Code(path=str(tmp_path)))
    second = client._code.create_or_update(Code(path=str(tmp_path)))
    (tmp_path / "steps" / "program.py").write_text("print('there')\n")
    third = client._code.create_or_update(Code(path=str(tmp_path)))

    assert first.id == second.id != third.id
    heard = emulator.journal()[before:]
    uploaded = [one["path"] for one in heard if one["method"] == "PUT" and "program.py" in one["path"]]
    containers = {path.split("/")[1] for path in uploaded}
    assert all(any(container in code.path for code in (first, third)) for container in containers)
    assert len(containers) == 2


def test_a_component_is_made_once(client):
    from azure.ai.ml import command

    def make(line):
        step = command(name="step", version="1", command=line, environment="plain:1", compute="cpu-cluster")
        return client.components.create_or_update(step.component, version="1")

    make("echo one")
    assert make("echo one").command == "echo one"
    assert client.components.get("step", version="1").command == "echo one"
    with pytest.raises(HttpResponseError, match="its componentSpec"):
        make("echo two")


def puts(emulator, workspace):
    """Return the journal's uploads into the workspace's own container."""
    return [
        one
        for one in emulator.journal()
        if one["method"] == "PUT" and one["path"].startswith(f"/{workspace.artifacts}/")
    ]
