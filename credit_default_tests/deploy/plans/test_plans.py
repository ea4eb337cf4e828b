"""What is planned for assets, for versions between workspaces, and for days: enough, needed and allowed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from credit_default.core.promotion.ledger import Ledger
from credit_default.core.scoring.predictions import data_version, origin_key
from credit_default.defs.assets.deployment import why_not_live
from credit_default.defs.landing.ingestion import IngestionRecord
from credit_default.deploy.output import conclusion, line
from credit_default.deploy.plans.assets import plan
from credit_default.deploy.plans.changes import Action, Change, Report, any_pending
from credit_default.deploy.plans.deployment import choose
from credit_default.deploy.plans.invocation import Day, Predicted, plan_invocation
from credit_default.deploy.plans.models import must_be_there, plan_promote, plan_share
from credit_default.errors import NotAllowed, NotThere
from credit_default.ports import ModelVersion
from credit_default_tests.deploy.plans.test_deployment import World, model, read

names = st.lists(st.text("abc:", min_size=1, max_size=4), unique=True)
verdicts = st.sampled_from(["promote", "hold", "reject"])


@given(names, st.sets(st.text("abc:", min_size=1, max_size=4)))
def test_what_is_missing_is_made_and_the_rest_is_left_alone(wanted, there):
    changes = plan("environment", "ws", wanted, there)
    made = {one.name for one in changes if one.action is Action.CREATE}
    assert [one.name for one in changes] == wanted
    assert made == set(wanted) - there
    assert not any_pending(plan("environment", "ws", wanted, there | made))


@given(st.lists(verdicts, min_size=1, max_size=4), st.data())
def test_only_what_may_go_live_is_shared_and_once(given_verdicts, data):
    numbered = list(enumerate(given_verdicts, start=1))
    models = tuple(model(str(number), verdict) for number, verdict in reversed(numbered))
    asked = data.draw(st.none() | st.sampled_from([one.version for one in models]))
    shared = data.draw(st.sets(st.sampled_from([one.version for one in models])))
    try:
        choice = choose(models, Ledger(), asked)
    except NotAllowed:
        assume(False)
    (change,) = plan_share("r", choice, shared=choice.model is not None and choice.model.version in shared)
    if change.pending:
        assert why_not_live(choice.model, Ledger()) is None
        assert choice.model.version not in shared
        assert change.where == "r"
    assert not any_pending(plan_share("r", choice, shared=True))


def shared_version(verdict: str) -> ModelVersion:
    return ModelVersion("m", "7", "", "sha7", {"verdict": verdict})


def here(verdict: str, version: str = "3") -> ModelVersion:
    return ModelVersion("m", version, "k", "sha7", {"verdict": verdict})


def promoted(verdict: str, *versions: ModelVersion, ledger: Ledger | None = None, approval: str | None = None):
    """Action, kind and name of each change of a promotion."""
    changes = plan_promote(
        "ws", shared_version(verdict), versions, ledger or Ledger(), following="4", approval=approval
    )
    return [(one.action.value, one.kind, one.to or one.name) for one in changes]


def decided(*actions: tuple[str, str]) -> Ledger:
    world = World(())
    for action, version in actions:
        world = world.entered(action, version)
    return read(world.ledger)


def test_a_version_that_may_go_live_is_taken_under_the_next_number_and_once():
    assert promoted("promote") == [("create", "model", "m:4")]
    assert promoted("promote", here("promote")) == [("unchanged", "model", "m:3")]
    # Of a version of that number, which was archived here, the ledger may tell; it is not this one.
    assert promoted("promote", ledger=decided(("refuse", "4"))) == [("create", "model", "m:4")]


def test_a_held_version_needs_a_person_who_is_entered_once():
    with pytest.raises(
        NotAllowed, match="Version 7 of the shared registry may not go live here: its verdict is hold; a "
    ):
        promoted("hold")
    approved = [("create", "model", "m:4"), ("update", "ledger", "4")]
    assert promoted("hold", approval="seen") == approved
    # What was broken off after the first half goes on with the second.
    assert promoted("hold", here("hold"), approval="seen") == [("unchanged", "model", "m:3"), ("update", "ledger", "3")]
    done = decided(("approve", "3"))
    assert promoted("hold", here("hold"), ledger=done) == [("unchanged", "model", "m:3")]
    assert promoted("hold", here("hold"), ledger=done, approval="seen") == [("unchanged", "model", "m:3")]


@pytest.mark.parametrize("approval", [None, "please"])
@pytest.mark.parametrize("verdict", ["reject", "missing"])
def test_what_was_rejected_or_never_judged_cannot_be_promoted_by_anybody(verdict, approval):
    with pytest.raises(NotAllowed, match=f"may not go live here: its verdict is {verdict}"):
        promoted(verdict, approval=approval)


def test_what_somebody_refused_here_is_not_promoted_and_an_approval_that_nobody_needs_is_told():
    with pytest.raises(NotAllowed, match="somebody refused it"):
        promoted("promote", here("promote"), ledger=decided(("refuse", "3")))
    with pytest.raises(NotAllowed, match="needs no approval: its verdict is promote; leave out --approve"):
        promoted("promote", approval="please")


def test_what_was_not_shared_is_told_with_what_to_do():
    with pytest.raises(
        NotThere, match=r"Registry r has no version 7 of the model; .* `credit-default deploy model share`"
    ):
        must_be_there(None, "r", "7")


LIVE = ModelVersion("m", "2", "k", "sha2")


SCORED = Day(
    "files", IngestionRecord("files", "clients"), "clients", Predicted(3, "2", "sha2", "clients", "p"), ("p", "2")
)
DAY = date(2026, 1, 31)


def planned_day(live: ModelVersion | None = LIVE, **changed) -> Change:
    return plan_invocation("lake", DAY, live, replace(SCORED, **changed))


def test_a_day_that_was_taken_in_scored_by_what_is_live_and_measured_is_left_alone():
    change = planned_day()
    assert (change.action, change.why) == (Action.UNCHANGED, "version 2 scored these very files")


def test_a_day_that_was_never_scored_is():
    assert planned_day(predicted=None, measured=None).action is Action.CREATE


@pytest.mark.parametrize(
    "changed",
    [{"landed": "other files"}, {"taken_in": None}, {"clients": None}, {"clients": "published by another run"}],
)
def test_a_day_whose_clients_are_not_of_the_files_that_are_there_is_scored_again(changed):
    change = planned_day(**changed)
    assert (change.action, change.to) == (Action.UPDATE, "2")
    assert change.why == "nothing says that its clients were taken in from the files that are there now"


@pytest.mark.parametrize("other", [("1", "sha1"), ("2", "another file"), ("1, 2", "sha1, sha2")])
def test_a_day_that_another_version_scored_is_scored_again(other):
    change = planned_day(predicted=Predicted(3, *other, "clients", "p"))
    assert (change.action, change.to) == (Action.UPDATE, "2")
    assert change.why == f"version {other[0]} scored the day, and version 2 is live"


def test_a_day_that_was_broken_off_half_way_is_scored_again():
    older = planned_day(predicted=Predicted(3, "2", "sha2", "older clients", "p"))
    assert (older.action, older.why) == (
        Action.UPDATE,
        "its predictions are not those of the clients that were taken in",
    )
    for measured in (None, ("older", "2"), ("p", "1")):
        change = planned_day(measured=measured)
        assert (change.action, change.why) == (Action.UPDATE, "the drift of these predictions was not measured")


def test_a_day_without_rows_is_scored_once_by_each_version():
    key = origin_key(DAY, "sha2", "clients")
    none = Predicted(0, "", "", "", data_version(key, np.empty(0)))
    measured = (none.data_version, None)
    assert planned_day(predicted=none, measured=measured).action is Action.UNCHANGED
    other = ModelVersion("m", "3", "k", "sha3")
    assert planned_day(other, predicted=none, measured=measured).action is Action.UPDATE


def test_without_a_live_version_or_a_file_there_is_nothing_to_score():
    with pytest.raises(NotThere, match="Nothing is live at the batch endpoint; run `credit-default deploy deployment`"):
        planned_day(live=None)
    with pytest.raises(
        NotThere, match="No file landed for 2026-01-31; put one into landing/inference/batch/2026-01-31/"
    ):
        planned_day(landed="")


def test_a_report_is_plain_json_and_each_change_a_line():
    change = Change(Action.UPDATE, "alias", "champion", "ws", "version 1 was", "2")
    told = Report("deployment", "staging", True, [change], {"live_version": "1"})
    assert told.pending
    assert json.loads(json.dumps(told.as_dict())) == {
        "command": "deployment",
        "environment": "staging",
        "dry_run": True,
        "changes": [
            {
                "action": "update",
                "kind": "alias",
                "name": "champion",
                "where": "ws",
                "why": "version 1 was",
                "to": "2",
                "certain": True,
            }
        ],
        "live_version": "1",
    }
    assert line(change).split("  ")[0] == "update"
    assert line(change).endswith("champion -> 2  (ws): version 1 was")


def test_what_is_not_certain_is_told_as_such():
    certain = Change(Action.CREATE, "model", "m:1", "ws")
    maybe = Change(Action.UPDATE, "alias", "challenger", "ws", "if its verdict is promote", "1", certain=False)
    assert line(maybe).startswith("update?    alias")
    told = [conclusion(Report("train", "staging", dry_run, [certain, maybe])) for dry_run in (True, False)]
    assert told[0].startswith("staging: 1 change to make, and at most 1 more; this was a dry run")
    assert told[1] == "staging: 1 change made, and at most 1 more."
