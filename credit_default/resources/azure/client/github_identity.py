"""Who a job of GitHub Actions is to Azure: whom Azure trusts the job's own identity token to be, without a secret.

GitHub gives a job that has ``permissions: id-token: write`` an address to ask for such tokens. Each lives for minutes
and our jobs for hours. So a fresh one is asked for whenever Azure is asked for a token: the one that a step for logging
in got at the beginning would be refused by then (AADSTS700024).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from credit_default.errors import SettingsError

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions

#: Whom the identity token is made out to: Azure's side of it, by Microsoft's documentation of federated credentials.
AUDIENCE = "api://AzureADTokenExchange"
_NEEDED = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")
#: Entra has no federated credential of this issuer, or none of this subject, or one that differs in capitals.
_NOT_TRUSTED = re.compile(r"AADSTS70021(|1|3|38)")
#: What GitHub says of a job in an environment; with numbers for newer repositories.
_JOB = re.compile(
    r"repo:(?P<owner>[^/@:]+)(?:@(?P<owner_id>\d+)/(?P<name>[^/@:]+)@(?P<id>\d+)|/(?P<old_name>[^/@:]+))"
    r":environment:(?P<environment>.+)"
)
_OK = 200
#: Statuses that pass by themselves.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


def found_in(environ: Mapping[str, str]) -> GitHubCredential | None:
    """Return the identity of the job that this process runs in, or None when it is in none that has one."""
    address, proof, client, tenant = (environ.get(name, "").strip() for name in _NEEDED)
    return GitHubCredential(IdTokens(address, proof), client, tenant) if all((address, proof, client, tenant)) else None


@dataclass(frozen=True)
class IdTokens:
    """Where GitHub gives a job tokens that say which repository and environment it belongs to."""

    address: str
    proof: str = field(repr=False)

    def fresh(self) -> str:
        """Return a new token.

        Raises
        ------
        SettingsError
            GitHub gives this job none.
        ServiceRequestError
            GitHub cannot be reached, or is in trouble, which may pass.
        """
        from azure.core import PipelineClient
        from azure.core.exceptions import ServiceRequestError
        from azure.core.pipeline.policies import CustomHookPolicy, RetryPolicy
        from azure.core.pipeline.transport import RequestsTransport
        from azure.core.rest import HttpRequest

        from credit_default.resources.azure.client.request_options import REQUEST_OPTIONS, bound_pause

        address = f"{self.address}{'&' if '?' in self.address else '?'}{urlencode({'audience': AUDIENCE})}"
        request = HttpRequest("GET", address, headers={"Authorization": f"Bearer {self.proof}"})
        policies = [RetryPolicy(**REQUEST_OPTIONS), CustomHookPolicy(raw_response_hook=bound_pause)]
        transport = RequestsTransport(**REQUEST_OPTIONS)
        with PipelineClient[Any, Any]("", policies=policies, transport=transport) as client:
            response = client.send_request(request)
        status = response.status_code
        if status in _PASSING:
            raise ServiceRequestError(f"GitHub gave this job no identity token (status {status})")
        if status != _OK:
            raise SettingsError(
                f"GitHub refused to say who this job is (status {status}); expected an identity token. Give the job "
                "`permissions: id-token: write`; a job that has ended, or runs for a fork's pull request, gets none"
            )
        try:
            token = response.json()["value"]
        except (ValueError, TypeError, KeyError):
            token = None
        if not isinstance(token, str) or not token:
            raise SettingsError(
                "What GitHub answered holds no identity token; expected JSON with the key `value`. Look at what is "
                "between this runner and ACTIONS_ID_TOKEN_REQUEST_URL, such as a proxy"
            )
        return token


class GitHubCredential:
    """Tokens of Azure for the identity that trusts this job, as `DefaultAzureCredential` has them for others.

    A refusal is a `SettingsError`: asking again gives no other answer, as it may after an outage.
    """

    def __init__(self, id_tokens: IdTokens, client: str, tenant: str) -> None:
        from azure.identity import ClientAssertionCredential

        from credit_default.resources.azure.client.request_options import REQUEST_OPTIONS

        self._id_tokens = id_tokens
        self._subject: str | None = None
        self._source = ClientAssertionCredential(tenant, client, self._prove, **REQUEST_OPTIONS)

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """Return a token, as azure-core asks for it."""
        with self._refusals_explained():
            return self._source.get_token(*scopes, **options)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token, as newer versions of azure-core ask for it."""
        with self._refusals_explained():
            return self._source.get_token_info(*scopes, options=options)

    def _prove(self) -> str:
        token = self._id_tokens.fresh()
        self._subject = _subject_of(token)
        return token

    @contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        from azure.core.exceptions import ClientAuthenticationError

        try:
            yield
        except ClientAuthenticationError as error:
            status = error.status_code
            if status is None or status in _PASSING:
                raise
            code = re.search(r"AADSTS\d+", error.message)
            raise SettingsError(_refusal(code[0] if code else f"status {status}", self._subject)) from error


def _subject_of(token: str) -> str | None:
    """Return what GitHub says of a job, of which Azure trusts one; None when that cannot be read, as Azure will say."""
    from jwcrypto.common import JWException
    from jwcrypto.jws import JWS

    signed = JWS()
    try:
        signed.deserialize(token)
        return str(json.loads(signed.objects["payload"])["sub"])
    except (JWException, ValueError, KeyError, TypeError):
        return None


def _refusal(code: str, subject: str | None) -> str:
    """Return what Entra refused and what to do about it: most often the job's subject is not the one it trusts."""
    if subject is None or not _NOT_TRUSTED.fullmatch(code):
        return (
            f"Microsoft Entra ID refused the identity of this GitHub job ({code}); expected AZURE_CLIENT_ID and "
            "AZURE_TENANT_ID to be the output `ci` of infrastructure/main.bicep, and the federated credential of that "
            "identity to trust this repository and this job's GitHub environment."
        )
    refused = (
        f"Microsoft Entra ID trusts no GitHub job with the subject {subject} ({code}); expected the federated "
        "credential of the identity AZURE_CLIENT_ID to have exactly this subject"
    )
    job = _JOB.fullmatch(subject)
    if job is None:
        return (
            f"{refused}, in a form that infrastructure/main.bicep makes: repo:OWNER/NAME:environment:ENVIRONMENT, or "
            "repo:OWNER@ID/NAME@ID:environment:ENVIRONMENT. Give the job an `environment:`, and the repository "
            "GitHub's default subject (`gh api repos/OWNER/NAME/actions/oidc/customization/sub` shows what it has)."
        )
    values = f"GITHUB_REPOSITORY={job['owner']}/{job['name'] or job['old_name']}"
    if job["owner_id"]:
        values += f" GITHUB_OWNER_ID={job['owner_id']} GITHUB_REPOSITORY_ID={job['id']}"
    else:
        values += " and without GITHUB_OWNER_ID and GITHUB_REPOSITORY_ID"
    return (
        f"{refused}. Set AZURE_CLIENT_ID of the GitHub environment {job['environment']} to the output `ci` of "
        f"infrastructure/main.bicep for this environment; if it is that, deploy the file again with {values}."
    )
