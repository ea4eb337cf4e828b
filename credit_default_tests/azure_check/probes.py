"""Probes: small requests that ask Azure about items of the list of what nobody has verified, for nothing or cents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from credit_default.errors import QueryError
from credit_default.resources import resources_for
from credit_default.resources.azure.endpoints import scoring_requests
from credit_default_tests.azure_check import probe_jobs
from credit_default_tests.azure_check.asking import Reply, status_of
from credit_default_tests.azure_check.session import Session
from credit_default_tests.azure_check.stages import Stage, request

NAME = "azure-check"
_ASSET, _MODEL, _ONLINE = "2023-04-01-preview", "2023-08-01-preview", "2023-04-01-preview"
_IMAGES = (
    "mcr.microsoft.com/azureml/minimal-py311-inference:latest",
    "mcr.microsoft.com/azureml/inference-base-2204:latest",
)
_GONE = "2f1d7f9a"


def _probe(keys: tuple[str, ...], run: Callable[[Session], None], needs: tuple[str, ...] = ()) -> Stage:
    """Return a stage that looks at items of the list."""

    def probe(session: Session) -> str:
        run(session)
        return ""

    return Stage(run.__name__.replace("_", " "), probe, needs, keys)


def what_is_missing(session: Session) -> None:
    """Ask for things that nobody made."""
    for kind, path, version in (
        ("job", f"jobs/{NAME}-{_GONE}", "2024-01-01-preview"),
        ("data asset", f"data/{NAME}-{_GONE}/versions/1", _ASSET),
        ("model", f"models/{NAME}-{_GONE}/versions/1", _MODEL),
        ("batch endpoint", f"batchEndpoints/{NAME}-{_GONE}", "2023-10-01"),
    ):
        told = session.azure.ask("GET", path, version)
        code = told.detail.partition(":")[0]
        session.find(
            "error-words",
            f"what is a request for a {kind} that is not there answered with?",
            expected="404 ResourceNotFound",
            observed=f"{told.shown} {code}",
            detail=told.detail,
        )


def assets_twice(session: Session) -> None:
    """Make versions of a data asset, an environment and a model, and change each."""
    azure, storage, version = session.azure, session.place.storage, probe_jobs.stamp(session)
    for file in ("one", "other"):
        storage.write(f"{NAME}/{file}/data.txt", file.encode())
    place = session.place.registry.workspace
    address = (
        f"azureml://subscriptions/{place.subscription_id}/resourcegroups/{place.resource_group}"
        f"/workspaces/{place.name}/datastores/{storage.datastore}/paths"
    )
    session.place.make_datastore()
    paths = [f"{address}/{NAME}/{file}" for file in ("one", "other")]
    data: Any = [{"dataType": "uri_folder", "dataUri": path} for path in paths]
    models: Any = [{"modelType": "custom_model", "modelUri": path} for path in paths]
    images: Any = [{"image": image, "osType": "Linux"} for image in _IMAGES]
    for key, kind, api, (first, second) in (
        ("asset-again", "data", _ASSET, data),
        ("asset-again", "environments", _ASSET, images),
        ("model-again", "models", _MODEL, models),
    ):
        where = f"{kind}/{NAME}/versions/{version}"
        made = azure.ask("PUT", where, api, {"properties": first})
        session.find(
            key, f"is a first PUT of {kind} taken?", expected="accepted", observed=made.shown, detail=made.detail
        )
        _must_be_archived(session, kind, version, made)
        again = azure.ask("PUT", where, api, {"properties": second})
        session.find(
            key,
            f"what is a second PUT of {kind}, with other content, answered with?",
            expected="409",
            observed=again.shown,
            detail=again.detail,
        )
    odd = azure.ask("PUT", f"data/{NAME}/versions/{version}%2B1", _ASSET, {"properties": data[0]})
    session.find(
        "asset-versions", "is a + in a version refused?", expected="400", observed=odd.shown, detail=odd.detail
    )
    _must_be_archived(session, "data", f"{version}+1", odd)
    dotted = f"{version}.0_a-b"
    even = azure.ask("PUT", f"data/{NAME}/versions/{dotted}", _ASSET, {"properties": data[0]})
    session.find(
        "asset-versions",
        "are letters, digits, -, _ and . in a version taken?",
        expected="accepted",
        observed=even.shown,
        detail=even.detail,
    )
    _must_be_archived(session, "data", dotted, even)
    listed = azure.ask("GET", f"data/{NAME}/versions", _ASSET, **{"$top": "1", "$orderBy": "createdtime desc"})
    rows = (listed.body or {}).get("value") or []
    session.find(
        "listings",
        "what does $top=1 with the newest first give?",
        expected="the newest, and no address of more",
        observed=("the newest" if [one["name"] for one in rows] == [dotted] else f"{len(rows)} others")
        + (", and an address of more" if (listed.body or {}).get("nextLink") else ", and no address of more"),
    )


def _must_be_archived(session: Session, kind: str, version: str, put: Reply) -> None:
    """Remember a version that Azure took."""
    if put.shown == "accepted":
        session.facts.setdefault("probed", []).append((kind, version))


def a_copy_onto_a_blob(session: Session) -> None:
    """Copy to a blob that is there, under If-None-Match."""
    from azure.core import MatchConditions

    source, target = f"{NAME}/source.txt", f"{NAME}/target.txt"
    for key in (source, target):
        session.place.storage.write(key, key.encode())

    def copy(client: Any) -> Reply:
        url = client.get_blob_client(source).url
        blob = client.get_blob_client(target)
        return status_of(lambda: blob.start_copy_from_url(url, match_condition=MatchConditions.IfMissing))

    told = session.place.storage.blobs.ask(source, copy)
    session.find(
        "copy-onto-blob", "what is the copy answered with?", expected="409", observed=told.shown, detail=told.detail
    )


def the_secrets_of_a_datastore(session: Session) -> None:
    """Ask for the secrets of the lake's datastore, which has none."""
    session.place.make_datastore()
    where = f"datastores/{session.place.storage.datastore}/listSecrets"
    told = session.azure.ask("POST", where, "2024-10-01-preview", {})
    session.find(
        "datastore-secrets",
        "what is listSecrets answered with?",
        expected="400",
        observed=told.shown,
        detail=told.detail,
    )


