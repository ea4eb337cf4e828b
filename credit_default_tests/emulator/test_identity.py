"""Tokens: who gets one, and which are refused."""

import time

import httpx
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, EnvironmentCredential, ManagedIdentityCredential

from credit_default_tests.emulator.test_faults import arm_id, trusted

ARM = "https://management.azure.com/.default"


@pytest.fixture
def refusal(emulator, azure):
    """Ask for the workspace with a token, and return the code that it is refused with."""

    def ask(token):
        answer = httpx.get(
            f"https://management.azure.com{arm_id(azure)}",
            params={"api-version": "2024-10-01-preview"},
            headers={"Authorization": f"Bearer {token}"},
            proxy=emulator.environment["HTTPS_PROXY"],
            verify=trusted(emulator),
        )
        assert answer.status_code == 401
        assert "WWW-Authenticate" in answer.headers
        return answer.json()["error"]["code"]

    return ask


def test_the_orchestrator_s_token_is_made_out_to_what_it_asked_for(azure):
    token = EnvironmentCredential().get_token(ARM)

    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert claims["aud"] == "https://management.azure.com"
    assert token.expires_on - time.time() == pytest.approx(3600, abs=60)


def test_a_wrong_secret_gets_none(emulator, azure):
    environment = emulator.environment
    credential = ClientSecretCredential(environment["AZURE_TENANT_ID"], environment["AZURE_CLIENT_ID"], "guessed")

    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        credential.get_token(ARM)


def test_a_token_for_somebody_else_is_refused(refusal):
    token = EnvironmentCredential().get_token("https://storage.azure.com/.default").token

    assert refusal(token) == "InvalidAuthenticationTokenAudience"


def test_a_token_signed_by_nobody_is_refused(refusal):
    claims = {"aud": "https://management.azure.com", "exp": time.time() + 60, "emulator_generation": 9}

    assert (
        refusal(jwt.encode(claims, "another key, of thirty-two bytes or more", "HS256")) == "InvalidAuthenticationToken"
    )
    assert refusal("nonsense") == "InvalidAuthenticationToken"


def test_blobs_refuse_a_token_for_somebody_else(emulator, azure):
    token = EnvironmentCredential().get_token(ARM).token

    answer = httpx.get(
        f"https://{azure.account}.blob.core.windows.net/{azure.container}?restype=container&comp=list",
        headers={"Authorization": f"Bearer {token}", "x-ms-version": "2023-11-03"},
        proxy=emulator.environment["HTTPS_PROXY"],
        verify=trusted(emulator),
    )
    assert answer.status_code == 401


def test_a_job_s_managed_identity_gets_tokens(emulator, azure, monkeypatch):
    for name in ("MSI_ENDPOINT", "MSI_SECRET"):
        monkeypatch.setenv(name, emulator.job_environment[name])

    token = ManagedIdentityCredential().get_token("https://storage.azure.com/.default")

    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert claims["aud"] == "https://storage.azure.com"
    assert claims["appid"] != emulator.environment["AZURE_CLIENT_ID"]


def test_a_managed_identity_needs_the_job_s_secret(emulator, azure, monkeypatch):
    monkeypatch.setenv("MSI_ENDPOINT", emulator.job_environment["MSI_ENDPOINT"])
    monkeypatch.setenv("MSI_SECRET", "guessed")

    with pytest.raises(ClientAuthenticationError):
        ManagedIdentityCredential().get_token("https://storage.azure.com/.default")
