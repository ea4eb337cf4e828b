"""A managed online endpoint of Azure ML: versions of the model deployed side by side, one of them with the traffic."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from credit_default import settings
from credit_default.code_version import online_code
from credit_default.errors import JobFailed, SettingsError, SmokeTestFailed
from credit_default.ports import ModelVersion, OnlineEndpoint
from credit_default.resources.azure.endpoints import deployments, scoring_requests
from credit_default.resources.azure.endpoints.managed_endpoint import ManagedEndpoint
from credit_default.resources.azure.jobs import job_environments
from credit_default.resources.azure.jobs.snapshot import snapshot
from credit_default.resources.model_versions import variables_of
from credit_default.telemetry import collection_key

if TYPE_CHECKING:
    import pyarrow as pa
    from azure.ai.ml.entities import ManagedOnlineEndpoint

_SCRIPT = "credit_default/steps/online_scoring.py"
_LOG_LINES, _LAST_LINES = 300, 40


class AzureOnlineEndpoint(ManagedEndpoint, OnlineEndpoint):
    """Deployments cost money while they stand: only what has the traffic and what had it before are kept."""

    identity: str = Field(
        default="", description="Resource id of the identity that it acts as: it reads image, code and model."
    )
    instance_type: str = Field(default="Standard_DS3_v2", description="Size of the machines.")
    instance_count: int = Field(default=1, description="Number of the machines.")
    workers: int = Field(default=2, description="Processes of the scoring script on one machine.")
    max_concurrent_requests: int = Field(
        default=100, description="Requests that one machine may be given at once; as many again may wait."
    )
    request_timeout: float = Field(default=60.0, description="Seconds that a request may take, its wait included.")
    connection_string: str = Field(description="Of the Application Insights that is sent the sealed requests.")
    exporter: str = Field(default="opencensus", description="What sends them: opencensus or opentelemetry.")

    def scoring_uri(self) -> str | None:  # noqa: D102 - see the port
        endpoint = self._found()
        return None if endpoint is None else str(endpoint.scoring_uri)

    def ensure(self) -> None:  # noqa: D102 - see ManagedEndpoint
        endpoint = self._found()
        if endpoint is not None and self.identity.casefold() not in _identities_of(endpoint):
            raise SettingsError(
                f"Endpoint {self.name} acts as another identity than CREDIT_DEFAULT_ONLINE_IDENTITY says, and Azure "
                "changes that of no endpoint. Remove the endpoint (`az ml online-endpoint delete`), and run this again."
            )
        super().ensure()

    def _must_be_set_up(self) -> None:
        if not self.identity:
            raise SettingsError(
                "CREDIT_DEFAULT_ONLINE_IDENTITY is not set; expected the resource id of the identity that the online "
                "endpoint acts as, which is in the output `settings` of infrastructure/main.bicep. One that Azure made "
                "for the endpoint may read the workspace's default datastore and not the lake, where models are."
            )
        self._public_key()

    @property
    def environment(self) -> str:  # noqa: D102 - see ManagedEndpoint
        return job_environments.ONLINE

    @property
    def _code(self) -> str:
        # Besides code and environment: a deployment with another key, or other machines, is another one.
        made_of = [
            job_environments.reference(job_environments.ONLINE),
            online_code(),
            self._variables(public_key=self._public_key() if collection_key.is_there(settings.read()) else ""),
            [self.instance_type, self.instance_count, self.max_concurrent_requests, self.request_timeout],
        ]
        return deployments.code_of(json.dumps(made_of))

    @property
    def _endpoints(self) -> Any:
        return self.compute.workspace.client().online_endpoints

    @property
    def _deployments(self) -> Any:
        return self.compute.workspace.client().online_deployments

    def _new_endpoint(self) -> "ManagedOnlineEndpoint":
        from azure.ai.ml.entities import IdentityConfiguration, ManagedIdentityConfiguration, ManagedOnlineEndpoint

        own = [ManagedIdentityConfiguration(resource_id=self.identity)]
        return ManagedOnlineEndpoint(
            name=self.name,
            description="Probability of default of card clients.",
            auth_mode="aad_token",
            identity=IdentityConfiguration(type="user_assigned", user_assigned_identities=own),
        )

    def _default_of(self, endpoint: "ManagedOnlineEndpoint") -> str | None:
        traffic: Mapping[str, int] = endpoint.traffic or {}
        # Somebody may have split it; what has most of it answers, as far as there is one.
        name = max(traffic, key=lambda one: traffic[one], default=None)
        return name if name is not None and traffic[name] else None

    def _answering(self, endpoint: "ManagedOnlineEndpoint", deployment: str) -> "ManagedOnlineEndpoint":
        endpoint.traffic = {deployment: 100}
        return endpoint

    def _superfluous(self, names: Sequence[str], deployment: str, previous: str | None) -> list[str]:
        return deployments.superfluous_online(names, deployment, previous, self._code)

    def _create(self, deployment: str, model: ModelVersion, tags: Mapping[str, str]) -> None:
        from azure.ai.ml.entities import CodeConfiguration, ManagedOnlineDeployment, OnlineRequestSettings
        from azure.core.exceptions import HttpResponseError

        variables = {
            **variables_of(model, self.compute.storage),
            **self._variables(public_key=self._public_key()),
        }
        asset, environment = self.model_asset(model), self.ensure_environment()

        def create() -> None:
            with snapshot(self.compute.sources) as code:
                made = ManagedOnlineDeployment(
                    name=deployment,
                    endpoint_name=self.name,
                    description=f"Version {model.version} of {model.name}.",
                    tags=dict(tags),
                    model=asset,
                    environment=environment,
                    code_configuration=CodeConfiguration(code=str(code), scoring_script=_SCRIPT),
                    environment_variables=variables,
                    instance_type=self.instance_type,
                    instance_count=self.instance_count,
                    request_settings=OnlineRequestSettings(
                        max_concurrent_requests_per_instance=self.max_concurrent_requests,
                        request_timeout_ms=round(1000 * self.request_timeout),
                    ),
                    # With it, Azure ML's server logs what is asked and answered to Application Insights, in clear. The
                    # scoring script sends it there by itself, sealed, and does not start with it.
                    app_insights_enabled=False,
                )
                self.put_deployment(made)

        try:
            self.ask(f"deploying version {model.version}", create)
        except HttpResponseError as error:
            told = str(error.message).strip().partition("\n")[0]
            words = f"Deployment {deployment} of {self.name} did not come up: {told}\n{self._last_words(deployment)}"
            self._remove(deployment)
            raise JobFailed(words.strip()) from error

    def _smoke_test(
        self, context: dg.AssetExecutionContext, deployment: str, model: ModelVersion, golden: "pa.Table"
    ) -> Mapping[str, Any]:
        from credit_default.core.model import golden_rows

        address, where = self.scoring_uri(), f"deployment {deployment} of {self.name}"
        assert address is not None
        credential = self.compute.workspace.credential()
        try:
            body = golden_rows.as_request(golden)
            answer = self.ask(
                f"asking {where} for golden rows",
                lambda: scoring_requests.post(credential, address, deployment, body, seconds=self.request_timeout),
            )
            return golden_rows.held_to_answer(answer, golden, version=model.version, where=where)
        except scoring_requests.Refused as refused:
            self._discard(context, deployment)
            raise JobFailed(f"{where.capitalize()} did not score golden rows ({refused}): {refused.message}") from None
        except SmokeTestFailed:
            self._discard(context, deployment)
            raise

    def _discard(self, context: dg.AssetExecutionContext, deployment: str) -> None:
        """Remove a deployment that is of no use, unless it has the traffic."""
        endpoint = self._found()
        if endpoint is not None and self._default_of(endpoint) != deployment:
            self._remove(deployment)
            context.log.warning(f"Removed deployment {deployment} of {self.name} again.")

    def _public_key(self) -> str:
        return collection_key.private_keys(settings.read()).public()

    def _variables(self, *, public_key: str) -> dict[str, str]:
        """Return what every deployment is told, whatever its model."""
        given = self.connection_string
        return {
            settings.COLLECTION_PUBLIC_KEY_VARIABLE: public_key,
            # Outside a run, Dagster has not put the value into the place of the variable yet.
            settings.CONNECTION_STRING_VARIABLE: str(given.get_value() if isinstance(given, dg.EnvVar) else given),
            settings.TELEMETRY_VARIABLE: self.exporter,
            "WORKER_COUNT": str(self.workers),
            "DO_NOT_TRACK": "1",
        }

    def _last_words(self, deployment: str) -> str:
        """Return why a deployment's program ended, as far as its log says so; nobody has asked it anything by then."""
        from azure.core.exceptions import HttpResponseError

        try:
            log = str(self._deployments.get_logs(deployment, self.name, lines=_LOG_LINES))
        except HttpResponseError:
            return ""
        # After the error, the server lists the files of the model.
        words, _, _ = log.partition("Model Directory Contents")
        return "\n".join(words.splitlines()[-_LAST_LINES:])


def _identities_of(endpoint: "ManagedOnlineEndpoint") -> set[str]:
    """Return the resource ids of what an endpoint acts as; none when Azure made it an identity of its own."""
    own = endpoint.identity.user_assigned_identities if endpoint.identity else None
    return {str(one.resource_id).casefold() for one in own or []}
