"""Who a job of GitHub Actions is to Azure, with the real SDK: for hours, and told clearly when it is nobody."""

from __future__ import annotations

import time

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import ClientAssertionCredential

from credit_default.errors import SettingsError
from credit_default.resources.azure.client import github_identity
from credit_default.resources.azure.client.credential import Credential
from credit_default.resources.azure.client.request_options import REQUEST_OPTIONS
from credit_default.resources.azure.client.retries import RetryPolicy, is_transient
from credit_default_tests.deploy.deployed import trusted_subjects
from credit_default_tests.id_token_server import OWNER_ID, REPOSITORY, REPOSITORY_ID, id_token_server, subject_of
from credit_default_tests.platforms import azure_storage

ARM = "https://management.azure.com/.default"
STORAGE = "https://storage.azure.com/.default"
#: As long as it takes to see whether something is asked for again.
A_WHILE = 20.0


def repository(server) -> dict[str, str]:
    """What infrastructure/README.md has people say of their repository to the Bicep files."""
    numbers = {"GITHUB_OWNER_ID": OWNER_ID, "GITHUB_REPOSITORY_ID": REPOSITORY_ID} if server.immutable else {}
    return {"GITHUB_REPOSITORY": REPOSITORY, **numbers}


@pytest.fixture
def github(azure, emulator, monkeypatch):
    """This process is a job in the GitHub environment staging, which the orchestrator trusts; no secret is there."""
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    with id_token_server() as server:
        for subject in trusted_subjects("staging", **repository(server)):
            emulator.trust(server.issuer, subject, server.public_key)
        for name, value in server.job("staging").items():
            monkeypatch.setenv(name, value)
        yield server


def audience(token: str) -> str:
    return jwt.decode(token, options={"verify_signature": False})["aud"]


def test_every_scope_gets_a_token_long_after_the_first_id_token_has_expired(github, emulator):
    github.lifetime = 1
    credential = Credential()
    assert audience(credential.get_token(ARM).token) == "https://management.azure.com"
    time.sleep(2.1)
    # What a login at the beginning of a job leaves behind is of no use by now.
    client, tenant = (emulator.environment[name] for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID"))
    with pytest.raises(ClientAuthenticationError, match="AADSTS700024"):
        ClientAssertionCredential(tenant, client, lambda: github.given[0]).get_token(STORAGE)
    assert audience(credential.get_token_info(STORAGE).token) == "https://storage.azure.com"
    credential.forget()
    assert audience(credential.get_token(ARM).token) == "https://management.azure.com"
    assert len(set(github.given)) == 3
    assert {audience(token) for token in github.given} == {"api://AzureADTokenExchange"}


def test_the_platform_works_as_the_job_and_goes_on_when_azure_no_longer_accepts_its_tokens(github, emulator):
    storage = azure_storage()
    storage.write("landing/x", b"from a job")
    emulator.expire_tokens()
    assert storage.workspace.client().workspaces.get(storage.workspace.name).name == storage.workspace.name
    assert storage.read("landing/x") == b"from a job"


def test_an_id_token_that_entra_refuses_is_told_at_once_however_often_one_was_accepted(github):
    github.lifetime = 1
    credential = Credential()
    credential.get_token(ARM)
    github.lifetime = -1
    begun = time.monotonic()
    with pytest.raises(SettingsError, match=r"refused the identity of this GitHub job \(AADSTS700024\); expected"):
        RetryPolicy(credential, A_WHILE, 0.1).ask("looking", lambda: credential.get_token(STORAGE))
    assert time.monotonic() - begun < 10


def test_a_job_of_an_environment_that_azure_does_not_trust_is_told_so(github, monkeypatch):
    for name, value in github.job("somewhere").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"AADSTS700213.* AZURE_CLIENT_ID of the GitHub environment somewhere to"):
        azure_storage().read("landing/x")


def refusal() -> str:
    with pytest.raises(SettingsError) as caught:
        Credential().get_token(ARM)
    return str(caught.value)


def test_an_older_repository_is_trusted_by_its_names(azure, emulator, monkeypatch):
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    with id_token_server() as server:
        server.immutable = False
        (subject,) = trusted_subjects("staging", **repository(server))
        emulator.trust(server.issuer, subject, server.public_key)
        for name, value in server.job("staging").items():
            monkeypatch.setenv(name, value)
        assert Credential().get_token(ARM).token
        # Its name is in the subject, in the letters that GitHub writes.
        server.subject = subject_of("staging", immutable=False).upper().replace("REPO:", "repo:")
        assert "(AADSTS7002138)" in refusal()


