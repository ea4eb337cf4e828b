"""Which version goes live: the newest or none, and back only once."""

import pytest

from credit_default.defs.model import Deployment, _choose
from credit_default.errors import NotThere
from credit_default.resources.ports import EndpointState, ModelRegistry, ModelVersion


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


def choose(*verdicts, state=None, root="this run", **config):
    chosen = _choose(Deployment(**config), Versions(verdicts=list(verdicts)), state or EndpointState(), root)
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
