"""Workspaces, datastores and computes, seen through the real SDK."""

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from credit_default_tests.emulator.clients import client_of


@pytest.fixture
def client(azure):
    return client_of(azure)


def test_a_workspace_is_found_by_its_name(azure, client):
    found = client.workspaces.get(azure.name)

    assert found.name == azure.name
    assert found.resource_group == azure.resource_group
    assert found.storage_account.endswith(f"/storageAccounts/{azure.account}")
    assert found.discovery_url.startswith("https://westeurope.api.azureml.ms/")


def test_another_workspace_is_not_found(client):
    with pytest.raises(ResourceNotFoundError, match=r"'Microsoft\.MachineLearningServices/workspaces/nowhere'"):
        client.workspaces.get("nowhere")


def test_workspaces_hold_nothing_of_each_other(emulator, azure, client):
    other = client_of(emulator.workspace())
    other.datastores.create_or_update(blob_datastore("theirs", azure))

    with pytest.raises(ResourceNotFoundError):
        client.datastores.get("theirs")


def test_the_default_datastore_is_the_workspace_s_own(azure, client):
    default = client.datastores.get_default()

    assert (default.name, default.account_name) == ("workspaceblobstore", azure.account)
    assert default.container_name == azure.artifacts


def test_a_datastore_without_credentials_is_made_and_found(azure, client):
    client.datastores.create_or_update(blob_datastore("lake", azure))
    client.datastores.create_or_update(blob_datastore("lake", azure))

    found = client.datastores.get("lake")
    assert (found.account_name, found.container_name) == (azure.account, azure.container)
    assert found.credentials.type == "None"
    assert {one.name for one in client.datastores.list()} == {"lake", "workspaceblobstore"}
    assert client.datastores.get_default().name == "workspaceblobstore"


def test_a_datastore_s_name_has_no_dots(azure, client):
    with pytest.raises(HttpResponseError, match="does not fit") as refused:
        client.datastores.create_or_update(blob_datastore("la.ke", azure))
    assert refused.value.status_code == 400


def test_computes_are_dedicated_or_low_priority(client):
    assert client.compute.get("cpu-cluster").tier.lower() == "dedicated"
    assert client.compute.get("cpu-spot").tier.lower() in ("lowpriority", "low_priority")
    with pytest.raises(ResourceNotFoundError, match="gpu-cluster"):
        client.compute.get("gpu-cluster")


def blob_datastore(name, workspace):
    from azure.ai.ml.entities import AzureBlobDatastore

    return AzureBlobDatastore(name=name, account_name=workspace.account, container_name=workspace.container)
