"""In a job of GitHub Actions: who did it, and that the log of a failed run is kept with the job's own."""

from __future__ import annotations

import io
import re

import pytest

from credit_default.errors import JobFailed
from credit_default.runs import github_actions
from credit_default.runs.launching import launch, login
from credit_default_tests.end_to_end.world import World


def test_who_did_it_is_who_started_the_workflow_and_elsewhere_the_login(monkeypatch):
    monkeypatch.setenv("LOGNAME", "runner")
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert login() == "ada"
    monkeypatch.setenv("GITHUB_ACTOR", " ")
    assert login() == "runner"
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    monkeypatch.delenv("GITHUB_ACTIONS")
    assert login() == "runner"


def test_a_log_is_shown_from_where_it_was_and_commands_and_signatures_in_it_are_none(tmp_path):
    log = tmp_path / "deploy.log"
    log.write_text("of yesterday\n")
    since = log.stat().st_size
    with log.open("a") as stream:
        stream.write("::add-mask::x\nPUT https://a.blob.core.windows.net/c?sv=1&sig=aB%2Fc%3D&se=2 failed\nlast\n")
    told = io.StringIO()
    github_actions.show("The log", log, since=since, stream=told)
    found = re.fullmatch(
        r"::group::The log\n::stop-commands::(\w{32})\n(.*)\n::(\w{32})::\n::endgroup::\n", told.getvalue(), re.DOTALL
    )
    assert found
    assert found[1] == found[3]
    assert found[2].splitlines() == [
        "::add-mask::x",
        "PUT https://a.blob.core.windows.net/c?sv=1&sig=***&se=2 failed",
        "last",
    ]


def test_a_log_without_end_is_shown_from_its_end(tmp_path):
    log = tmp_path / "deploy.log"
    log.write_text("".join(f"{number}\n" for number in range(6000)))
    told = io.StringIO()
    github_actions.show("The log", log, since=0, stream=told)
    lines = told.getvalue().splitlines()
    assert (lines[2], lines[3], lines[-3]) == ("... 1000 lines before", "1000", "5999")


@pytest.mark.slow
@pytest.mark.parametrize("here", [True, False])
def test_the_log_of_a_run_that_failed_is_shown_where_it_would_be_lost(tmp_path, monkeypatch, capfd, here):
    world = World(tmp_path / "home")
    for name, value in {**world.environment, "GITHUB_ACTIONS": str(here).lower(), "GITHUB_ACTOR": "ada"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(JobFailed, match=r"rollback_model failed: .*launched\.log"):
        launch("rollback_model", world.home / "launched.log", config={"ops": {"batch_deployment": {"config": {}}}})
    told = capfd.readouterr().err
    assert ("::group::The log of rollback_model" in told) is here
    assert ("RUN_FAILURE" in told) is here
