"""What becomes live is in the ledger once, whoever made it live, whatever is killed and whatever goes on beside."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import dagster as dg
import pytest

from credit_default.core.lake import LEDGER
from credit_default.core.promotion.ledger import Ledger
from credit_default.defs.assets.deployment import ASKED_BY, PromotionRequest, _go_live, batch_deployment
from credit_default.errors import LedgerError, NotAllowed
from credit_default.ports import EndpointState, ModelVersion
from credit_default.resources import ledger as ledgers
from credit_default.resources import resources_for
from credit_default.settings import read
from credit_default_tests.platforms import azure_endpoint
from credit_default_tests.resources.served_models import in_a_run, model_files, register


@pytest.fixture
def ports(tmp_path):
    """A platform of the test's own; every call opens it anew, as another process would."""

    def made():
        return resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))

    for version in ("1", "2", "3"):
        made()["endpoint"]._add(version)
    return made


def wish(version: str | None, action: str = "promote", *, root: str = "run", flip: bool = True) -> PromotionRequest:
    model = version and ModelVersion("m", version, f"k{version}", "s", {"verdict": "promote"})
    return PromotionRequest(model, flip=flip, action=action, who=f"run {root}", reason="better", root=root)


def go_live(ports, *args, **more) -> list[tuple[str, str | None, str]]:
    opened = ports()
    return lines(_go_live(wish(*args, **more), opened["storage"], opened["endpoint"]))


def lines(ledger: Ledger) -> list[tuple[str, str | None, str]]:
    assert ledger.problems == ()
    return [(entry.action, entry.from_version, entry.to_version) for entry in ledger.entries]


def test_whatever_becomes_live_is_in_the_ledger_once(ports):
    assert go_live(ports, None, flip=False) == []
    assert go_live(ports, "1") == [("promote", None, "1")]
    assert go_live(ports, "1") == [("promote", None, "1")]
    went = [("promote", None, "1"), ("promote", "1", "2")]
    assert go_live(ports, "2", root="second") == went
    assert go_live(ports, "1", "rollback", root="third") == [*went, ("rollback", "2", "1")]
    *_, last = ledgers.read(ports()["storage"]).entries
    assert (last.who, last.reason, last.run_id) == ("run third", "better", "third")
    assert ports()["endpoint"].state() == EndpointState(("1", "2", "3"), "1", "2", "third")


def test_what_was_made_live_elsewhere_is_found_by_the_next_run(ports):
    ports()["endpoint"].make_default("2")
    found = [("found", None, "2")]
    assert go_live(ports, None, flip=False) == found
    ports()["endpoint"].make_default("1", changed_by="a run of an older release")
    found.append(("found", "2", "1"))
    assert go_live(ports, "3") == [*found, ("promote", "1", "3")]
    first, second, _ = ledgers.read(ports()["storage"]).entries
    assert (first.who, second.who) == ("unknown", "unknown")
    assert "names nobody" in first.reason
    assert "names run a run of an older release" in second.reason


def test_a_run_does_not_claim_what_another_one_made_live(ports):
    ports()["endpoint"].make_default("2", changed_by="another run")
    assert go_live(ports, "2", flip=False) == [("found", None, "2")]


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_a_run_that_was_killed_before_it_could_write_enters_what_it_did_when_it_is_retried(ports, action):
    ports()["endpoint"].make_default("2", changed_by="run")
    assert go_live(ports, "2", action, flip=False) == [(action, None, "2")]


KILLED = """
import os, signal, sys
from credit_default.defs.assets.deployment import PromotionRequest, _go_live
from credit_default.resources import resources_for
from credit_default.resources.local.storage import LocalStorage
from credit_default.ports import ModelVersion
from credit_default.settings import read

class Deadly(LocalStorage):
    def write(self, key, content):
        if key == "models/ledger.jsonl":
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(key, content)

ports = resources_for(read())
model = ModelVersion("m", "2", "k", "s", {"verdict": "promote"})
wish = PromotionRequest(model, flip=True, action="promote", who="run killed", reason="better", root="killed")
_go_live(wish, Deadly(root=ports["storage"].root), ports["endpoint"])
"""


