"""Which version goes live: the newest or none, and back only once."""

from dataclasses import replace

import pytest

from credit_default.core.ledger import Ledger
from credit_default.defs.deployment import Deployment, _choose, _crown
from credit_default.errors import NotThere
from credit_default.resources.ports import BatchEndpoint, EndpointState, ModelRegistry, ModelVersion


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
    with pytest.raises(NotThere, match="Version 2 may not go live: its verdict is reject"):
        choose("promote", "reject", version="2")


def test_rolling_back_goes_to_the_version_before():
    assert choose("promote", "promote", state=EndpointState(("1", "2"), "2", "1", "other"), direction="back") == "1"


def test_a_rollback_that_is_retried_after_a_crash_does_not_roll_forward():
    state = EndpointState(("1", "2"), "1", "2", "this run")
    assert choose("promote", "promote", state=state, direction="back") == "1"


def test_there_is_nothing_before_the_first_deployment():
    with pytest.raises(NotThere, match="no earlier deployment"):
        choose("promote", state=EndpointState(("1",), "1", None), direction="back")


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
    state, champion = _crown(ByTurns(looks=[]), registry)
    assert (state.default, champion.version) == ("3", "3")
    assert registry.get("3").aliases == ("champion",)
    assert registry.get("2").aliases == ()
