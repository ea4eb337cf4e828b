"""What a command wrote, read from the emulator's journal, in the words of the announcements."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Key = tuple[str, str]

#: Requests that only ask, although they are a POST.
_ASKS = re.compile(r"/(listSecrets|listKeys|getLogs|rundata|oauth2/v2.0/token|batchGetResolvedUris)$|/datarefs/")
#: Requests that are part of making something else: code and other files of it, telemetry, what a job tells MLflow.
_PARTS = re.compile(r"/codes/|/tempdatarefs/|/track$|^/mlflow/v2\.0/|/runs/[^/]+/artifacts")
_ASSET = r"(?P<name>[^/]+)/versions/(?P<version>[^/]+)$"
_KINDS = {
    "environment": rf"/(?:workspaces|registries)/[^/]+/environments/{_ASSET}",
    "data asset": rf"/data/{_ASSET}",
    "model": rf"/workspaces/[^/]+/models/{_ASSET}",
    "datastore": r"/datastores/(?P<name>[^/]+)$",
    "batch deployment": r"/batchEndpoints/[^/]+/deployments/(?P<name>[^/]+)$",
    "online deployment": r"/onlineEndpoints/[^/]+/deployments/(?P<name>[^/]+)$",
    "batch endpoint": r"/batchEndpoints/(?P<name>[^/]+)$",
    "online endpoint": r"/onlineEndpoints/(?P<name>[^/]+)$",
    "shared model": r"/registries/(?P<name>[^/]+)/models/[^/]+/versions/[^/]+$",
    "job": r"/jobs/(?P<name>[^/]+)$",
    # What is asked of an endpoint, batch or online.
    "invocation": r"^/(?:jobs|score)$",
    "ledger": r"-lake/models/ledger\.jsonl$",
    "alias": r"/aliases\.json$",
}


def requests_that_write(journal: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every request that changes anything anywhere, blobs included."""
    return [
        f"{one['method']} {one['host']}{one['path']}"
        for one in journal
        if one["method"] not in {"GET", "HEAD"} and not _ASKS.search(one["path"])
    ]


def written(journal: Iterable[Mapping[str, Any]]) -> Counter[Key]:
    """What was written, and how often."""
    found: Counter[Key] = Counter()
    for one in journal:
        if one["method"] in {"GET", "HEAD"} or one["status"] >= 400 or _ASKS.search(one["path"]):
            continue
        key = _key(one)
        if key is not None:
            found[key] += 1
    return found


def announced(changes: Iterable[Mapping[str, Any]]) -> Counter[Key]:
    """What a dry run announced, as `written` tells it."""
    return Counter(_announced(one) for one in changes if one["action"] != "unchanged" and one["certain"])


def left_open(changes: Iterable[Mapping[str, Any]]) -> list[Key]:
    """What a dry run announced that may be written, once at most, under a name that begins so."""
    return [_announced(one) for one in changes if one["action"] != "unchanged" and not one["certain"]]


def not_announced(writes: Counter[Key], changes: Sequence[Mapping[str, Any]]) -> tuple[Counter[Key], Counter[Key]]:
    """Hold what was written to what was announced: returns what was not announced, and what was not written."""
    told = announced(changes)
    surplus, missing = writes - told, told - writes
    for kind, name in left_open(changes):
        found = next((key for key in surplus if key[0] == kind and key[1].startswith(name)), None)
        surplus -= Counter([found] if found is not None else [])
    return surplus, missing


def _key(request: Mapping[str, Any]) -> Key | None:
    path, blobs = request["path"], ".blob." in request["host"]
    for kind, pattern in _KINDS.items():
        match = re.search(pattern, path)
        if match is None or (blobs != (kind in {"ledger", "alias"})) or "/.locks/" in path:
            continue
        if kind == "model" and request["status"] != 201:
            return None  # a tag that shows an alias
        told = match.groupdict()
        name = ":".join(filter(None, (told.get("name"), told.get("version"))))
        return (f"no {kind}" if request["method"] == "DELETE" else kind), name
    assert blobs or _PARTS.search(path), f"a write that nobody has a word for: {request['method']} {path}"
    return None


def _announced(change: Mapping[str, Any]) -> Key:
    kind, name = change["kind"], change["name"]
    if change["action"] == "delete":
        return f"no {kind}", name
    if kind in {"ledger", "alias"}:
        return kind, ""
    if kind in {"smoke test", "predictions"}:
        return "invocation", ""
    if kind == "model" and change["where"].endswith("-models"):
        return "shared model", change["where"]
    return kind, name
