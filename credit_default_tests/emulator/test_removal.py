"""Removing what stands for more than one thing: an endpoint with its deployments, a datastore without its blobs."""

from azure.ai.ml.entities import AzureBlobDatastore, BatchEndpoint
from azure.core.exceptions import ResourceNotFoundError

from credit_default_tests.emulator.clients import client_of


def is_there(question) -> bool:
    try:
        question()
    except ResourceNotFoundError:
        return False
    return True


def test_a_batch_endpoint_is_removed_and_its_name_can_be_used_again(azure):
    client = client_of(azure)
    for _ in range(2):
        client.batch_endpoints.begin_create_or_update(BatchEndpoint(name="scores")).result()
        assert client.batch_endpoints.get("scores").name == "scores"
        client.batch_endpoints.begin_delete("scores").result()
        assert not is_there(lambda: client.batch_endpoints.get("scores"))


def test_a_datastore_is_removed_once_or_twice(azure):
    client = client_of(azure)
    client.datastores.create_or_update(
        AzureBlobDatastore(name="lake", account_name=azure.account, container_name=azure.container)
    )
    for _ in range(2):
        client.datastores.delete("lake")
        assert not is_there(lambda: client.datastores.get("lake"))
