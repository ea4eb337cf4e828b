"""What an online endpoint acts as on the stand-in: for good, and with no right that nobody gave it."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError

from credit_default_tests.emulator.clients import client_of
from credit_default_tests.emulator.test_online_endpoints import make_endpoint, put_deployment, turn

pytestmark = pytest.mark.slow


@pytest.fixture
def client(azure):
    return client_of(azure)


def as_identity(azure):
    """An endpoint that acts as the identity that was made for it."""
    from azure.ai.ml.entities import IdentityConfiguration, ManagedIdentityConfiguration, ManagedOnlineEndpoint

    own = [ManagedIdentityConfiguration(resource_id=azure.online_identity)]
    identity = IdentityConfiguration(type="user_assigned", user_assigned_identities=own)
    return ManagedOnlineEndpoint(name="scoring", auth_mode="aad_token", identity=identity)


def test_an_endpoint_acts_as_the_identity_that_it_was_made_with_for_good(client, azure):
    client.online_endpoints.begin_create_or_update(as_identity(azure)).result()
    turn(client)
    (own,) = client.online_endpoints.get("scoring").identity.user_assigned_identities
    assert own.resource_id == azure.online_identity
    with pytest.raises(HttpResponseError, match="identity of endpoint 'scoring' cannot be changed"):
        make_endpoint(client)


def test_an_identity_that_is_not_there_makes_no_endpoint(client, azure):
    endpoint = as_identity(azure)
    (own,) = endpoint.identity.user_assigned_identities
    own.resource_id += "-of-somebody-else"
    with pytest.raises(HttpResponseError, match="FailedIdentityOperation"):
        client.online_endpoints.begin_create_or_update(endpoint).result()
    assert list(client.online_endpoints.list()) == []


@pytest.mark.parametrize("own", [False, True])
def test_only_an_identity_with_a_role_reads_a_model_outside_the_default_datastore(client, azure, tmp_path, own):
    from azure.ai.ml.entities import AzureBlobDatastore, Model

    lake = AzureBlobDatastore(name="lake", account_name=azure.account, container_name=azure.container)
    client.datastores.create_or_update(lake)
    if own:
        client.online_endpoints.begin_create_or_update(as_identity(azure)).result()
    else:
        make_endpoint(client)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "word").write_text("here")
    model = Model(name="here", version="1", path=tmp_path / "here", datastore="lake")
    uploaded = client.models.create_or_update(model)
    assert "/datastores/lake/" in uploaded.path
    if own:
        assert put_deployment(client, tmp_path, "first", "there", model="here:1").provisioning_state == "Succeeded"
    else:
        with pytest.raises(HttpResponseError, match="authorization error: the identity of the endpoint may not read"):
            put_deployment(client, tmp_path, "first", "there", model="here:1")
