"""Faults in one line, and what the real SDK makes of them."""

import time

import httpx
import pytest
from azure.core.exceptions import AzureError, HttpResponseError

from credit_default_tests.emulator.clients import client_of

COMPUTES = r"/computes/cpu-cluster$"


@pytest.fixture
def client(azure):
    return client_of(azure)


def answers(emulator, azure, path):
    """Return how each request for a path of the workspace was answered."""
    return [one["status"] for one in emulator.journal() if f"/{azure.name}/{path}" in one["path"]]


def test_a_server_error_is_tried_again(emulator, azure, client):
    emulator.fault("GET", COMPUTES, status=500, times=2)

    assert client.compute.get("cpu-cluster").name == "cpu-cluster"
    assert answers(emulator, azure, "computes") == [500, 500, 200]


def test_too_many_requests_says_when_to_come_again(emulator, azure, client):
    emulator.fault("GET", COMPUTES, status=429, retry_after=1)

    began = time.monotonic()
    assert client.compute.get("cpu-cluster").name == "cpu-cluster"
    assert time.monotonic() - began >= 1
    assert answers(emulator, azure, "computes") == [429, 200]


def test_a_dropped_connection_is_tried_again(emulator, azure, client):
    emulator.fault("GET", COMPUTES, drop=True)

    assert client.compute.get("cpu-cluster").name == "cpu-cluster"
    assert answers(emulator, azure, "computes") == [None, 200]


def test_an_answer_is_lost_after_the_request_was_carried_out(emulator, azure, client):
    from azure.ai.ml.entities import Environment

    emulator.fault("PUT", "/environments/lost/", lose=True)

    client.environments.create_or_update(Environment(name="lost", version="1", image="ubuntu:24.04"))

    # The SDK asks again, and what it asks for is there already: 200, where a first PUT gets 201.
    assert answers(emulator, azure, "environments/lost/") == [None, 200]


def test_a_slow_answer_comes(emulator, azure, client):
    emulator.fault("GET", COMPUTES, delay=0.5)

    began = time.monotonic()
    assert client.compute.get("cpu-cluster").name == "cpu-cluster"
    assert time.monotonic() - began >= 0.5
    assert answers(emulator, azure, "computes") == [200]


def test_tokens_that_expire_early_are_replaced(emulator, azure, client):
    client.compute.get("cpu-cluster")

    emulator.expire_tokens()

    assert client.compute.get("cpu-cluster").name == "cpu-cluster"
    assert answers(emulator, azure, "computes") == [200, 401, 200]


def test_blobs_have_faults_too(emulator, azure):
    from azure.identity import DefaultAzureCredential
    from azure.storage.blob import ContainerClient

    address = f"https://{azure.account}.blob.core.windows.net/{azure.container}"
    container = ContainerClient.from_container_url(address, DefaultAzureCredential(), retry_total=0)
    container.upload_blob("there.txt", b"first")
    emulator.fault("PUT", "/there.txt$", status=503, host="blob")
    emulator.fault("PUT", "/there.txt$", drop=True, host="blob")

    with pytest.raises(HttpResponseError, match="Injected by a test"):
        container.upload_blob("there.txt", b"second", overwrite=True)
    with pytest.raises(AzureError, match="closed connection without response"):
        container.upload_blob("there.txt", b"second", overwrite=True)
    assert container.download_blob("there.txt").readall() == b"first"


def test_a_fault_is_for_the_method_host_and_path_that_it_names(emulator, azure, client):
    emulator.fault("POST", COMPUTES, status=500)
    emulator.fault("GET", COMPUTES, status=500, host="login")
    emulator.fault("GET", "/computes/other$", status=500)

    client.compute.get("cpu-cluster")

    assert answers(emulator, azure, "computes") == [200]


class TestWhatIsNotKnown:
    """Asked on purpose, so it is forgotten before the fixture looks."""

    def refusal(self, emulator, azure, path, version="2023-08-01-preview"):
        from azure.identity import DefaultAzureCredential

        token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
        answer = httpx.get(
            f"https://management.azure.com{arm_id(azure)}/{path}",
            params={"api-version": version},
            headers={"Authorization": f"Bearer {token}"},
            proxy=emulator.environment["HTTPS_PROXY"],
            verify=trusted(emulator),
        )
        seen = emulator.unknown()
        emulator.forget()
        return answer, seen

    def test_a_route(self, emulator, azure):
        answer, seen = self.refusal(emulator, azure, "quantumComputes/q")

        assert answer.status_code == 501
        assert answer.json()["error"]["code"] == "UnknownToTheEmulator"
        assert "quantumComputes/q" in answer.json()["error"]["message"]
        assert [one["what"] for one in seen] == ["route"]

    def test_an_api_version(self, emulator, azure):
        answer, seen = self.refusal(emulator, azure, "computes/cpu-cluster", version="1999-01-01")

        assert answer.status_code == 501
        assert "1999-01-01" in answer.json()["error"]["message"]
        assert [one["what"] for one in seen] == ["api-version"]

    def test_a_name_on_the_wire(self, emulator, azure, client):
        from azure.ai.ml._restclient.arm_ml_service.models import EnvironmentVersion

        body = EnvironmentVersion({"properties": {"image": "ubuntu:24.04", "colour": "blue"}})
        with pytest.raises(HttpResponseError, match=r"EnvironmentVersion has no properties\.colour"):
            client.environments._version_operations.create_or_update(
                azure.resource_group, azure.name, "coloured", "1", body
            )
        assert [one["what"] for one in emulator.unknown()] == ["request"]
        emulator.forget()

    def test_a_host(self, emulator, azure):
        with pytest.raises(httpx.ProxyError, match="403"):
            httpx.get("https://example.org/", proxy=emulator.environment["HTTPS_PROXY"], verify=trusted(emulator))
        assert emulator.refused_hosts() == ["example.org"]
        emulator.forget()


def arm_id(workspace):
    return (
        f"/subscriptions/{workspace.subscription}/resourceGroups/{workspace.resource_group}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{workspace.name}"
    )


def trusted(emulator):
    import ssl

    return ssl.create_default_context(cafile=emulator.environment["SSL_CERT_FILE"])
