"""Removes what a check made, whatever happened before, and says what stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from credit_default.core.plurals import plural
from credit_default.errors import ModelError
from credit_default.resources.azure.client.retries import unless_missing
from credit_default.resources.azure.jobs.canceller import JobCanceller
from credit_default.resources.azure.jobs.history import ENDED
from credit_default_tests.azure_check.session import Session

_POLL_SECONDS = 5.0
#: By how much this machine's clock may be ahead of Azure's.
_CLOCKS_DIFFER = timedelta(minutes=15)
#: What always stays, since Azure does not delete it or other work may rely on it.
_STAYS = (
    "Jobs, with their logs and code in the workspace's own storage: Azure ML keeps them.",
    "Telemetry, for as long as the Log Analytics workspace keeps it.",
    "Images of the environments in the container registry.",
)


@dataclass
class Removed:
    """What a removal came to.

    Attributes
    ----------
    removed, left
        In sentences.
    failed
        What should be gone and may not be, and how to remove it.
    """

    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Removal:
    """Takes away, one thing after the other; a thing that fails keeps no other from being removed.

    Parameters
    ----------
    runs
        Asks for what the names of the jobs of this check's runs have in common with their runs.
    """

    def __init__(self, session: Session, runs: Callable[[], set[str]], log: Any) -> None:
        self._session = session
        self._runs = runs
        self._place = session.place
        self._client = session.place.registry.workspace.client()
        self._log = log
        self.result = Removed()

    def run(self, seconds: float) -> Removed:
        """Remove everything within some seconds: what costs money first."""
        deadline = time.monotonic() + seconds
        place, group = self._place, self._place.registry.workspace
        where = f"-g {group.resource_group} -w {group.name}"
        online, batch = place.online_endpoint.name, place.endpoint.name
        for what, work, remedy in (
            (
                f"online endpoint {online}",
                lambda: self._endpoint(self._client.online_endpoints, online, deadline),
                f"az ml online-endpoint delete -n {online} {where} --yes",
            ),
            ("jobs under way", lambda: self._jobs(where), f"az ml job list {where}, and az ml job cancel"),
            (
                f"batch endpoint {batch}",
                lambda: self._endpoint(self._client.batch_endpoints, batch, deadline),
                f"az ml batch-endpoint delete -n {batch} {where} --yes",
            ),
            ("versions", self._versions, "archive what was registered in the studio"),
            ("blobs of the lake", self._blobs, f"empty container {place.storage.container} in the portal"),
            ("datastore", self._datastore, f"az ml datastore delete -n {place.storage.datastore} {where} --yes"),
        ):
            self._session.say(f"Removing {what}.")
            try:
                told = work()
            except Exception as error:  # noqa: BLE001 - the others are removed all the same
                self.result.failed.append(f"{what} ({_words(error)}): {remedy}")
            else:
                self.result.removed += [told] if told else []
        self.result.left += [self._environments(), *_STAYS]
        return self.result

    def _endpoint(self, endpoints: Any, name: str, deadline: float) -> str:
        if unless_missing(lambda: endpoints.get(name), None) is None:
            return ""
        poller = endpoints.begin_delete(name)
        # Waiting is bounded: the SDK would wait for ever for an operation that hangs.
        while unless_missing(lambda: endpoints.get(name), None) is not None:
            if poller.done():
                poller.result()  # raises what Azure refused
            if time.monotonic() > deadline:
                raise TimeoutError("it was still being removed when the time was up")
            time.sleep(min(_POLL_SECONDS, self._place.endpoint.compute.poll_seconds))
        return f"Endpoint {name} with its deployments."

    def _jobs(self, where: str) -> str:
        """Cancel the jobs of this check that have not ended; those of others are left alone."""
        cancelling = JobCanceller(self._client, self._place.patience(), self._log)
        cancelled = []
        for name in list(self._ours()):
            told = cancelling.cancel(name)
            job = unless_missing(lambda name=name: self._client.jobs.get(name), None)
            if job is None or job.status in ENDED:
                cancelled.append(name)
            else:
                self.result.failed.append(
                    f"job {name} ({told}): az ml job cancel -n {name} {where.removesuffix(' --yes')}"
                )
        return f"Jobs that were cancelled: {', '.join(cancelled)}." if cancelled else ""

    def _ours(self) -> Iterator[str]:
        marks, runs = set(self._session.facts.get("jobs", ())), self._runs()
        for job in self._client.jobs.list():
            if job.creation_context.created_at < self._session.began - _CLOCKS_DIFFER:
                return  # the newest are listed first
            ours = job.name in marks or any(f"-{run}-" in f"{job.name}-" for run in runs)
            if ours and job.status not in ENDED:
                yield str(job.name)

    def _versions(self) -> str:
        """Archive what was registered and is not named by its content alone."""
        archive: dict[str, Callable[[str, str], None]] = {
            "models": self._client.models.archive,
            "data": self._client.data.archive,
            "environments": self._client.environments.archive,
        }
        probed = [(kind, "azure-check", version) for kind, version in self._session.facts.get("probed", ())]
        done = self._shared()  # before the workspace's own version, which cannot be compared once it is archived
        for kind, name, version in [*self._registered(), *probed]:
            done += self._archived(f"{kind} {name}:{version}", partial(archive[kind], name, version))
        if not done:
            return ""
        self.result.left.append(f"Archived versions, which keep their numbers: {', '.join(done)}.")
        return f"{plural(len(done), 'version')} from the lists, by archiving."

    def _shared(self) -> list[str]:
        """Archive what was shared, also when sharing it was broken off; not what others shared under its number."""
        registry, version = self._place.registry, self._session.facts.get("sharing")
        if version is None:
            return []
        what = f"models {registry.name}:{version} of registry {registry.registry}"
        try:
            if not registry.is_shared(registry.get(version)):
                return []
        except ModelError:
            return []
        except Exception as error:  # noqa: BLE001 - what is archived already is named all the same
            self.result.failed.append(f"{what} ({_words(error)}): archive it in the studio")
            return []
        models = registry.workspace.registry_client(registry.registry).models
        return self._archived(what, lambda: models.archive(registry.name, version))

    def _archived(self, what: str, work: Callable[[], None]) -> list[str]:
        """Archive one version, and name it; a failure is remembered."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the others are archived all the same
            self.result.failed.append(f"{what} ({_words(error)}): archive it in the studio")
            return []
        return [what]

    def _registered(self) -> list[tuple[str, str, str]]:
        registry, began = self._place.registry, self._session.began
        found = [("models", registry.name, one) for one in _since(self._client.models, registry.name, began)]
        for name in ("curated_data", "inference_data"):
            found += [("data", name, version) for version in _since(self._client.data, name, began)]
        return found

    def _blobs(self) -> str:
        from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
        from azure.storage.blob import BlobLeaseClient

        storage = self._place.storage
        names = storage.blobs.ask("lake", lambda client: [str(name) for name in client.list_blob_names()])

        def remove(client: Any, name: str) -> None:
            blob = client.get_blob_client(name)
            for broken in (False, True):
                try:
                    blob.delete_blob(delete_snapshots="include")
                except ResourceNotFoundError:
                    return
                except HttpResponseError as error:
                    if broken or error.error_code != "LeaseIdMissing":
                        raise
                    BlobLeaseClient(blob).break_lease(0)  # of a process of the check that was killed
                else:
                    return

        for name in names:
            storage.blobs.ask("lake", lambda client, name=name: remove(client, name))
        return f"{plural(len(names), 'blob')} of container {storage.container}." if names else ""

    def _datastore(self) -> str:
        name = self._place.storage.datastore
        if (
            self._session.facts.get("datastore_was_there")
            or unless_missing(lambda: self._client.datastores.get(name), None) is None
        ):
            return ""
        self._client.datastores.delete(name)
        return f"Datastore {name}, which is only an address."

    def _environments(self) -> str:
        made = [change.name for change in self._session.made if change.kind == "environment"]
        if not made:
            return "No environment was made that was not there before."
        return (
            f"Environments {', '.join(made)}, not archived: their versions follow from their content, so they are the "
            "ones that a deployment of this code looks for."
        )


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {getattr(error, 'message', None) or error}".strip().partition("\n")[0]


def _since(assets: Any, name: str, began: Any) -> list[str]:
    """Return the versions that were made since a moment."""
    found = unless_missing(lambda: list(assets.list(name)), [])
    return [str(one.version) for one in found if one.creation_context.created_at >= began]
