"""Microsoft Entra ID: tokens for the orchestrator and for jobs."""

import base64
import contextlib
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jwt

from credit_default_tests.azure_emulator.azure_errors import AzureError
from credit_default_tests.azure_emulator.routes import Answer, Call, Route
from credit_default_tests.azure_emulator.store import State, now

LOGIN_HOST = "login.microsoftonline.com"
TOKEN_SECONDS = 3600
#: What a token must be made out to so that an identity trusts whoever shows it.
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
# In Entra's words, as people report them: github.com/Azure/login, issues 482, 515 and 617.
_CHECK = (
    "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. "
    "https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
)
_CASE = "The subject matches with case-insensitive comparison, but not with case-sensitive comparison."
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Asks for a token that is newer than some moment, as Azure does once it no longer accepts one before its time.
_CLAIMS_CHALLENGE = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"0"}}}').decode()


@dataclass(frozen=True)
class Trust:
    """A federated credential: an issuer of tokens, its public key, and the subject that is trusted."""

    issuer: str
    subject: str
    key: str


@dataclass
class Identity:
    """A tenant with one service principal, the orchestrator, and one managed identity, the compute's."""

    tenant: str = field(default_factory=lambda: str(uuid.uuid4()))
    client_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    managed_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    managed_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    trusts: list[Trust] = field(default_factory=list)
    generation: int = 0
    _key: str = field(default_factory=lambda: secrets.token_hex(32))

    def token(self, audience: str, client_id: str, *, seconds: int = TOKEN_SECONDS) -> str:
        """Return a signed token that is made out to `audience`."""
        moment = int(time.time())
        return jwt.encode(
            {
                "aud": audience.rstrip("/"),
                "iss": f"https://sts.windows.net/{self.tenant}/",
                "iat": moment,
                "nbf": moment - 5,
                "exp": moment + seconds,
                "appid": client_id,
                "oid": client_id,
                "sub": client_id,
                "tid": self.tenant,
                "ver": "1.0",
                "emulator_generation": self.generation,
            },
            self._key,
            algorithm="HS256",
        )

    def expire(self) -> None:
        """Accept none of the tokens that were handed out so far."""
        self.generation += 1

    def trust(self, issuer: str, subject: str, key: str) -> None:
        """Let the orchestrator be whoever shows a token of this issuer for this subject."""
        self.trusts.append(Trust(issuer, subject, key))

    def assertion_error(self, assertion: str) -> str | None:
        """Return why somebody else's token proves nothing here; None when it does."""
        told: dict[str, Any] = {}
        with contextlib.suppress(jwt.InvalidTokenError):
            told = jwt.decode(assertion, options={"verify_signature": False})
        known = [one for one in self.trusts if one.issuer == told.get("iss")]
        if not known:
            return f"AADSTS700211: {_unmatched('issuer', told.get('iss'))} {_CHECK}"
        subject = str(told.get("sub"))
        found = next((one for one in known if one.subject == subject), None)
        if found is None:
            but_for_case = any(one.subject.casefold() == subject.casefold() for one in known)
            code, more = ("AADSTS7002138", f"{_CASE} {_CHECK}") if but_for_case else ("AADSTS700213", _CHECK)
            return f"{code}: {_unmatched('subject', subject)} {more}"
        try:
            jwt.decode(assertion, found.key, algorithms=["RS256"], audience=EXCHANGE_AUDIENCE)
        except jwt.ExpiredSignatureError:
            return "AADSTS700024: Client assertion is not within its valid time range."
        except jwt.InvalidAudienceError:
            return f"AADSTS700212: {_unmatched('audience', told.get('aud'))} {_CHECK}"
        except jwt.InvalidTokenError:
            return "AADSTS700027: Client assertion failed signature validation."
        return None

    def check(
        self, authorization: str | None, audiences: tuple[str, ...], *, continuous: bool = True
    ) -> dict[str, Any]:
        """Return the claims of a bearer token.

        Parameters
        ----------
        authorization
            The header.
        audiences
            The token must be made out to one of them.
        continuous
            Whether the service learns that a token was revoked before its time; Azure Storage does not.

        Raises
        ------
        AzureError
            401: there is none, it is not ours, has expired, or is made out to somebody else.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self.challenge(
                "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"], audience=list(audiences))
        except jwt.ExpiredSignatureError:
            raise self.challenge("ExpiredAuthenticationToken", "The access token has expired.") from None
        except jwt.InvalidAudienceError:
            raise self.challenge(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for the wrong audience or resource. It should match {audiences}.",
            ) from None
        except jwt.InvalidTokenError:
            raise self.challenge("InvalidAuthenticationToken", "The access token is invalid.") from None
        if continuous and claims["emulator_generation"] < self.generation:
            raise self.challenge("ExpiredAuthenticationToken", "The access token has expired.")
        return claims

    def challenge(self, code: str, message: str) -> AzureError:
        """Return a 401 that tells the client to get a fresh token."""
        header = (
            f'Bearer realm="", authorization_uri="https://{LOGIN_HOST}/{self.tenant}/oauth2/authorize", '
            f'error="insufficient_claims", claims="{_CLAIMS_CHALLENGE}"'
        )
        return AzureError(401, code, message, {"WWW-Authenticate": header})


def routes(state: State) -> list[Route]:
    """Return what ``login.microsoftonline.com`` serves."""
    del state

    def route(method: str, path: str, handler: Any, versions: tuple[str, ...] = ()) -> Route:
        return Route(method, path, handler, versions, host=LOGIN_HOST, audiences=())

    return [
        route("GET", "/common/discovery/instance", _instance, ("1.0", "1.1")),
        route("GET", "/{tenant}/v2.0/.well-known/openid-configuration", _configuration),
        route("POST", "/{tenant}/oauth2/v2.0/token", _token),
    ]


def _instance(call: Call) -> Answer:
    hosts = {"preferred_network": LOGIN_HOST, "preferred_cache": "login.windows.net", "aliases": [LOGIN_HOST]}
    tenant = call.state.identity.tenant
    return Answer(
        {
            "tenant_discovery_endpoint": f"https://{LOGIN_HOST}/{tenant}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [hosts],
        }
    )


def _configuration(call: Call) -> Answer:
    tenant = _known_tenant(call)
    root = f"https://{LOGIN_HOST}/{tenant}"
    return Answer(
        {
            "issuer": f"{root}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
        }
    )


def _token(call: Call) -> Answer:
    identity = call.state.identity
    _known_tenant(call)
    form = {name: values[0] for name, values in parse_qs(call.raw.decode()).items()}
    if form.get("grant_type") != "client_credentials":
        return _refused(
            "unsupported_grant_type", f"AADSTS70003: The grant type {form.get('grant_type')} is unsupported."
        )
    if form.get("client_id") != identity.client_id:
        return _refused("unauthorized_client", "AADSTS700016: Application was not found in the directory.")
    if form.get("client_assertion_type") == _JWT_BEARER:
        wrong = identity.assertion_error(form.get("client_assertion", ""))
        if wrong is not None:
            return _refused("invalid_client", wrong)
    elif form.get("client_secret") != identity.client_secret:
        return _refused("invalid_client", "AADSTS7000215: Invalid client secret provided.")
    scope = form.get("scope", "").split(" ")[0]
    if not scope.endswith("/.default"):
        return _refused("invalid_scope", f"AADSTS1002012: The provided value for scope {scope} is not valid.")
    token = identity.token(scope.removesuffix("/.default"), identity.client_id)
    lasts = {"expires_in": TOKEN_SECONDS, "ext_expires_in": TOKEN_SECONDS}
    return Answer({"token_type": "Bearer", "access_token": token, **lasts})


def _unmatched(what: str, value: object) -> str:
    return f"No matching federated identity record found for presented assertion {what} '{value}'."


def _known_tenant(call: Call) -> str:
    tenant = call.params["tenant"]
    if tenant != call.state.identity.tenant:
        raise AzureError(400, "invalid_tenant", f"AADSTS90002: Tenant '{tenant}' not found.")
    return tenant


def _refused(error: str, description: str) -> Answer:
    status = 401 if error == "invalid_client" else 400
    traced = f"{description} Trace ID: {uuid.uuid4()} Correlation ID: {uuid.uuid4()} Timestamp: {now()}"
    return Answer({"error": error, "error_description": traced, "error_codes": []}, status)


def managed_identity(identity: Identity, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    """Answer ``MSI_ENDPOINT``, which a job asks for its compute's tokens."""
    if headers.get("secret") != identity.managed_secret:
        return Answer({"error": {"code": "Unauthorized", "message": "The secret header is wrong."}}, 401)
    resource = query.get("resource", "").removesuffix("/.default")
    token = identity.token(resource, identity.managed_id)
    expires = str(int(time.time()) + TOKEN_SECONDS)
    return Answer({"access_token": token, "expires_on": expires, "resource": resource, "token_type": "Bearer"})
