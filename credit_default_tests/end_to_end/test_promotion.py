"""Versions approved, refused and put back by command, in a home with real runs; and what the ledger says of it."""

from __future__ import annotations

import getpass
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from credit_default.cli.main import main
from credit_default.core.lake import LEDGER
from credit_default.core.promotion.gates import Criterion, Verdict
from credit_default.resources import resources_for
from credit_default_tests.end_to_end.world import World
from credit_default_tests.resources.served_models import model_files, register

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

GAIN = Criterion("auc_gain", -0.0012, "interval above 0", False, "ROC AUC of the challenger less the champion's.")
SLOPE = Criterion("calibration_slope", 1.02, "0.7 to 1.4", True, "1 is honest.")
#: What was decided about each version, oldest first.
VERDICTS = ("promote", "promote", "hold", "reject")


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> World:
    """A home with four versions, of which the first was live and the second is."""
    folder = tmp_path_factory.mktemp("promotion")
    world, files = World(folder / "home"), model_files(folder / "model")
    ports = resources_for(world.settings)
    for number, decision in enumerate(VERDICTS, start=1):
        verdict = Verdict(decision, (SLOPE,) if decision == "promote" else (GAIN, SLOPE))
        ports["storage"].write(f"verdicts/{number}.json", json.dumps(verdict.as_dict()).encode())
        register(ports["storage"], ports["registry"], files, f"models/m{number}", verdict=decision)
    for version in ("1", "2"):
        deployed = world.run_job("deploy_model", None, None, "--config", configuration(version=version))
        assert deployed.returncode == 0, deployed.stderr
    return world


def configuration(**about: str) -> str:
    return json.dumps({"ops": {"batch_deployment": {"config": about}}})


@pytest.fixture
def world(played, tmp_path, monkeypatch) -> World:
    """That home, for one test, which this very process works on too."""
    copied = played.copy_to(tmp_path / "home")
    for name, value in copied.environment.items():
        monkeypatch.setenv(name, value)
    return copied


@pytest.fixture
def call(world):
    return lambda *arguments: CliRunner().invoke(main, ["models", *arguments])


def documents(result) -> list[dict]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def history(call) -> list[tuple]:
    return [(line["action"], line["from_version"], line["to_version"]) for line in documents(call("history", "--json"))]


def live(world: World) -> str:
    return resources_for(world.settings)["endpoint"].state().default


TWO = [("promote", "1", "2"), ("promote", None, "1")]


def test_the_list_of_versions_is_still_there(call):
    listed = documents(call("--json"))
    assert [(row["version"], row["state"], row["verdict"]) for row in listed] == [
        ("4", "", "reject"),
        ("3", "", "hold"),
        ("2", "live", "promote"),
        ("1", "previous", "promote"),
    ]
    assert call().exit_code == 0
    assert "--json stands behind the command" in call("--json", "history").stderr


def test_history_shows_each_promotion_with_its_run_and_the_verdict_of_then(call, world):
    assert history(call) == TWO
    newest, oldest = documents(call("history", "--json"))
    runs = {run.run_id for run in world.runs("deploy_model")}
    assert {newest["run_id"], oldest["run_id"]} == runs
    assert newest["who"] == f"run {newest['run_id']}"
    assert re.fullmatch("[0-9a-f]{64}", newest["verdict_sha256"])
    assert newest["trusted"] is True
    table = call("history")
    assert table.exit_code == 0
    assert f"run {newest['run_id'][:8]}" in table.output
    assert "the version that was asked for" in table.output
    assert table.output.index(" 2 ") < table.output.index(" 1 ")
    (page,) = [made.metadata for made in world.made("batch_deployment")[-1:]]
    assert page["ledger_head"].value == newest["sha256"]