@pytest.mark.slow
def test_a_process_that_dies_between_the_change_and_its_line_lets_go_and_leaves_nothing_unsaid(ports, tmp_path):
    go_live(ports, "1")
    before = ports()["storage"].read(LEDGER)
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env={"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert ports()["endpoint"].state().default == "2"
    assert ports()["storage"].read(LEDGER) == before
    written = [("promote", None, "1"), ("found", "1", "2"), ("promote", "2", "3")]
    assert go_live(ports, "3", root="another") == written


def test_promotions_and_rollbacks_at_once_are_entered_as_they_happened(ports):
    go_live(ports, "1", root="first")
    wishes = [wish("2", root="a"), wish("3", root="b"), wish("1", "rollback", root="c")] * 4
    failed: list[BaseException] = []
    together = threading.Barrier(len(wishes))

    def work(one: PromotionRequest) -> None:
        opened = ports()
        together.wait()
        try:
            _go_live(one, opened["storage"], opened["endpoint"])
        except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    ledger, state = ledgers.read(ports()["storage"]), ports()["endpoint"].state()
    assert ledger.problems == ()
    assert (ledger.live, ledger.entries[-1].run_id) == (state.default, state.changed_by)
    assert ledger.entries[-1].from_version == state.previous
    for entry in ledger.entries[1:]:
        assert (entry.action, entry.run_id) == {"2": ("promote", "a"), "3": ("promote", "b"), "1": ("rollback", "c")}[
            entry.to_version
        ]
        assert entry.from_version != entry.to_version


def test_a_version_that_is_refused_while_it_is_deployed_does_not_go_live(ports):
    go_live(ports, "1")
    with ledgers.held(ports()["storage"]) as writer:
        writer.enter("refuse", "2", who="alice", reason="a doubt")
    for action in ("promote", "rollback"):
        with pytest.raises(NotAllowed, match=r"Version 2 may not go live: alice refused it .* \(a doubt\)"):
            go_live(ports, "2", action)
    assert ports()["endpoint"].state().default == "1"


def test_nothing_goes_live_past_a_ledger_that_was_changed(ports):
    go_live(ports, "1")
    go_live(ports, "2", root="second")
    storage = ports()["storage"]
    changed = storage.read(LEDGER).replace(b"better", b"because", 1)
    storage.write(LEDGER, changed)
    with pytest.raises(LedgerError, match="cannot be relied on from line 1 on"):
        go_live(ports, "3", root="third")
    assert ports()["endpoint"].state().default == "2"
    assert storage.read(LEDGER) == changed


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    return model_files(tmp_path_factory.mktemp("model") / "m")


@pytest.mark.slow
def test_on_azure_promotions_at_once_are_entered_as_they_happened_too(azure, files):
    endpoint = azure_endpoint()
    storage = endpoint.compute.storage
    for version in ("1", "2", "3"):
        model = register(storage, endpoint.registry, files, f"models/m{version}")
        in_a_run(lambda context, model=model: endpoint.deploy(context, model))
    _go_live(wish("1", root="first"), storage, endpoint)
    wishes = [wish("2", root="a"), wish("3", root="b")]

    def work(one: PromotionRequest) -> None:
        opened = azure_endpoint()
        _go_live(one, opened.compute.storage, opened)

    threads = [threading.Thread(target=work, args=(one,)) for one in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries, state = ledgers.read(storage).entries, endpoint.state()
    assert [entry.action for entry in entries] == ["promote"] * 3
    assert {(entry.to_version, entry.run_id) for entry in entries[1:]} == {("2", "a"), ("3", "b")}
    last = entries[-1]
    assert (last.to_version, last.from_version, last.run_id) == (state.default, state.previous, state.changed_by)


def materialise(ports, **config) -> dg.ExecuteInProcessResult:
    asked = {name: ports[name] for name in ("storage", "registry", "endpoint")}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [batch_deployment],
            resources=asked,
            instance=instance,
            run_config={"ops": {"batch_deployment": {"config": config}}},
            tags={ASKED_BY: "alice"} if config else {},
            raise_on_error=False,
        )


def shown(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    assert result.success
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


@pytest.mark.slow
def test_the_page_of_the_deployment_shows_the_ledger_newest_first(tmp_path, files):
    ports = resources_for(read({"CREDIT_DEFAULT_HOME": str(tmp_path / "home")}))
    for number in range(2):
        register(ports["storage"], ports["registry"], files, f"models/m{number}")
    first = materialise(ports, version="1", reason="the first")
    second = materialise(ports)
    shown(first)
    page = shown(second)
    told = [record.data for record in page["ledger"].records]
    assert [(line["action"], line["from_version"], line["to_version"], line["who"]) for line in told] == [
        ("promote", "1", "2", f"run {second.run_id}"),
        ("promote", "", "1", "alice"),
    ]
    assert [line["reason"] for line in told] == ["the newest version, if its verdict allows", "the first"]
    ledger = ledgers.read(ports["storage"])
    assert (page["ledger_is_whole"], page["ledger_lines"], page["ledger_head"]) == (True, 2, ledger.head)

    ports["storage"].write(LEDGER, ports["storage"].read(LEDGER).replace(b"the first", b"the worst"))
    page = shown(materialise(ports))
    assert page["ledger_is_whole"] is False
    assert page["ledger_problems"].startswith("line 1 is not the one that line 2 follows")
    failed = materialise(ports, direction="back")
    assert not failed.success
    assert ports["endpoint"].state().default == "2"
