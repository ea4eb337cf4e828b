"""A check played once on the stand-in: what it did, what it found, what it kept and what it left."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from credit_default.deploy import settings_file
from credit_default.deploy.place import AzureTarget, open_place
from credit_default.errors import NotAllowed
from credit_default.settings import COLLECTION_KEY_VARIABLE
from credit_default_tests.azure_check import command, guard, recording
from credit_default_tests.azure_check.findings import NOT_LOOKED_AT, items
from credit_default_tests.conftest import _OF_AZURE, _OF_PROXIES
from credit_default_tests.strategies import clients

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

#: A client and an amount that are in no other file.
CLIENT, AMOUNT = "planted-client-7f3a", 31337.25


@dataclass(frozen=True)
class Checked:
    """A workspace after a check.

    Attributes
    ----------
    never
        What must not be found in anything that was kept: what it is, and the value.
    requests
        What the stand-in was asked meanwhile.
    """

    code: int
    report: str
    exchange: str
    printed: str
    never: Mapping[str, str]
    requests: list[dict[str, Any]]
    place: AzureTarget
    jobs: list[dict[str, Any]]


@pytest.fixture(scope="module")
def staging(emulator, tmp_path_factory) -> Iterator[tuple[Any, Path]]:
    """Be a process that works in a new workspace, which nobody has brought code into, as a check does."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OF_AZURE) and name.upper() not in _OF_PROXIES
    }
    workspace, folder = emulator.workspace(), tmp_path_factory.mktemp("check")
    told = {"CREDIT_DEFAULT_ENV": "staging", **command._IMPATIENT, "AZUREML_CURRENT_CLOUD": "AzureCloud"}
    environment = {**kept, **emulator.environment_in(workspace), **told}
    with settings_file.entered(command.bounded(environment, folder)):
        yield workspace, folder
    emulator.clear_faults()
    assert emulator.unknown() == []
    assert emulator.refused_hosts() == []


def landed() -> bytes:
    rows = [{**row, "bill_amount_6": AMOUNT} for row in clients(20)]
    rows[0]["client_id"] = CLIENT
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def never_kept(emulator, workspace, place: AzureTarget) -> dict[str, str]:
    """Everything that names somebody or opens something."""
    client = place.registry.workspace.client()
    found = client.workspaces.get(workspace.name)
    keys = client.datastores.get("workspaceblobstore", include_secrets=True).credentials
    return {
        "the id of a client": CLIENT,
        "an amount": str(AMOUNT),
        "the secret": emulator.environment["AZURE_CLIENT_SECRET"],
        "a storage key": keys.account_key,
        "the private key": json.loads(os.environ[COLLECTION_KEY_VARIABLE])["d"],
        "the client": emulator.environment["AZURE_CLIENT_ID"],
        "the tenant": emulator.environment["AZURE_TENANT_ID"],
        "the managed identity": found.identity.principal_id,
        "the subscription": workspace.subscription,
        "the workspace": workspace.name,
        "its storage": workspace.account,
        "the instrumentation key": workspace.instrumentation_key,
        "any token": "eyJ",
        "any signature": "sig=",
        "any signature in a URL": "sig%3D",
    }


@pytest.fixture(scope="module")
def checked(emulator, staging) -> Checked:
    workspace, folder = staging
    place = open_place()
    before, printed = len(emulator.journal()), io.StringIO()
    with ExitStack() as held:
        held.enter_context(patch.object(command.click, "echo", lambda text, **_: print(text, file=printed)))
        code = command.run(place, folder, yes=True, clients=landed())
    return Checked(
        code=code,
        report=(folder / "report.md").read_text("utf-8"),
        exchange=(folder / "exchange.jsonl").read_text("utf-8"),
        printed=printed.getvalue(),
        never=never_kept(emulator, workspace, place),
        requests=emulator.journal()[before:],
        place=place,
        jobs=emulator.jobs(workspace.name),
    )


def test_every_stage_is_done_and_the_stand_in_is_as_its_list_says(checked):
    assert (checked.code, re.findall(r"^\| .*\*\*.*$", checked.report, re.MULTILINE)) == (0, [])
    verdicts = dict(re.findall(r"^### ([\w-]+): (.+)$", checked.report, re.MULTILINE))
    keys = {item.key for item in items()}
    assert verdicts == dict.fromkeys(keys - NOT_LOOKED_AT.keys(), "seen") | dict.fromkeys(
        NOT_LOOKED_AT, "not looked at"
    )


def test_it_says_what_it_costs_before_it_does_anything(checked):
    estimate, _, done = checked.printed.partition("environments ...")
    assert re.search(r"About \d+ minutes\. After 75 .* to end within 90\.", estimate)
    assert re.search(r"About 0\.\d\d US dollars for machines, 0\.\d\d at most", estimate)
    assert "training: version 1, whose verdict is promote" in done


