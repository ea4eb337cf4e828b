"""Which version goes live: the newest or none, what a person decided, and back only once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from credit_default.core.promotion.ledger import Draft, Ledger, append, read
from credit_default.defs.assets.deployment import Deployment, _choose, _sync_champion_alias
from credit_default.errors import NotAllowed, NotThere
from credit_default.ports import BatchEndpoint, EndpointState, ModelRegistry, ModelVersion


class Versions(ModelRegistry):
    """A registry whose versions have these verdicts, oldest first."""

    verdicts: list[str]

    def versions(self):
        made = [ModelVersion("m", str(n), f"k{n}", "s", {"verdict": v}) for n, v in enumerate(self.verdicts, start=1)]
        return made[::-1]

    def get(self, version_or_alias):
        return next(version for version in self.versions() if version.version == version_or_alias)

    def register(self, key, *, sha256, tags):
        raise NotImplementedError

    def set_alias(self, alias, version):
        raise NotImplementedError


def choose(*verdicts, state=None, root="this run", ledger=None, **config):
    registry, seen = Versions(verdicts=list(verdicts)), state or EndpointState()
    chosen = _choose(Deployment(**config), registry, seen, root, ledger or Ledger())
    return chosen and chosen.version


def test_the_newest_version_goes_live_if_its_verdict_allows():
    assert choose("promote", "promote") == "2"


def test_a_rejected_version_leaves_the_deployment_as_it_was():
    assert choose("promote", "reject") is None


def test_a_rejected_retraining_does_not_bring_back_what_was_rolled_back():
    # Version 2 was live, was rolled back to 1, and 3 was rejected.
    state = EndpointState(("1", "2"), "1", "2", "the run that rolled back")
    assert choose("promote", "promote", "reject", state=state) is None


def test_no_version_at_all_is_no_choice():
    assert choose() is None


def test_a_version_that_is_asked_for_needs_its_verdict():
    assert choose("promote", "promote", version="1") == "1"
    with pytest.raises(NotAllowed, match="Version 2 may not go live: its verdict is reject"):
        choose("promote", "reject", version="2")


def test_rolling_back_goes_to_the_version_before():
    assert choose("promote", "promote", state=EndpointState(("1", "2"), "2", "1", "other"), direction="back") == "1"


def test_a_rollback_that_is_retried_after_a_crash_does_not_roll_forward():
    state = EndpointState(("1", "2"), "1", "2", "this run")
    assert choose("promote", "promote", state=state, direction="back") == "1"


def test_there_is_nothing_before_the_first_deployment():
    with pytest.raises(NotThere, match="no earlier deployment"):
        choose("promote", state=EndpointState(("1",), "1", None), direction="back")


def ledger_of(*actions: tuple[str, str], run_id: str | None = None) -> Ledger:
    """A ledger of these actions on versions."""
    content = b""
    for action, version in actions:
        draft = Draft(action=action, to_version=version, who="alice", reason="so said the board", run_id=run_id)
        content = append(content, draft, datetime(2026, 1, 30, tzinfo=UTC))
    return read(content)


def test_a_held_version_goes_live_once_a_person_has_approved_it():
    assert choose("promote", "hold") is None
    with pytest.raises(
        NotAllowed, match=r"its verdict is hold; see .*, or approve it by `credit-default models approve`"
    ):
        choose("promote", "hold", version="2")
    approved = ledger_of(("approve", "2"))
    assert choose("promote", "hold", ledger=approved) == "2"
    assert choose("promote", "hold", ledger=approved, version="2") == "2"
    assert choose("promote", "hold", ledger=ledger_of(("approve", "1"))) is None


def test_a_refused_version_does_not_go_live_though_its_verdict_says_promote():
    refused = ledger_of(("refuse", "2"))
    assert choose("promote", "promote", ledger=refused) is None
    told = r"Version 2 may not go live: alice refused it at 2026-01-30T00:00:00\+00:00 \(so said the board\)"
    with pytest.raises(NotAllowed, match=told):
        choose("promote", "promote", ledger=refused, version="2")
    with pytest.raises(NotAllowed, match=told):
        choose("promote", "promote", state=EndpointState(("1", "2"), "1", "2", "x"), ledger=refused, direction="back")


def test_what_a_person_said_last_about_a_version_counts():
    assert choose("promote", "hold", ledger=ledger_of(("approve", "2"), ("refuse", "2"))) is None
    assert choose("promote", "promote", ledger=ledger_of(("refuse", "2"), ("approve", "2"))) == "2"


def test_nobody_can_approve_a_rejected_version():
    assert choose("promote", "reject", ledger=ledger_of(("approve", "2"))) is None


def test_one_can_go_back_to_any_version_that_was_live_or_may_go_live():
    state = EndpointState(("3", "4"), "4", "3", "other")
    verdicts = ("promote", "hold", "promote", "promote")
    were_live = ledger_of(("promote", "2"), ("promote", "3"), ("promote", "4"))
    for version in ("1", "2", "3"):
        assert choose(*verdicts, state=state, ledger=were_live, direction="back", version=version) == version
    with pytest.raises(NotAllowed, match="Version 2 may not go live: its verdict is hold"):
        choose(*verdicts, state=state, direction="back", version="2")


def test_a_rollback_that_is_retried_after_somebody_else_deployed_does_not_go_back_again():
    went_back = ledger_of(("promote", "1"), ("promote", "2"), ("rollback", "1"), run_id="this run")
    state = EndpointState(("1", "2", "3"), "3", "1", "another run")
    assert choose("promote", "promote", "promote", state=state, ledger=went_back, direction="back") == "3"


class ByTurns(BatchEndpoint):
    """An endpoint at which another run makes version 3 the default as soon as somebody has looked."""

    looks: list[str]

    def state(self):
        self.looks.append("look")
        live = "2" if len(self.looks) == 1 else "3"
        return EndpointState(("1", "2", "3"), live, "1", f"the run that deployed {live}")

    def deploy(self, context, model):
        raise NotImplementedError

    def make_default(self, version, *, changed_by=""):
        raise NotImplementedError

    def invoke(self, context, days, *, versions=()):
        raise NotImplementedError


class Crowned(Versions):
    """A registry that remembers who is champion."""

    champions: list[str]

    def get(self, version_or_alias):
        found = super().get(version_or_alias)
        is_champion = found.version in self.champions[-1:]
        return replace(found, aliases=("champion",) if is_champion else ())

    def set_alias(self, alias, version):
        self.champions.append(version)


def test_the_champion_is_what_answers_though_another_run_deploys_at_the_same_moment():
    registry = Crowned(verdicts=["promote"] * 3, champions=[])
    state, champion = _sync_champion_alias(ByTurns(looks=[]), registry)
    assert (state.default, champion.version) == ("3", "3")
    assert registry.get("3").aliases == ("champion",)
    assert registry.get("2").aliases == ()