def test_the_champion_of_a_moment_is_looked_up_in_the_ledger(call):
    second, first = documents(call("history", "--json"))
    assert "Version 2, live since " in call("champion").output
    for moment, version in ((first["at"], "1"), (second["at"], "2"), ("9999-12-31", "2")):
        (found,) = documents(call("champion", "--json", "--at", moment))
        assert found["to_version"] == version
    nobody = call("champion", "--at", "2020-01-01")
    assert nobody.exit_code == 1
    assert "nothing was live at 2020-01-01T00:00:00+00:00; it begins at 2" in nobody.stderr
    for malformed in ("yesterday", "9999-12-31T23:59:59-23:59", ""):
        result = call("champion", "--at", malformed)
        assert result.exit_code == 2
        assert f"{malformed!r} is no ISO date or time, such as 2026-01-30" in result.stderr


def test_a_champion_that_the_ledger_does_not_know_yet_is_told(call, world):
    resources_for(world.settings)["endpoint"].make_default("1")
    told = call("champion")
    assert told.exit_code == 1
    assert "Version 2, live since " in told.stdout
    assert "At the endpoint version 1 answers, which the ledger does not know yet" in told.stderr
    assert call("champion", "--at", "9999-12-31").exit_code == 0


def test_a_held_version_goes_live_after_a_person_has_approved_it(call, world):
    approved = call("approve", "3", "--reason", "  the board\nwants it ")
    assert approved.exit_code == 0, approved.stderr
    assert "auc_gain" in approved.output
    assert "interval above 0" in approved.output
    assert "calibration_slope" not in approved.output, "it was met"
    assert (
        f"Version 3, whose verdict is hold, is approved by {getpass.getuser()}: the board wants it." in approved.output
    )
    assert "job deploy_model lets version 3 go live when its configuration names that version" in approved.output
    again = call("approve", "3", "--reason", "the board wants it", "--json")
    assert documents(again)[0]["unmet_criteria"][0]["name"] == "auc_gain"
    approval = [("approve", None, "3")]
    assert history(call) == [*approval, *TWO], "said twice is said once"

    done = world.run_job("deploy_model", None, None, "--config", configuration(version="3"))
    assert done.returncode == 0, done.stderr
    assert live(world) == "3"
    assert history(call) == [("promote", "2", "3"), *approval, *TWO]
    registry = resources_for(world.settings)["registry"]
    assert registry.get("3").tags["verdict"] == "hold", "that is what the judgement was"
    assert registry.get("champion").version == "3"


def test_only_what_was_held_can_be_approved(call):
    rejected = call("approve", "4", "--reason", "never mind")
    assert rejected.exit_code == 1
    assert "Version 4 cannot be approved: its verdict is reject" in rejected.stderr
    assert "Version 1 needs no approval" in call("approve", "1", "--reason", "why not").stderr
    assert "no version or alias '9'" in call("approve", "9", "--reason", "why not").stderr
    assert history(call) == TWO


@pytest.mark.parametrize("command", [("approve", "3"), ("refuse", "1"), ("rollback",)])
@pytest.mark.parametrize("reason", [(), ("--reason", ""), ("--reason", " \n"), ("--reason", "a\x1b[2Jb")])
def test_nothing_is_decided_without_a_reason_that_can_be_read(call, command, reason):
    result = call(*command, *reason)
    assert result.exit_code == 2
    assert "--reason" in result.stderr
    assert history(call) == TWO


def test_a_refused_version_does_not_go_live_until_it_is_approved_again(call, world):
    live_one = call("refuse", "2", "--reason", "a doubt")
    assert live_one.exit_code == 1
    assert "Version 2 is live" in live_one.stderr
    refused = call("refuse", "1", "--reason", "a doubt")
    assert refused.exit_code == 0, refused.stderr
    assert "Version 1 does not go live" in refused.output

    back = call("rollback", "--reason", "too many refusals")
    assert back.exit_code == 1
    assert "Version 1 may not go live" in back.stderr
    assert "(a doubt)" in back.stderr
    assert live(world) == "2"
    assert documents(call("approve", "1", "--reason", "no doubt", "--json"))[0]["action"] == "approve"
    assert documents(call("rollback", "--reason", "too many refusals", "--json"))[0]["live_version"] == "1"