def a_query_that_is_none(session: Session) -> None:
    """Send Azure Monitor a query that cannot be run."""
    telemetry: Any = resources_for(session.place.settings)["telemetry"]
    try:
        telemetry.query("traces | where nobody_knows_this_column == 1")
        observed, detail = "accepted", ""
    except QueryError as error:
        told = status_of(_raising(error.__cause__))
        observed, detail = f"{told.shown} {told.detail.partition(':')[0]}", told.detail
    session.find(
        "monitor-errors",
        "what is a query of a column that is not there answered with?",
        expected="400 BadArgumentError",
        observed=observed,
        detail=detail,
    )


def an_invocation_again(session: Session) -> None:
    """Invoke the batch endpoint by the name of a job that is there."""
    from azure.ai.ml import Input, Output

    place = session.place
    client, storage = place.registry.workspace.client(), place.storage
    names = [str(job.name) for job in client.batch_endpoints.list_jobs(place.endpoint.name)]
    name = next(one for one in names if one.startswith("score-"))
    source = storage.datastore_uri(f"inference_data/{session.day}/inference_data.parquet")
    told = status_of(
        lambda: client.batch_endpoints.invoke(
            place.endpoint.name,
            inputs={"data": Input(type="uri_file", path=source)},
            outputs={"score": Output(type="uri_folder", path=storage.datastore_uri(f"{NAME}/again"))},
            job_name=name,
        )
    )
    what = "what is a second invocation of one name answered with?"
    session.find("batch-endpoints", what, expected="409", observed=told.shown, detail=told.detail)
    children = probe_jobs.history(session).children(name)
    session.find(
        "batch-endpoints",
        "how many children has the job of an invocation?",
        expected="1",
        observed=str(len(children)),
        detail=", ".join(child.status for child in children),
    )


def an_online_deployment_that_is_not_there(session: Session) -> None:
    """Name an absent deployment in a request, and remove one that has traffic."""
    place = session.place
    credential, address = place.registry.workspace.credential(), session.facts["scoring_uri"]
    body = request(session.clients)
    told = status_of(lambda: scoring_requests.post(credential, address, _GONE, body, seconds=60.0))
    what = "what is a request that names an absent deployment answered with?"
    session.find("online-endpoints", what, expected="404", observed=told.shown)
    where = f"onlineEndpoints/{place.online_endpoint.name}/deployments/{session.facts['deployment']}"
    removed = session.azure.ask("DELETE", where, _ONLINE)
    what = "what is the removal of a deployment with traffic answered with?"
    session.find("online-endpoints", what, expected="409", observed=removed.shown, detail=removed.detail)


def _raising(error: BaseException | None) -> Callable[[], None]:
    def again() -> None:
        assert error is not None
        raise error

    return again


#: Those about the online endpoint come first, and those that wait for machines last.
PROBES = (
    _probe(("online-endpoints",), an_online_deployment_that_is_not_there, ("online",)),
    _probe(("error-words",), what_is_missing),
    _probe(("datastore-secrets",), the_secrets_of_a_datastore),
    _probe(("asset-again", "model-again", "asset-versions", "listings"), assets_twice),
    _probe(("copy-onto-blob",), a_copy_onto_a_blob),
    _probe(("monitor-errors",), a_query_that_is_none),
    _probe(("batch-endpoints",), an_invocation_again, ("a day scored",)),
    _probe(
        ("failed-program", "cancel-ended", "history-tokens", "job-variables", "default-output"),
        probe_jobs.a_job_that_fails,
        ("environments",),
    ),
    _probe(("job-timeout",), probe_jobs.a_job_that_takes_too_long, ("environments",)),
    _probe(("mounted-outputs", "mounted-rewrites"), probe_jobs.a_job_with_a_mounted_output, ("environments",)),
    _probe(("missing-input",), probe_jobs.a_job_without_its_input, ("environments",)),
    _probe(("sweeps",), probe_jobs.a_search, ("environments",)),
)
