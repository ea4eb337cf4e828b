"""How a check ends when something goes wrong around its stages: everything is removed, and what is not is named."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import click
import pytest
from azure.core.exceptions import ResourceNotFoundError
from click.testing import CliRunner

from credit_default.errors import ModelError
from credit_default_tests.azure_check import check, command, guard, recording
from credit_default_tests.azure_check.asking import Reply
from credit_default_tests.azure_check.probes import _must_be_archived
from credit_default_tests.azure_check.recording import Recorder
from credit_default_tests.azure_check.removal import Removal, Removed
from credit_default_tests.azure_check.scrub import Scrubber
from credit_default_tests.azure_check.stages import Stage


class Client:
    """Everything of a workspace that a removal asks for: two jobs, of which one cannot be cancelled, and no more."""

    def __init__(self) -> None:
        self.archived: list[tuple[str, str]] = []
        made = SimpleNamespace(created_at=datetime.now(UTC))
        self.found = {
            name: SimpleNamespace(name=name, status="Running", creation_context=made) for name in ("stays", "ends")
        }
        self.jobs = SimpleNamespace(list=self.found.values, get=self.found.get)
        self.models = self.data = self.environments = SimpleNamespace(
            list=lambda name: [], archive=lambda *asset: self.archived.append(asset)
        )
        self.online_endpoints = self.batch_endpoints = self.datastores = SimpleNamespace(get=self.missing)

    @staticmethod
    def missing(name: str) -> None:
        raise ResourceNotFoundError(name)


@pytest.fixture
def place():
    """A place with everything that a check asks for, and nothing behind it."""
    client = Client()
    workspace = SimpleNamespace(
        client=lambda: client, resource_group="g", name="w", registry_client=lambda name: client
    )
    compute = SimpleNamespace(poll_seconds=0.01)
    return SimpleNamespace(
        environment="staging",
        workspace="w",
        registry=SimpleNamespace(
            workspace=workspace,
            registry="r",
            name="m",
            get=lambda version: version if ("m", version) not in client.archived else client.missing(version),
        ),
        endpoint=SimpleNamespace(name="be", compute=compute),
        online_endpoint=SimpleNamespace(name="oe"),
        storage=SimpleNamespace(
            container="lake", datastore="d", blobs=SimpleNamespace(ask=lambda key, question: []), account="s"
        ),
        patience=lambda: None,
        missing_datastore=lambda: ["datastore"],
    )


@pytest.fixture
def played(place, tmp_path, monkeypatch):
    """Play some stages; returns what came of it."""
    monkeypatch.setattr(check, "PROBES", ())
    monkeypatch.setattr(check, "_runs", lambda place: set())

    def play(*stages: Stage, say=lambda text: None, minutes: float = 1.0):
        monkeypatch.setattr(check, "STAGES", stages)
        recorder = Recorder(tmp_path / "exchange.jsonl", Scrubber(b"k", {}, []))
        return check.play(place, recorder, clients=b"", training=b"", say=say, minutes=minutes)

    return play


def hang_up(session: Any) -> str:
    os.kill(os.getpid(), signal.SIGHUP)
    return ""


def test_everything_is_removed_when_nobody_hears_what_is_said(played, monkeypatch):
    """As after the terminal was closed: what is written to it then fails."""
    removed = []
    monkeypatch.setattr(Removal, "_blobs", lambda removal: removed.append("blobs") or "1 blob.")

    def say(text: str) -> None:
        raise OSError(5, "Input/output error")

    session, result, text = played(Stage("training", hang_up), say=say)
    assert (removed, result.removed) == (["blobs"], ["1 blob."])
    assert (session.results[-1].problem, "**Broken off: after" in text) == ("broken off", True)


def test_what_the_removal_needs_is_loaded_before_anything_can_break_off_an_import(played, monkeypatch):
    """A module whose import was broken off is there in part: the removal could not ask Dagster for the runs."""
    asked: list[str] = []
    monkeypatch.setattr(check, "_runs", lambda place: asked.append("runs") or set())
    played(Stage("training", lambda session: asked.append("stage") or ""))
    assert asked == ["runs", "stage", "runs"]


def test_a_stage_that_swallows_the_signal_is_stopped_by_the_next(played, monkeypatch):
    monkeypatch.setattr(check, "_AGAIN_SECONDS", 0.05)
    stopped = []

    def swallows(session: Any) -> str:
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            try:
                time.sleep(1)
            except SystemExit:
                stopped.append(1)
                if len(stopped) > 1:
                    raise
        return ""

    session, _, _ = played(Stage("training", swallows), minutes=0.005)
    assert (len(stopped), session.results[-1].problem) == (2, "broken off")


def test_an_exchange_that_is_otherwise_keeps_no_report_from_being_written(played, tmp_path):
    (tmp_path / "exchange.jsonl").write_text(
        '{"path": "/x/startPendingUpload", "status": 200, "answer": {"blobReferenceForConsumption": null}}\n'
    )
    session, _, text = played(Stage("training", lambda session: "done"))
    assert [result.name for result in session.results if result.problem] == ["the exchange"]
    assert "| the exchange | 0 s | **TypeError" in text


def test_a_check_that_was_stopped_between_its_stages_has_failed(place, tmp_path, monkeypatch):
    for name in ("must_be_allowed", "must_be_unused", "estimate"):
        monkeypatch.setattr(guard, name, lambda place: "")
    monkeypatch.setattr(command, "names_of", lambda place: {})
    monkeypatch.setattr(command, "as_csv", lambda clients, columns: b"")
    session, removed = SimpleNamespace(results=[], stopped=""), Removed()
    monkeypatch.setattr(check, "play", lambda *args, **more: (session, removed, ""))

    def run() -> int:
        return command.run(place, tmp_path, yes=True, clients=b"")

    assert run() == 0
    session.stopped = "after 1 s"
    assert run() == 1
    assert recording.VARIABLE not in os.environ


@pytest.mark.parametrize(("answer", "plays"), [("n\n", False), ("\n", False), ("", False), ("y\n", True)])
def test_nothing_is_done_before_somebody_said_yes(place, tmp_path, monkeypatch, answer, plays):
    played = []
    for name in ("must_be_allowed", "must_be_unused", "estimate"):
        monkeypatch.setattr(guard, name, lambda place: "")
    monkeypatch.setattr(command, "names_of", lambda place: {})
    monkeypatch.setattr(command, "as_csv", lambda clients, columns: b"")
    monkeypatch.setattr(
        check,
        "play",
        lambda *args, **more: played.append(1) or (SimpleNamespace(results=[], stopped=""), Removed(), ""),
    )
    with CliRunner().isolation(input=answer), suppress(click.Abort):
        command.run(place, tmp_path / "check", yes=False)
    assert (played, (tmp_path / "check").exists()) == ([1] if plays else [], plays)


@pytest.fixture
def removal(place):
    session = SimpleNamespace(place=place, facts={}, began=datetime.now(UTC), made=[], say=lambda text: None)
    return Removal(session, set, None)


def test_a_job_that_azure_does_not_cancel_is_named_with_what_cancels_it(removal, place, monkeypatch):
    client = place.registry.workspace.client()
    removal._session.facts["jobs"] = ["stays", "ends"]

    def cancel(self, name: str) -> str:
        if name == "ends":
            client.found[name].status = "Canceled"
            return "Job ends is Canceled."
        return "Azure did not confirm it"

    monkeypatch.setattr("credit_default.resources.azure.jobs.canceller.JobCanceller.cancel", cancel)
    result = removal.run(60)
    assert result.removed == ["Jobs that were cancelled: ends."]
    assert result.failed == ["job stays (Azure did not confirm it): az ml job cancel -n stays -g g -w w"]


def refuse(version: str) -> bool:
    raise ModelError("of somebody else")


@pytest.mark.parametrize(
    ("is_shared", "archived"),
    [(lambda version: True, 2), (lambda version: False, 1), (refuse, 1)],
    ids=["ours", "not there", "of others"],
)
def test_what_was_shared_is_archived_also_when_sharing_was_broken_off(removal, place, monkeypatch, is_shared, archived):
    removal._session.facts["sharing"] = "1"
    monkeypatch.setattr(Removal, "_registered", lambda removal: [("models", "m", "1")])
    place.registry.is_shared = is_shared
    assert removal.run(60).failed == []
    assert place.registry.workspace.client().archived == [("m", "1")] * archived  # in the registry and the workspace


def test_only_versions_that_azure_took_are_archived():
    session = SimpleNamespace(facts={})
    _must_be_archived(session, "data", "1", Reply(400, None))
    _must_be_archived(session, "data", "1+1", Reply(201, None))
    assert session.facts == {"probed": [("data", "1+1")]}


def test_a_disk_that_is_full_keeps_no_request_from_being_sent(tmp_path):
    recorder = Recorder(tmp_path / "no folder" / "exchange.jsonl", Scrubber(b"k", {}, []))
    recorder.keep(None, 0.0)


def test_a_real_workspace_is_never_taken_for_the_stand_in_which_asks_nobody(tmp_path):
    refused = CliRunner().invoke(command.main, ["--stand-in", "--settings", "staging.env", "--folder", str(tmp_path)])
    assert (refused.exit_code, "leave out --settings" in refused.stderr) == (2, True), refused.output
    assert list(tmp_path.iterdir()) == []