def test_going_back_is_a_run_that_names_the_person_and_trains_nothing(call, world):
    done = call("rollback", "--reason", "too many refusals")
    assert done.exit_code == 0, done.stderr
    assert "Version 1 is live; before it: version 2. Run " in done.output
    assert live(world) == "1"
    (run,) = world.runs("rollback_model")
    newest = documents(call("history", "--json"))[0]
    assert (newest["action"], newest["from_version"], newest["to_version"]) == ("rollback", "2", "1")
    assert (newest["who"], newest["reason"]) == (getpass.getuser(), "too many refusals")
    assert newest["run_id"] == run.run_id
    assert world.made("batch_deployment")[-1].metadata["live_version"].value == "1"
    jobs = set((world.home / "jobs").iterdir())
    assert jobs == set(world.job_folders("smoke-test")), "no step but that"


def test_one_can_go_back_to_any_version_that_was_live_and_to_no_other(call, world):
    assert (
        "Version 4 may not go live: its verdict is reject"
        in call("rollback", "--to", "4", "--reason", "why not").stderr
    )
    assert live(world) == "2"
    there = call("rollback", "--to", "2", "--reason", "why not")
    assert there.exit_code == 0
    assert there.output == "Version 2 was live already.\n"
    (told,) = documents(call("rollback", "--to", "1", "--reason", "too many refusals", "--json"))
    assert (told["live_version"], told["previous_version"], told["changed"]) == ("1", "2", True)
    assert [run.job_name for run in world.runs()][:2] == ["rollback_model"] * 2
    assert history(call) == [("rollback", "2", "1"), *TWO]


def test_without_an_earlier_version_going_back_says_so(call, world):
    storage = resources_for(world.settings)["storage"]
    (endpoint,) = storage.entries("endpoints")
    kept = json.loads(storage.read(f"endpoints/{endpoint.name}"))
    storage.write(f"endpoints/{endpoint.name}", json.dumps({**kept, "previous": None}).encode())
    done = call("rollback", "--reason", "too many refusals")
    assert done.exit_code == 1
    assert "There is no earlier deployment to go back to" in done.stderr


def test_the_job_itself_goes_back_when_it_is_run_as_it_is_defined(world, call):
    assert world.run_job("rollback_model").returncode == 0
    assert documents(call("history", "--json"))[0]["reason"] == "rolled back by hand"
    assert live(world) == "1"


def test_a_forged_line_is_shown_as_what_it_is_and_stops_what_would_go_on_from_it(call, world):
    path = Path(world.lake / LEDGER)
    path.write_bytes(path.read_bytes().replace(b'"action": "promote"', b'"action": "approve"', 1))
    told = call("history", "--json")
    assert told.exit_code == 1
    assert [json.loads(line)["trusted"] for line in told.stdout.splitlines()] == [False, False]
    assert "cannot be trusted from line 1 on: line 1 is not the one that line 2 follows" in told.stderr
    assert call("champion").exit_code == 1
    for command in (("approve", "3"), ("refuse", "1"), ("rollback",)):
        stopped = call(*command, "--reason", "why not")
        assert stopped.exit_code == 1
        assert "LedgerError" in stopped.stderr or "cannot be relied on from line 1" in stopped.stderr
    assert live(world) == "2"


def test_a_torn_line_is_told_and_the_next_one_keeps_it_aside(call, world):
    path = Path(world.lake / LEDGER)
    path.write_bytes(path.read_bytes() + b'{"action": "pro')
    told = call("history", "--json")
    assert len(documents(told)) == 2
    assert "A last line of 15 bytes was cut off" in told.stderr
    assert call("refuse", "1", "--reason", "a doubt").exit_code == 0
    assert len(history(call)) == 3
    assert [path.read_bytes() for path in (world.lake / "models").glob("ledger.torn-*")] == [b'{"action": "pro']