def test_one_machine_works_at_a_time(checked):
    """The steps of a run come one after the other, and so do the probes; a deployment asks for one machine."""
    sent = [json.loads(line) for line in checked.exchange.splitlines()]
    deployments = [one["body"] for one in sent if one["method"] == "PUT" and "/deployments/" in one["path"]]
    machines = [
        *(body["properties"]["resources"]["instanceCount"] for body in deployments if "compute" in body["properties"]),
        *(body["sku"]["capacity"] for body in deployments if "sku" in body),
    ]
    assert machines == [1, 1]
    assert all((job["properties"].get("limits") or {}).get("maxConcurrentTrials", 1) == 1 for job in checked.jobs)


def test_nothing_that_names_somebody_or_opens_anything_is_kept(checked):
    for kept in (checked.exchange, checked.report):
        found = [what for what, value in checked.never.items() if value.lower() in kept.lower()]
        assert found == []
        ids = re.findall(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", kept, re.IGNORECASE)
        assert {one[:23] for one in ids} <= {"00000000-0000-0000-0000"}


def test_what_is_searched_for_was_really_sent(checked):
    """A search for what was never there would find nothing, too."""
    told = json.dumps(checked.requests)
    for what in ("the subscription", "the workspace", "its storage", "the tenant"):
        assert checked.never[what] in told, what
    hosts = {one["host"] for one in checked.requests}
    assert {"login.microsoftonline.com", "api.loganalytics.io"} <= hosts
    assert any(one["path"] == "/score" for one in checked.requests)
    assert any(one["path"].endswith("/clients.csv") and one["method"] == "PUT" for one in checked.requests)


def test_the_exchange_of_the_runs_is_kept_too(checked):
    kept = [json.loads(line) for line in checked.exchange.splitlines()]
    assert [one for one in kept if "not_kept" in one] == []
    jobs = {
        one["path"].rpartition("/")[2]
        for one in kept
        if one["method"] == "PUT" and "/workspaces/workspace-name/jobs/" in one["path"]
    }
    assert jobs == {job["name"] for job in checked.jobs if job["parent"] is None and job["type"] != "Pipeline"}
    assert {name.partition("-")[0] for name in jobs} >= {"train", "azure", "drift"}


def test_everything_is_removed_again_and_what_stays_is_named(checked):
    guard.must_be_unused(checked.place)
    client = checked.place.registry.workspace.client()
    assert checked.place.registry.versions() == []
    assert [one for name in ("curated_data", "inference_data", "azure-check") for one in client.data.list(name)] == []
    assert checked.place.missing_datastore()
    assert {job["status"] for job in checked.jobs} <= {"Completed", "Failed", "Canceled"}
    left = checked.report.partition("## Left")[2]
    assert "models credit-card-default:1" in left
    assert "Environments credit-card-default-train:" in left


def test_a_check_that_takes_too_long_is_broken_off_and_what_could_be_is_removed(checked, emulator, staging, tmp_path):
    """After the other one, whose archived versions are still there; a job that never ends keeps it."""
    emulator.job_fault("curated-data", queue_seconds=600)
    emulator.fault("DELETE", "/datastores/", status=403)
    assert command.run(checked.place, tmp_path, yes=True, minutes=0.5) == 1
    emulator.clear_faults()
    report = (tmp_path / "report.md").read_text()
    assert re.search(r"## NOT removed.*\n\n- datastore .*: az ml datastore delete -n credit_default", report)
    assert re.search(r"\*\*Broken off: after \d+ s", report)
    assert re.search(r"^\| training \| \d+ s \| \*\*broken off\*\* \|$", report, re.MULTILINE)
    guard.must_be_unused(checked.place)
    statuses = {job["name"]: job["status"] for job in emulator.jobs(staging[0].name)}
    assert {status for name, status in statuses.items() if name not in {job["name"] for job in checked.jobs}} == {
        "Canceled"
    }


def test_a_workspace_that_is_in_use_is_refused_in_clear_words(checked, tmp_path):
    place = checked.place
    place.endpoint.ensure()
    place.storage.write("landing/inference/batch/2026-01-31/clients.csv", landed())
    with pytest.raises(NotAllowed) as refused:
        command.run(place, tmp_path, yes=True)
    client = place.registry.workspace.client()
    client.batch_endpoints.begin_delete(place.endpoint.name).result()
    assert f"batch endpoint {place.endpoint.name} is there; container {place.storage.container}" in str(refused.value)
    assert "make one for it, or empty this one" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "words"),
    [("local", "CREDIT_DEFAULT_ENV is 'local'"), ("production", "it does not run in production")],
)
def test_other_environments_are_refused_in_clear_words(staging, tmp_path, environment, words):
    told = {"CREDIT_DEFAULT_ENV": environment}
    refused = CliRunner(env=told).invoke(command.main, ["--folder", str(tmp_path), "--yes"])
    assert (refused.exit_code, words in refused.stderr) == (1, True), refused.output
    assert recording.VARIABLE not in os.environ