@pytest.mark.parametrize(
    ("immutable", "remedy"),
    [
        (True, f"GITHUB_REPOSITORY={REPOSITORY} GITHUB_OWNER_ID={OWNER_ID} GITHUB_REPOSITORY_ID={REPOSITORY_ID}"),
        (False, f"GITHUB_REPOSITORY={REPOSITORY} and without GITHUB_OWNER_ID and GITHUB_REPOSITORY_ID"),
    ],
)
def test_a_subject_of_the_other_form_is_refused_with_what_to_deploy_with(
    azure, emulator, monkeypatch, immutable, remedy
):
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    with id_token_server() as server:
        server.immutable = not immutable
        for subject in trusted_subjects("staging", **repository(server)):
            emulator.trust(server.issuer, subject, server.public_key)
        server.immutable = immutable
        for name, value in server.job("staging").items():
            monkeypatch.setenv(name, value)
        told = refusal()
    assert f"with the subject {subject_of('staging', immutable=immutable)} (AADSTS700213); expected" in told
    assert told.endswith(f"deploy the file again with {remedy}.")


@pytest.mark.parametrize("given", [{}, {"GITHUB_OWNER_ID": OWNER_ID}])
def test_where_no_repository_or_half_of_its_numbers_was_given_a_job_is_told_what_to_deploy_with(
    azure, emulator, monkeypatch, given
):
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    assert trusted_subjects("staging", **{"GITHUB_REPOSITORY": REPOSITORY if given else "", **given}) == []
    with id_token_server() as server:
        for name, value in server.job("staging").items():
            monkeypatch.setenv(name, value)
        told = refusal()
    assert f"with the subject {subject_of('staging')} (AADSTS700211); expected" in told
    assert told.endswith(f"GITHUB_OWNER_ID={OWNER_ID} GITHUB_REPOSITORY_ID={REPOSITORY_ID}.")


def test_a_token_that_is_none_is_refused_by_azure_and_not_by_its_reading(github):
    github.answer = (200, b'{"value": "nonsense"}')
    assert refusal().startswith("Microsoft Entra ID refused the identity of this GitHub job (AADSTS700211); expected")


@pytest.mark.parametrize("subject", [f"repo:{REPOSITORY}:ref:refs/heads/main", "repository_owner:bank:environment:a"])
def test_a_subject_that_no_environment_of_ours_has_is_told_with_the_forms_that_are_expected(github, subject):
    github.subject = subject
    told = refusal()
    assert f"with the subject {subject} (AADSTS700213); expected" in told
    assert "Give the job an `environment:`" in told


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (403, b"{}", r"refused to say who this job is \(status 403\); expected an identity token\. Give the job"),
        (302, b"", r"\(status 302\)"),
        (200, b"<html>log in</html>", "holds no identity token; expected JSON with the key `value`"),
        (200, b'{"value": ""}', "holds no identity token"),
        (200, b"[]", "holds no identity token"),
    ],
)
def test_a_job_that_github_gives_no_token_is_told_so_at_once_and_no_token_is_told(github, status, body, told):
    github.answer = (status, body)
    credential = Credential()
    with pytest.raises(SettingsError, match=told) as caught:
        RetryPolicy(credential, A_WHILE, 0.1).ask("looking", lambda: credential.get_token(ARM))
    assert "eyJ" not in str(caught.value)


def test_trouble_at_github_may_pass(github, monkeypatch):
    monkeypatch.setitem(REQUEST_OPTIONS, "retry_total", 0)
    github.answer = (503, b"")
    credential = Credential()
    with pytest.raises(ServiceRequestError, match="status 503") as caught:
        credential.get_token(ARM)
    assert is_transient(caught.value)
    github.answer = None
    assert credential.get_token(ARM).token


@pytest.mark.parametrize("missing", ["AZURE_CLIENT_ID", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"])
def test_a_process_is_a_job_of_github_only_when_it_is_told_everything(github, monkeypatch, missing):
    told = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "00000000-0000-0000-0000-000000000001", **github.job("staging")}
    assert github_identity.found_in(told) is not None
    assert github_identity.found_in({**told, missing: " "}) is None


def test_the_request_token_is_shown_nowhere():
    assert "secret" not in repr(github_identity.IdTokens("https://github.example/token", "secret"))
