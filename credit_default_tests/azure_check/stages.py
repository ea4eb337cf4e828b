"""The stages of a check: the platform's own commands, in the order in which somebody would first use them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from credit_default.core.schema import CATEGORIES, CLIENT_ID
from credit_default.deploy import endpoints, environments, invocation, models, training
from credit_default.resources import resources_for
from credit_default.resources.azure.endpoints import scoring_requests
from credit_default.resources.model_versions import SHA256
from credit_default.runs import promotion
from credit_default.settings import Environment
from credit_default_tests.azure_check.session import Session

_TELEMETRY_SECONDS = 900.0
_DRIFT = "traces | where message has 'OverallDriftMetrics' | project timestamp, message"


@dataclass(frozen=True)
class Stage:
    """One stage: what does it and says what came of it, the stages that it needs, the items that it looks at."""

    name: str
    run: Callable[[Session], str]
    needs: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def make_environments(session: Session) -> str:
    """Register the environments of jobs and of online deployments."""
    report = session.note(environments.deploy(session.place, in_registry=False, dry_run=False))
    made = sum(change.pending for change in report.changes)
    return f"{len(report.changes)} environments, of which {made} were made"


def train(session: Session) -> str:
    """Train by one trial; a version that is held is approved, so that the rest can be seen."""
    place = session.place
    place.storage.write("landing/curated/clients.csv", session.training)
    told = session.note(training.train(place, trials=1, dry_run=False)).about
    version, verdict = str(told["version"]), str(told["verdict"])
    session.facts |= {"version": version, "verdict": verdict}
    if verdict == "hold":
        promotion.decide(place.settings, "approve", version, "azure-check: to see the rest")
    return f"version {version}, whose verdict is {verdict}"


def share(session: Session) -> str:
    """Share the version with other workspaces, where the environment may."""
    if session.place.settings.environment is not Environment.STAGING:
        return "left out: only staging shares"
    version = session.facts["sharing"] = session.facts["version"]
    session.note(models.share(session.place, version, dry_run=False))
    look_at_shared_tags(session, version)
    return f"version {version} is in registry {session.place.registry.registry}"


def look_at_shared_tags(session: Session, version: str) -> None:
    """Ask the shared registry itself: the platform falls back on the tags that lie in the folder of the model."""
    registry = session.place.registry
    shared = registry.workspace.registry_client(registry.registry).models.get(registry.name, version)
    session.find(
        "shared-models",
        "are the tags of a model kept when it is shared?",
        expected="yes",
        observed="yes" if dict(shared.tags or {}).get(SHA256) == registry.get(version).sha256 else "no",
    )


def deploy(session: Session) -> str:
    """Let the version answer at the batch endpoint."""
    reason = "azure-check"
    told = session.note(endpoints.deploy_version(session.place, session.facts["version"], reason, dry_run=False)).about
    session.find(
        "batch-image", "does its image build, and score golden rows as in training?", expected="yes", observed="yes"
    )
    return f"version {told['live_version']} is live"


def score(session: Session) -> str:
    """Score a day, and read it back."""
    place, day = session.place, session.day
    place.storage.write(f"landing/inference/batch/{day}/clients.csv", session.clients)
    told = session.note(invocation.invoke(place, day, verify=True, dry_run=False)).about
    return f"{told['rows']} predictions of version {told['model_version']}, read back and verified"


def deploy_online(session: Session) -> str:
    """Let the version answer online, and ask it about a client of the day."""
    place = session.place
    told = session.note(endpoints.deploy_online(place, dry_run=False)).about
    endpoint = place.online_endpoint
    deployment, address = str(endpoint.look().default), str(told["scoring_uri"])
    body = request(session.clients)
    session.facts |= {"deployment": deployment, "scoring_uri": address}
    credential = place.registry.workspace.credential()
    answer = endpoint.ask(
        "asking the online endpoint",
        lambda: scoring_requests.post(credential, address, deployment, body, seconds=endpoint.request_timeout),
    )
    # By now there were jobs or deployments of every kind, each in an image of its own.
    session.find("base-images", "are the base images of all environments there?", expected="yes", observed="yes")
    return f"version {told['live_version']} answers; {len(json.loads(answer)['predictions'])} client was scored"


def read_telemetry(session: Session) -> str:
    """Wait until the drift of the day can be queried."""
    telemetry: Any = resources_for(session.place.settings)["telemetry"]
    since, asked = session.began, datetime.now(UTC)
    rows = session.wait(
        "the drift of the day in Application Insights", _TELEMETRY_SECONDS, lambda: telemetry.query(_DRIFT, since=since)
    )
    seconds = (datetime.now(UTC) - asked).total_seconds()
    session.find(
        "monitor-errors", "can a row be queried within 15 minutes?", expected="yes", observed="yes",
        detail=f"after {seconds:.0f} s",
    )  # fmt: skip
    told = "1 message" if len(rows) == 1 else f"{len(rows)} messages"
    return f"{told} of the day's drift, {seconds:.0f} s after they were first asked for"


def request(clients: bytes) -> bytes:
    """Return a request that asks about the first client of a file."""
    row = next(csv.DictReader(io.StringIO(clients.decode())))
    values = {
        name: value or None if name in CATEGORIES or name == CLIENT_ID else float(value) if value else None
        for name, value in row.items()
    }
    return json.dumps({"data": [values]}).encode()


STAGES = (
    Stage("environments", make_environments),
    Stage("training", train, ("environments",)),
    Stage("share", share, ("training",), ("shared-models",)),
    Stage("deployment", deploy, ("training",), ("batch-image",)),
    Stage("a day scored", score, ("deployment",)),
    Stage("online", deploy_online, ("deployment",), ("base-images",)),
    Stage("telemetry", read_telemetry, ("a day scored",)),
)
